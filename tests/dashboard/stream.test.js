import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import { session } from "../../src/admin/dashboard/api.js";
import { Parser, Stream } from "../../src/admin/dashboard/stream.js";

/** Parses the chunks; returns the events as `[id, name, data]`. */
function parse(...chunks) {
  const events = [];
  const parser = new Parser((...event) => events.push(event));
  for (const chunk of chunks) parser.push(chunk);
  return events;
}

test("event has id, name and data", () => {
  assert.deepEqual(parse('id: 7\nevent: host\ndata: {"a":1}\n\n'), [["7", "host", '{"a":1}']]);
});

test("fields of one event do not carry over", () => {
  assert.deepEqual(parse("id: 7\nevent: host\ndata: x\n\ndata: y\n\n"), [
    ["7", "host", "x"],
    [null, "message", "y"],
  ]);
});

test("stream split at any byte parses the same", () => {
  const text = "id: 1\r\nevent: fill\r\ndata: a\r\ndata: b\r\n\r\n: comment\r\n\r\nid: 2\ndata:c\n\n";
  const expected = parse(text);
  assert.deepEqual(expected, [
    ["1", "fill", "a\nb"],
    ["2", "message", "c"],
  ]);
  for (let at = 0; at <= text.length; at += 1) assert.deepEqual(parse(text.slice(0, at), text.slice(at)), expected);
  assert.deepEqual(parse(...text), expected);
});

test("unfinished event is not emitted", () => {
  assert.deepEqual(parse("data: x\n"), []);
  assert.deepEqual(parse("data: x\n\ndata: y"), [[null, "message", "x"]]);
});

test("comment and event without data are ignored", () => {
  assert.deepEqual(parse(":\n\n: ping\n\nevent: host\n\nid: 3\n\n"), []);
});

test("one leading space is removed", () => {
  assert.deepEqual(parse("data:  two\n\n")[0][2], " two");
  assert.deepEqual(parse("data:a:b\n\n")[0][2], "a:b");
  assert.deepEqual(parse("data\n\n")[0][2], "");
});

test("id with null is ignored", () => {
  assert.deepEqual(parse("id: a\0b\ndata: x\n\n"), [[null, "message", "x"]]);
});

beforeEach(() => {
  globalThis.sessionStorage = { getItem: () => "secret" };
});

afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
  delete globalThis.sessionStorage;
});

/** A fetch that returns these responses one after the other; then it never answers. */
function answer(...responses) {
  return mock.method(globalThis, "fetch", async () => responses.shift()?.() ?? new Promise(() => {}));
}

/** Runs the microtasks and I/O callbacks that are ready. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A stream whose hooks write to `log`. */
function logged() {
  const log = [];
  const stream = new Stream({
    open: async (resumed) => void log.push(["open", resumed]),
    event: (name, data) => log.push([name, data]),
    lost: (error, backoff) => log.push(["lost", error?.message ?? null, Math.round(backoff)]),
  });
  return { log, stream };
}

test("lost stream resumes at last event", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(Math, "random", () => 0.5);
  const fetch = answer(
    () => new Response("id: 5\nevent: job\ndata: 1\n\n"),
    () => new Response("id: 6\nevent: job\ndata: 2\n\n"),
  );
  const { log, stream } = logged();
  stream.start();
  await settle();
  assert.deepEqual(log, [
    ["open", false],
    ["job", "1"],
    ["lost", null, 1000],
  ]);
  assert.equal(fetch.mock.calls[0].arguments[1].headers["Last-Event-ID"], undefined);
  assert.equal(fetch.mock.calls[0].arguments[1].headers.Authorization, "Bearer secret");
  stream.retry();
  await settle();
  assert.deepEqual(log.slice(3, 5), [
    ["open", true],
    ["job", "2"],
  ]);
  assert.equal(fetch.mock.calls[1].arguments[1].headers["Last-Event-ID"], "5");
  stream.stop();
});

test("backoff doubles up to its maximum", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  mock.method(Math, "random", () => 0.5);
  mock.method(globalThis, "fetch", async () => {
    throw new TypeError("no connection");
  });
  const { log, stream } = logged();
  stream.start();
  for (let attempt = 0; attempt < 7; attempt += 1) {
    await settle();
    stream.retry();
  }
  stream.stop();
  assert.deepEqual(
    log.slice(0, 7).map(([, , backoff]) => backoff),
    [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000],
  );
});

test("refused token stops stream", async () => {
  answer(() => Response.json({ detail: "unknown token" }, { status: 401 }));
  const refused = mock.method(session, "refused", () => {});
  const { log, stream } = logged();
  stream.start();
  await settle();
  assert.deepEqual(log, []);
  assert.equal(stream.running, false);
  assert.equal(refused.mock.calls[0].arguments[0].message, "unknown token");
});
