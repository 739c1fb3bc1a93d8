import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

import {
  apply,
  hostKey,
  loadAssets,
  loadSnapshots,
  onChange,
  setAsset,
  store,
} from "../../src/admin/dashboard/store.js";
import * as sample from "./samples.js";
import { at } from "./samples.js";

/** The topics that changed since the test began, in order. */
let topics = [];

beforeEach(() => {
  Object.assign(store, {
    status: null,
    hosts: new Map(),
    releases: new Map(),
    fills: new Map(),
    pastFills: [],
    transfers: new Map(),
    pastTransfers: [],
    jobs: new Map(),
    jobItems: [],
    assets: new Map(),
    assetsState: { phase: "none", total: 0, at: 0, error: null },
  });
  store.journal.entries.length = 0;
  topics = [];
  onChange((topic) => topics.push(topic));
  globalThis.sessionStorage = { getItem: () => null, setItem: () => {} };
});

afterEach(() => {
  mock.restoreAll();
  mock.timers.reset();
  delete globalThis.sessionStorage;
});

const send = (name, data) => apply(name, JSON.stringify(data));

/** A server with these resources by path; returns the paths that were fetched. */
function serve(resources) {
  const paths = [];
  mock.method(globalThis, "fetch", async (url) => {
    const path = url.replace("/api/v1/", "");
    paths.push(path);
    return path in resources ? Response.json(resources[path]) : Response.json({ detail: path }, { status: 404 });
  });
  return paths;
}

const snapshots = (fields = {}) => ({
  status: sample.status(),
  hosts: { hosts: [] },
  releases: { releases: [] },
  fills: { fills: [], recent: [] },
  transfers: { transfers: [], recent: [] },
  jobs: { jobs: [] },
  ...fields,
});

/** Runs the callbacks that are ready. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

test("status event replaces status", () => {
  send("status", sample.status({ version: "2" }));
  assert.equal(store.status.version, "2");
  assert.deepEqual(topics, ["status"]);
});

test("host event updates host", () => {
  send("host", sample.host({ name: "r1", state: "booting" }));
  send("host", sample.host({ name: "r1", state: "done" }));
  assert.equal(store.hosts.get("r1").state, "done");
  assert.equal(store.hosts.size, 1);
  assert.equal(store.journal.entries.length, 2);
  assert.deepEqual(topics, ["journal", "hosts", "journal", "hosts"]);
});

test("host key is name, mac or address", () => {
  assert.equal(hostKey(sample.host({ name: "n", mac: "m", address: "a" })), "n");
  assert.equal(hostKey(sample.host({ mac: "m", address: "a" })), "m");
  assert.equal(hostKey(sample.host({ address: "a" })), "a");
});

test("renamed host replaces its former entry", () => {
  send("host", sample.host({ address: "192.0.2.7" }));
  send("host", sample.host({ mac: "02:00:00:00:00:01", address: "192.0.2.7" }));
  assert.deepEqual([...store.hosts.keys()], ["02:00:00:00:00:01"]);
  send("host", sample.host({ name: "r1", mac: "02:00:00:00:00:01", address: "192.0.2.7" }));
  assert.deepEqual([...store.hosts.keys()], ["r1"]);
});

test("unnamed hosts are pruned, oldest first", () => {
  send("host", sample.host({ name: "named", seen: at(-9999) }));
  for (let number = 0; number <= 4096; number += 1)
    send("host", sample.host({ mac: `mac-${number}`, seen: at(number) }));
  assert.equal(store.hosts.size, 1 + 4097 - 512);
  assert.equal(store.hosts.has("named"), true);
  assert.equal(store.hosts.has("mac-511"), false);
  assert.equal(store.hosts.has("mac-512"), true);
});

test("ended transfer moves to past transfers", () => {
  send("transfer", sample.transfer({ id: 7 }));
  assert.equal(store.transfers.size, 1);
  send("transfer-ended", sample.pastTransfer({ id: 7 }));
  assert.equal(store.transfers.size, 0);
  assert.equal(store.pastTransfers[0].id, 7);
  for (let id = 8; id < 600; id += 1) send("transfer-ended", sample.pastTransfer({ id }));
  assert.equal(store.pastTransfers.length, 500);
  assert.equal(store.pastTransfers[0].id, 599);
});

test("fill updates bytes of its asset", () => {
  setAsset(sample.asset({ state: "filling", bytes: 0 }));
  send("fill", sample.fill({ bytes: 10 }));
  send("fill", sample.fill({ bytes: 20 }));
  assert.equal(store.assets.get("okd/kernel").bytes, 20);
  assert.equal(store.journal.entries.length, 1, "one entry per fill");
  send("fill-ended", sample.pastFill());
  assert.equal(store.fills.size, 0);
  assert.equal(store.pastFills.length, 1);
});

test("ended jobs are pruned, running jobs stay", () => {
  send("job", sample.job({ id: 1 }));
  for (let id = 2; id <= 103; id += 1) send("job", sample.job({ id, state: "done", ended: at(id) }));
  assert.equal(store.jobs.size, 101);
  assert.equal(store.jobs.has("1"), true);
  assert.equal(store.jobs.has("3"), false);
  assert.equal(store.jobs.has("4"), true);
});

test("job items are collected up to limit", () => {
  for (let number = 0; number < 5000; number += 1) send("job-item", { job: 1, item: { name: String(number) } });
  assert.equal(store.jobItems.length, 4096);
  assert.equal(store.jobItems.at(-1).item.name, "4999");
});

test("release event updates release", () => {
  send("release", sample.release({ state: "fetching" }));
  send("release", sample.release({ state: "live" }));
  assert.equal(store.releases.get("okd-1").state, "live");
  assert.equal(store.journal.entries[0].text, "release okd-1 is live");
});

test("asset event waits for list", () => {
  send("asset", sample.asset());
  assert.equal(store.assets.size, 0);
  store.assetsState.phase = "loaded";
  send("asset", sample.asset({ name: "b10" }));
  assert.equal(store.assets.get("b10").sortKey, "b000000000010");
});

test("reload event updates last reload", () => {
  send("status", sample.status());
  send("reload", { at: at(1), outcome: "unchanged", trigger: "api", errors: [] });
  assert.equal(store.status.catalog.last_reload.trigger, "api");
  assert.equal(store.journal.entries[0].text, "reload: no changes (api)");
});

test("unknown event is ignored", () => {
  for (const name of ["message", "constructor", "__proto__", "of-a-newer-server"]) apply(name, "");
  assert.deepEqual(topics, []);
});

test("omitted transfers are fetched once", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const paths = serve(snapshots({ transfers: { transfers: [sample.transfer({ id: 9 })], recent: [] } }));
  send("omitted", { topic: "transfer", count: 3 });
  send("omitted", { topic: "transfer", count: 5 });
  mock.timers.tick(1999);
  assert.deepEqual(paths, []);
  mock.timers.tick(1);
  await settle();
  assert.deepEqual(paths, ["transfers"]);
  assert.equal(store.transfers.has(9), true);
});

test("omitted event of other topic fetches snapshots", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  const paths = serve(snapshots({ hosts: { hosts: [sample.host({ name: "r1" })] } }));
  send("omitted", { topic: "transfer", count: 3 });
  send("omitted", { topic: "host", count: 1 });
  mock.timers.tick(2000);
  await settle();
  assert.deepEqual(paths.toSorted(), ["fills", "hosts", "jobs", "releases", "status", "transfers"]);
  assert.equal(store.hosts.has("r1"), true);
});

test("restarted server is noted in journal", async () => {
  serve(snapshots());
  await loadSnapshots();
  assert.equal(store.journal.entries.length, 0);
  mock.restoreAll();
  serve(snapshots({ status: sample.status({ started: at(5), version: "2.0.0" }) }));
  await loadSnapshots();
  assert.equal(store.journal.entries[0].text, "the server restarted: version 2.0.0");
});

test("assets are loaded page by page", async () => {
  const paths = serve({
    "assets?limit=1000": { assets: [sample.asset({ name: "a/1" })], total: 2, next: "a/1" },
    "assets?limit=1000&after=a%2F1": { assets: [sample.asset({ name: "b" })], total: 2, next: null },
  });
  await loadAssets();
  assert.equal(paths.length, 2);
  assert.deepEqual([...store.assets.keys()], ["a/1", "b"]);
  assert.equal(store.assetsState.phase, "loaded");
});

test("asset changed while loading is kept", async () => {
  serve({ "assets?limit=1000": { assets: [sample.asset({ state: "missing" })], total: 1, next: null } });
  const loading = loadAssets();
  send("asset", sample.asset({ state: "cached" }));
  await loading;
  assert.equal(store.assets.get("okd/kernel").state, "cached");
});

test("failed loading of assets is reported", async () => {
  serve({});
  await loadAssets();
  assert.equal(store.assetsState.phase, "none");
  assert.equal(store.assetsState.error.message, "assets?limit=1000");
});
