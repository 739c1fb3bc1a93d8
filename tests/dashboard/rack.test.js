import assert from "node:assert/strict";
import { test } from "node:test";

import { naturalKey } from "../../src/admin/dashboard/format.js";
import {
  STAGES,
  STATES,
  countByState,
  overallProgress,
  progress,
  rackLayout,
  rackOrder,
} from "../../src/admin/dashboard/rack.js";
import { host } from "./samples.js";

const step = (fields) => ({ role: "kernel", bytes: 0, size: null, open: 0, outcome: null, ...fields });
const booting = (fields) => progress(host({ last_step: step(fields) }));

test("order of rack is natural", () => {
  const named = (name, state) => host({ name, state, sortKey: naturalKey(name) });
  const hosts = [named("r10", "failed"), named("r2", "done"), named("r1", "stuck")];
  assert.deepEqual(rackOrder(hosts), ["r1", "r2", "r10"]);
  assert.equal(hosts[0].name, "r10", "the input is unchanged");
});

test("hosts are counted by state", () => {
  const found = countByState([host({ state: null }), host({ state: "stuck" }), host({ state: null })]);
  assert.deepEqual(found, { stuck: 1, failed: 0, booting: 0, waiting: 0, quiet: 0, done: 0, unseen: 2 });
  assert.deepEqual(Object.keys(found), STATES);
});

test("progress is stage and part of step", () => {
  assert.deepEqual(progress(host()), { stage: -1, part: 0 });
  assert.deepEqual(booting({ bytes: 30, size: 120, open: 1 }), { stage: 3, part: 0.25 });
  assert.deepEqual(booting({ bytes: 300, size: 120, open: 1 }).part, 1, "repeated ranges");
  assert.deepEqual(booting({ bytes: 30, open: 1 }).part, null, "unknown size");
  assert.deepEqual(booting({ bytes: 30, outcome: "complete" }).part, 1);
  assert.deepEqual(booting({ bytes: 30, size: 120, open: 1, outcome: "complete" }).part, 0.25, "another is open");
  assert.equal(booting({ role: "file" }).stage, STAGES.indexOf("asset"));
});

test("overall progress grows to one", () => {
  assert.equal(overallProgress(host()), 0);
  assert.equal(overallProgress(host({ last_step: step({ bytes: 60, size: 120, open: 1 }) })), 3.5 / 6);
  assert.equal(overallProgress(host({ state: "done" })), 1);
});

test("tiles fill width of rack", () => {
  for (const [total, style] of [
    [48, "large"],
    [72, "large"],
    [73, "named"],
    [360, "named"],
    [361, "small"],
    [4000, "small"],
  ]) {
    const layout = rackLayout(total, 1200);
    assert.equal(layout.style, style, `${total} hosts`);
    assert.ok(layout.columns * layout.lines >= total);
    assert.ok(layout.columns * (layout.width + 3) - 3 <= 1200 + 1e-9);
  }
  assert.equal(rackLayout(10, 50).columns, 1, "a rack narrower than one tile");
});
