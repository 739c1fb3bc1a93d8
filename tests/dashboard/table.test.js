import assert from "node:assert/strict";
import { test } from "node:test";

import { matches, rowsInView, sortItems } from "../../src/admin/dashboard/table.js";

const items = [
  { sortKey: "c", size: 5 },
  { sortKey: "a", size: null },
  { sortKey: "d", size: 1 },
  { sortKey: "b", size: 5 },
  { sortKey: "e" },
];
const sorted = (way) => sortItems(items, (item) => item.size, way).map((item) => item.sortKey);

test("items sort in both directions", () => {
  assert.deepEqual(sorted(1).slice(0, 3), ["d", "b", "c"]);
  assert.deepEqual(sorted(-1).slice(0, 3), ["b", "c", "d"], "equal items stay in natural order");
});

test("items without value come last", () => {
  for (const way of [1, -1]) assert.deepEqual(sorted(way).slice(3), ["a", "e"]);
});

test("sorting leaves input unchanged", () => {
  const before = [...items];
  sorted(1);
  assert.deepEqual(items, before);
});

test("filter matches any field", () => {
  assert.equal(matches("", []), true);
  assert.equal(matches("r630", ["R630-01", null]), true);
  assert.equal(matches("24:6e", [null, undefined, "24:6e:96:00:00:01"]), true);
  assert.equal(matches("x", ["abc", null]), false);
});

test("rows in view stay within table", () => {
  const view = (top, total = 1000) => rowsInView(total, { top, height: 360, rowHeight: 36 });
  assert.deepEqual(view(0), { from: 0, to: 16 });
  assert.deepEqual(view(3600), { from: 94, to: 116 });
  assert.deepEqual(view(36_000 - 360), { from: 984, to: 1000 });
  assert.deepEqual(view(3600, 3), { from: 3, to: 3 }, "a table that became short");
  assert.deepEqual(view(0, 0), { from: 0, to: 0 });
});
