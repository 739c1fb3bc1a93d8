import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { divide } from "../../src/admin/dashboard/cache.js";
import { setServerTime } from "../../src/admin/dashboard/format.js";
import { jobPart } from "../../src/admin/dashboard/jobs.js";
import { alerts, originIsDown, releasePart } from "../../src/admin/dashboard/overview.js";
import { axisEnd, runs, timeShown } from "../../src/admin/dashboard/plot.js";
import { store } from "../../src/admin/dashboard/store.js";
import { asset, at, fill, host, job, pastFill, release, status } from "./samples.js";

beforeEach(() => {
  setServerTime(at(0));
  Object.assign(store, { status: status(), hosts: new Map(), releases: new Map(), fills: new Map(), pastFills: [] });
});

const titles = () => alerts().map(({ title }) => title);

test("healthy server has no alerts", () => {
  store.releases.set("okd-1", release());
  store.hosts.set("r1", host({ name: "r1", state: "done" }));
  assert.deepEqual(alerts(), []);
});

test("unwritable cache and failing origin are alerts", () => {
  store.status.cache.writable = false;
  store.status.origins = [
    { origin: "s3", last_ok: at(1), last_error: { at: at(2), message: "403" } },
    { origin: "up", last_ok: at(2), last_error: { at: at(1), message: "403" } },
  ];
  assert.deepEqual(titles(), ["The cache is not writable", "Origin s3 is failing"]);
});

test("error of reload is one alert", () => {
  store.status.catalog.last_reload = { at: at(0), outcome: "failed", trigger: "api", errors: ["bad"] };
  store.status.catalog.sources = [
    { place: "catalog.toml", error: "bad" },
    { place: "https://x/", error: "503" },
  ];
  assert.deepEqual(titles(), ["Reload failed; the previous configuration stays active", "https://x/"]);
});

test("failed fills are grouped by outcome", () => {
  store.pastFills = [
    pastFill({ digest: "a", name: "a", outcome: "no-space", ended: at(-1) }),
    pastFill({ digest: "b", name: "b", outcome: "no-space", ended: at(-2) }),
    pastFill({ digest: "c", name: "c", outcome: "origin-failed", ended: at(-3) }),
    pastFill({ digest: "d", outcome: "cancelled", ended: at(-4) }),
    pastFill({ digest: "e", outcome: "no-space", ended: at(-3601) }),
  ];
  assert.deepEqual(titles(), ["2 fills failed, no-space", "c: fill failed, origin-failed"]);
});

test("later fill of blob clears alert", () => {
  store.pastFills = [
    pastFill({ digest: "a", ended: at(-1) }),
    pastFill({ digest: "a", outcome: "no-space", ended: at(-2) }),
    pastFill({ digest: "b", outcome: "no-space", ended: at(-2) }),
  ];
  store.fills.set("b", fill({ digest: "b" }));
  assert.deepEqual(alerts(), []);
});

test("hosts without configuration are last alerts", () => {
  store.hosts.set("w", host({ name: "w", state: "waiting", needs_attention: true, since: at(-1) }));
  store.hosts.set("old", host({ name: "old", state: "stuck", needs_attention: true, since: at(-300) }));
  store.hosts.set("new", host({ name: "new", state: "failed", needs_attention: true, since: at(-10) }));
  store.hosts.set("off", host({ name: "off", state: "stuck", since: at(-90_000) }));
  store.hosts.set("b", host({ name: "b", state: "booting" }));
  assert.deepEqual(
    alerts().map(({ key }) => key),
    ["host new", "host old", "host w"],
  );
  assert.match(titles()[1], /^old stuck, 5 min$/);
});

test("unused origin is not down", () => {
  assert.equal(originIsDown({ last_ok: null, last_error: null }), false);
  assert.equal(originIsDown({ last_ok: null, last_error: { at: at(0), message: "" } }), true);
});

test("release part prefers bytes over assets", () => {
  assert.equal(releasePart({ size: 200, bytes: 50, cached: 1, total: 2 }), 0.25);
  assert.equal(releasePart({ size: null, bytes: 50, cached: 1, total: 2 }), 0.5);
  assert.equal(releasePart({ size: null, bytes: 0, cached: 0, total: 0 }), 1);
});

test("job part prefers bytes over assets", () => {
  assert.equal(jobPart(job()), 0.1);
  assert.equal(jobPart(job({ bytes: { total: null, done: 5 } })), 0.25);
  assert.equal(jobPart(job({ bytes: { total: null, done: 0 }, assets: { total: 0, done: 0, failed: 0 } })), null);
  assert.equal(jobPart(job({ state: "done", bytes: { total: 10, done: 5 } })), 1);
});

test("cache is divided by release", () => {
  store.releases.set("new", release({ name: "new", state: "live" }));
  store.releases.set("old", release({ name: "old", state: "idle" }));
  const parts = divide(
    [
      asset({ name: "free", digest: "1", size: 7 }),
      asset({ name: "a", digest: "2", size: 10, pinned: true, pinned_by: ["release old", "release new"] }),
      asset({ name: "a2", digest: "2", size: 10, pinned: true, pinned_by: ["release new"] }),
      asset({ name: "b", digest: "3", size: 5, pinned: true, pinned_by: ["release old"] }),
      asset({ name: "c", digest: "4", size: 3, pinned: true, pinned_by: ["operator"] }),
    ],
    "release",
  );
  assert.deepEqual(parts, [
    { name: "new", kind: "live", bytes: 10 },
    { name: "old", kind: "held", bytes: 5 },
    { name: "pinned", kind: "pin", bytes: 3 },
    { name: "evictable", kind: "loose", bytes: 7 },
  ]);
});

test("smallest parts of cache are merged", () => {
  const assets = Array.from({ length: 40 }, (_, number) =>
    asset({ name: `a${number}`, digest: String(number), size: 1000 - number, pinned: number % 2 === 0 }),
  );
  const parts = divide(assets, "asset");
  assert.equal(parts.length, 24);
  assert.deepEqual(
    parts.filter(({ name }) => name.includes("smaller")).map(({ name }) => name),
    ["9 smaller, pinned", "9 smaller"],
  );
  const total = (list, field) => list.reduce((sum, one) => sum + one[field], 0);
  assert.equal(total(parts, "bytes"), total(assets, "size"));
});

test("plot is split at gaps", () => {
  const point = (since, until) => ({ since: since * 1000, at: until * 1000 });
  const points = [point(0, 2), point(2, 4), point(20, 22), point(22, 40), point(40, 42)];
  assert.deepEqual(
    runs(points).map((run) => run.length),
    [2, 1, 2],
  );
});

test("plot shows two to fifteen minutes", () => {
  const since = (milliseconds) => [{ since: -milliseconds, at: 0, http: 0, tftp: 0, received: 0 }];
  assert.equal(timeShown([], 0), 120_000);
  assert.equal(timeShown(since(300_000), 0), 300_000);
  assert.equal(timeShown(since(9_000_000), 0), 900_000);
});

test("axis ends at round number", () => {
  const MIB = 2 ** 20;
  assert.equal(axisEnd(0), MIB);
  assert.equal(axisEnd(3 * MIB), 4 * MIB);
  assert.equal(axisEnd(130 * MIB), 160 * MIB);
  assert.equal(axisEnd(1001 * MIB), 2 ** 30);
});
