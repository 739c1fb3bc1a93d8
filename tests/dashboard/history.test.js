import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { History, LENGTH } from "../../src/admin/dashboard/history.js";
import { at, status } from "./samples.js";

afterEach(() => delete globalThis.sessionStorage);

/** A status `seconds` after the first, with these totals. */
const sample = (seconds, http, tftp = 0, received = 0, started = at(-1000)) =>
  status({ started, now: at(seconds), totals: { sent: { http, tftp }, received } });

test("rates come from successive totals", () => {
  const history = new History();
  history.add(sample(0, 1000, 50, 7));
  assert.deepEqual(history.points, []);
  assert.equal(history.newest.http, 0);
  history.add(sample(2, 5000, 150, 7));
  const { at: until, since, ...rates } = history.newest;
  assert.deepEqual(rates, { http: 2000, tftp: 50, received: 0 });
  assert.equal(until - since, 2000);
});

test("close statuses are skipped", () => {
  const history = new History();
  history.add(sample(0, 0));
  history.add(sample(0.4, 9999));
  assert.deepEqual(history.points, []);
  history.add(sample(1, 1000));
  assert.equal(history.newest.http, 1000, "the skipped totals count in the next point");
});

test("points older than length are dropped", () => {
  const history = new History();
  for (let second = 0; second <= LENGTH / 1000 + 60; second += 10) history.add(sample(second, second));
  const [first] = history.points;
  assert.equal(history.newest.at - first.at, LENGTH);
});

test("server restart begins history from scratch", () => {
  const history = new History();
  history.add(sample(0, 5000));
  history.add(sample(2, 9000));
  history.add(sample(4, 10, 0, 0, at(3)));
  assert.deepEqual(history.points, []);
  history.add(sample(6, 110, 0, 0, at(3)));
  assert.equal(history.newest.http, 50);
});

test("saved history survives page reload", () => {
  const saved = new Map();
  globalThis.sessionStorage = { getItem: (key) => saved.get(key) ?? null, setItem: (key, text) => saved.set(key, text) };
  const before = new History();
  before.add(sample(0, 0));
  before.add(sample(2, 4000));
  before.save();

  const after = new History();
  after.add(sample(4, 4000));
  assert.deepEqual(after.points, before.points);
  const other = new History();
  other.add(sample(4, 4000, 0, 0, at(1)));
  assert.deepEqual(other.points, [], "of another server process");
  saved.set("bootdepot.history", '{"started":1,');
  assert.doesNotThrow(() => new History().add(sample(0, 0)));
});
