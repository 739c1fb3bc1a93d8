import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import * as format from "../../src/admin/dashboard/format.js";

afterEach(() => format.setServerTime(new Date().toISOString()));

/** Calls `function_` with each input and compares the outputs. */
function table(function_, rows) {
  for (const [input, output] of rows) assert.equal(function_(input), output, `for ${input}`);
}

test("bytes are cut to tenths", () => {
  table(format.bytes, [
    [null, "–"],
    [undefined, "–"],
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [2 ** 20 - 1, "1,023.9 KiB"],
    [2 ** 20, "1.0 MiB"],
    [48.29 * 2 ** 20, "48.2 MiB"],
    [2 ** 30, "1.0 GiB"],
    [5000 * 2 ** 40, "5,000.0 TiB"],
  ]);
  assert.equal(format.rate(2 ** 20), "1.0 MiB/s");
  assert.equal(format.rate(null), "–");
});

test("percent rounds only complete to 100", () => {
  table(format.percent, [
    [0, "0 %"],
    [0.001, "<1 %"],
    [0.01, "1 %"],
    [0.999, "99 %"],
    [1, "100 %"],
    [1.2, "100 %"],
  ]);
});

test("rough duration has one unit", () => {
  table(format.roughDuration, [
    [-5, "0 s"],
    [59.9, "59 s"],
    [60, "1 min"],
    [3599, "59 min"],
    [3600, "1 h"],
    [172_799, "47 h"],
    [172_800, "2 d"],
  ]);
});

test("duration is given in milliseconds", () => {
  table(format.duration, [
    [0.5, "<1 ms"],
    [12.9, "12 ms"],
    [999, "999 ms"],
    [1000, "1.0 s"],
    [3499, "3.4 s"],
    [59_999, "59.9 s"],
    [125_000, "2 min 5 s"],
    [3_600_000, "1 h"],
  ]);
});

test("plural follows the number", () => {
  assert.equal(format.plural(1, "asset"), "1 asset");
  assert.equal(format.plural(0, "asset"), "0 assets");
  assert.equal(format.plural(1234, "host needs", "hosts need"), "1,234 hosts need");
  assert.equal(format.plural(null, "asset"), "– assets");
});

test("age follows server clock", () => {
  const server = Date.now() + 3_600_000;
  const before = (seconds) => new Date(server - seconds * 1000).toISOString();
  assert.equal(format.ago(before(0)), "now");
  assert.ok(format.age(before(0)) < -3_500, "by the browser's clock it is in the future");
  format.setServerTime(new Date(server).toISOString());
  assert.equal(format.ago(before(0)), "now");
  assert.equal(format.ago(before(185)), "3 min ago");
  assert.equal(format.ago(null), "–");
  assert.ok(Number.isNaN(format.age(null)));
});

test("local time has date unless today", () => {
  const noon = new Date(2026, 2, 1, 12, 30, 5);
  format.setServerTime(noon.toISOString());
  assert.equal(format.localTime(noon.toISOString()), "12:30:05");
  assert.equal(format.localTime(new Date(2026, 1, 9, 0, 0, 0).toISOString()), "2026-02-09 00:00:00");
  assert.equal(format.localTime(null), "–");
});

test("natural key sorts numbers by value", () => {
  const names = ["node-10", "Node-2", "node-1", "rack2-node9", "rack10-node1", "node"];
  const sorted = names.toSorted((a, b) => (format.naturalKey(a) < format.naturalKey(b) ? -1 : 1));
  assert.deepEqual(sorted, ["node", "node-1", "Node-2", "node-10", "rack2-node9", "rack10-node1"]);
});

test("unknown state has calm tone", () => {
  assert.equal(format.tone("cached"), "good");
  assert.equal(format.tone("digest-mismatch"), "bad");
  assert.equal(format.tone("of a newer server"), "calm");
});
