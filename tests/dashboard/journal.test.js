import assert from "node:assert/strict";
import { test } from "node:test";

import { Journal } from "../../src/admin/dashboard/journal.js";
import { asset, at, fill, host, job, pastFill, pastTransfer, release, status } from "./samples.js";

const texts = (journal) => journal.entries.map(({ text }) => text);

test("newest entry is first", () => {
  const journal = new Journal();
  journal.add("server", "good", "one");
  journal.add("server", "good", "two");
  assert.deepEqual(texts(journal), ["two", "one"]);
});

test("journal keeps newest 2000 entries", () => {
  const journal = new Journal();
  for (let number = 1; number <= 2005; number += 1) journal.add("server", "good", String(number));
  assert.equal(journal.entries.length, 2000);
  assert.equal(journal.entries.at(-1).text, "6");
});

test("host entry needs new state", () => {
  const journal = new Journal();
  const booting = host({ name: "r1", profile: "worker", seen: at(-60) });
  assert.equal(journal.host(undefined, booting), true);
  assert.equal(journal.host(booting, { ...booting, note: "other" }), false);
  assert.equal(journal.host(undefined, host({ state: null })), false);
  assert.equal(journal.host(booting, { ...booting, state: "stuck", note: "no bytes" }), true);
  assert.deepEqual(texts(journal), ["r1 is stuck: no bytes", "r1 is booting, profile worker"]);
  assert.equal(journal.entries[1].at, at(-60));
});

test("successful transfer has no entry", () => {
  const journal = new Journal();
  assert.equal(journal.transfer(pastTransfer()), false);
  assert.equal(journal.transfer(pastTransfer({ outcome: "probe" })), false);
  assert.equal(journal.transfer(pastTransfer({ outcome: "digest-mismatch", sent: 2048, host: "r1" })), true);
  const [entry] = journal.entries;
  assert.equal(entry.text, "HTTP okd/kernel to r1: digest-mismatch after 2.0 KiB");
  assert.equal(entry.tone, "bad");
});

test("fill outcome sets tone", () => {
  const journal = new Journal();
  const entryOf = (fields) => {
    journal.fillEnded(pastFill(fields));
    return [journal.entries[0].tone, journal.entries[0].text];
  };
  assert.deepEqual(entryOf({}), ["good", "okd/kernel is cached: 1000 B in 5.0 s"]);
  assert.deepEqual(entryOf({ outcome: "cancelled" }), ["calm", "okd/kernel: fill cancelled"]);
  assert.deepEqual(entryOf({ outcome: "no-space", detail: "disk full" }), [
    "bad",
    "okd/kernel: fill failed, no-space: disk full",
  ]);
});

test("job, release and pin need change", () => {
  const journal = new Journal();
  assert.equal(journal.job(job(), job({ rate: 5 })), false);
  assert.equal(journal.job(job(), job({ state: "failed", assets: { total: 2, done: 0, failed: 2 } })), true);
  assert.equal(journal.entries[0].text, "job 1 failed: preload okd/kernel, 2 assets failed");
  assert.equal(journal.release(undefined, release()), false);
  assert.equal(journal.release(release(), release({ bytes: 1 })), false);
  assert.equal(journal.release(release(), release({ state: "failed", reason: "no origin" })), true);
  assert.equal(journal.entries[0].text, "release okd-1 is failed: no origin");
  assert.equal(journal.asset(asset(), asset()), false);
  assert.equal(journal.asset(asset(), asset({ pinned: true })), true);
  assert.equal(journal.entries[0].text, "okd/kernel is pinned");
});

test("snapshot is added in order of time", () => {
  const journal = new Journal();
  const last_reload = { at: at(0), outcome: "failed", trigger: "signal", errors: ["a", "b"] };
  journal.begin({
    status: status({ catalog: { ...status().catalog, last_reload } }),
    fills: new Map([["aa", fill({ began: at(30) })]]),
    pastFills: [pastFill({ ended: at(20) })],
    pastTransfers: [pastTransfer({ outcome: "timeout", ended: at(10) }), pastTransfer({ ended: at(11) })],
    jobs: new Map([
      ["1", job()],
      ["2", job({ id: 2, state: "done", ended: at(25) })],
    ]),
  });
  assert.deepEqual(texts(journal), [
    "reload failed (signal), the previous configuration stays active: a; b",
    "okd/kernel: fill started, 1000 B",
    "job 2 done: preload okd/kernel",
    "okd/kernel is cached: 1000 B in 5.0 s",
    "HTTP okd/kernel to 192.0.2.1:4000: timeout after 0 B",
  ]);
});
