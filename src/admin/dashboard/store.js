// What is known of the server: snapshots first, then kept up to date by events. It draws nothing.
//
// Whoever draws says which topics it draws; what changes marks its topics, and `changed` is called soon after, once for all
// that came meanwhile.

import { get } from "./api.js";
import { Journal } from "./journal.js";
import { History } from "./history.js";
import { natural, setServerTime } from "./words.js";

/** Ended fills and transfers that are kept, as many as the server keeps. */
const PAST_FILLS = 200;
const PAST_TRANSFERS = 500;
/** Events of jobs' items that wait to be drawn. */
const MOST_ITEMS = 4096;
/** Ended jobs that are kept, as many as the server keeps. */
const PAST_JOBS = 100;
/** Machines without a name that are kept, as many as the server keeps: anybody on the network can make some up. */
const MOST_STRANGERS = 4096;
/** Assets a page of the API. */
const PAGE = 1000;

export const store = {
  status: null,
  /** By the name, MAC or address that the API knows it by. */
  hosts: new Map(),
  releases: new Map(),
  /** By digest: one fill a blob. */
  fills: new Map(),
  pastFills: [],
  transfers: new Map(),
  pastTransfers: [],
  jobs: new Map(),
  /** What events told of items of jobs since the last drawing. */
  jobItems: [],
  /** By name; filled when it is first looked at. */
  assets: new Map(),
  /** `none`, `loading` or `loaded`, with how many there are, when that was asked, and what went wrong. */
  assetsState: { phase: "none", total: 0, at: 0, error: null },
  journal: new Journal(),
  history: new History(),
};

/** Called with the topics that have changed. */
let changed = () => {};

export function onChange(listener) {
  changed = listener;
}

function touch(topic) {
  changed(topic);
}

/** What a host goes by in paths of the API. */
export function hostKey(host) {
  return host.name ?? host.mac ?? host.address ?? "?";
}

/** Reads all that is small enough to be read at once. */
export async function loadSnapshots() {
  const [status, hosts, releases, fills, transfers, jobs] = await Promise.all(
    ["status", "hosts", "releases", "fills", "transfers", "jobs"].map((path) => get(path)),
  );
  const restarted = store.status !== null && store.status.started !== status.started;
  if (restarted)
    store.journal.note("server", "warn", `the server was started again: ${status.version}`, "#/system", status.started);
  setStatus(status);
  store.hosts.clear();
  hosts.hosts.forEach(setHost);
  store.releases = new Map(releases.releases.map((release) => [release.name, release]));
  store.fills = new Map(fills.fills.map((fill) => [fill.digest, fill]));
  store.pastFills = fills.recent.slice(0, PAST_FILLS);
  store.transfers = new Map(transfers.transfers.map((transfer) => [transfer.id, transfer]));
  store.pastTransfers = transfers.recent.slice(0, PAST_TRANSFERS);
  store.jobs = new Map(jobs.jobs.map((job) => [String(job.id), job]));
  if (store.journal.entries.length === 0) store.journal.begin(store);
  ["status", "hosts", "releases", "fills", "transfers", "jobs", "journal"].forEach(touch);
  if (store.assetsState.phase !== "none") loadAssets();
}

/** The transfers' bytes, of which events tell only at begin and end. */
export async function loadTransfers() {
  const answer = await get("transfers");
  store.transfers = new Map(answer.transfers.map((transfer) => [transfer.id, transfer]));
  store.pastTransfers = answer.recent.slice(0, PAST_TRANSFERS);
  touch("transfers");
}

/** How long what a burst left out may wait to be fetched, in milliseconds. */
const REFETCH_EVERY = 2_000;
const omitted = new Set();

/** Fetches a topic of which the server left events out: once for all bursts within `REFETCH_EVERY`. */
function refetch(topic) {
  if (omitted.size === 0) {
    setTimeout(() => {
      const load = [...omitted].every((name) => name === "transfer") ? loadTransfers : loadSnapshots;
      omitted.clear();
      // The stream reports a server that does not answer.
      load().catch(() => {});
    }, REFETCH_EVERY);
  }
  omitted.add(topic);
}

let load = null;

/** Reads the list of assets anew, page by page. What events tell meanwhile is newer and stays. */
export async function loadAssets() {
  load?.abort.abort();
  const mine = (load = { abort: new AbortController(), newer: new Set() });
  const first = store.assetsState.phase !== "loaded";
  const assets = new Map();
  if (first) store.assetsState = { phase: "loading", total: 0, at: 0, error: null };
  touch("assets");
  try {
    let after = null;
    do {
      const path = `assets?limit=${PAGE}${after === null ? "" : `&after=${encodeURIComponent(after)}`}`;
      const page = await get(path, { signal: mine.abort.signal });
      for (const asset of page.assets) assets.set(asset.name, sortable(asset));
      after = page.next;
      store.assetsState.total = page.total;
    } while (after !== null && after !== undefined);
    for (const name of mine.newer) if (store.assets.has(name)) assets.set(name, store.assets.get(name));
    store.assets = assets;
    store.assetsState = { phase: "loaded", total: assets.size, at: Date.now(), error: null };
  } catch (error) {
    if (load !== mine) return;
    store.assetsState.error = error;
    if (first) store.assetsState.phase = "none";
  }
  load = null;
  touch("assets");
}

/** An asset as the server tells of it now. */
export function setAsset(asset) {
  load?.newer.add(asset.name);
  store.assets.set(asset.name, sortable(asset));
  touch("assets");
}

function sortable(named) {
  named.sortKey = natural(named.name ?? named.mac ?? named.address ?? "");
  return named;
}

function setStatus(status) {
  setServerTime(status.now);
  store.status = status;
  store.history.take(status);
}

function setHost(host) {
  const key = hostKey(host);
  const old = store.hosts.get(key);
  // A machine that has got a name or a MAC is no longer known by what it was known by before.
  if (!old) {
    if (host.name && host.mac) store.hosts.delete(host.mac);
    if (host.mac && host.address && store.hosts.get(host.address)?.mac === null) store.hosts.delete(host.address);
  }
  store.hosts.set(key, sortable(host));
  return old;
}

/** Forgets machines without a name, those least recently seen, where they are too many; some at once, so that it is seldom. */
function forgetStrangers() {
  if (store.hosts.size <= MOST_STRANGERS) return;
  const strangers = [...store.hosts].filter(([, host]) => !host.name);
  if (strangers.length <= MOST_STRANGERS) return;
  strangers.sort(([, a], [, b]) => ((a.seen ?? "") < (b.seen ?? "") ? -1 : 1));
  for (const [key] of strangers.slice(0, MOST_STRANGERS / 8)) store.hosts.delete(key);
}

/** Forgets the oldest of the ended jobs, where they are too many. */
function forgetJobs() {
  const ended = [...store.jobs.values()].filter((job) => job.state !== "running").sort((a, b) => a.id - b.id);
  for (const job of ended.slice(0, -PAST_JOBS)) store.jobs.delete(String(job.id));
}

/** Takes one event in. */
export function apply(name, text) {
  const data = text === "" ? null : JSON.parse(text);
  switch (name) {
    case "status": {
      setStatus(data);
      return touch("status");
    }
    case "host": {
      const old = setHost(data);
      if (!old) forgetStrangers();
      if (store.journal.host(old, data)) touch("journal");
      return touch("hosts");
    }
    case "transfer":
      store.transfers.set(data.id, data);
      return touch("transfers");
    case "transfer-ended":
      store.transfers.delete(data.id);
      keep(store.pastTransfers, data, PAST_TRANSFERS);
      if (store.journal.transfer(data)) touch("journal");
      return touch("transfers");
    case "fill": {
      if (!store.fills.has(data.digest) && store.journal.fill(data)) touch("journal");
      store.fills.set(data.digest, data);
      const asset = store.assets.get(data.name);
      if (asset) {
        asset.bytes = data.bytes;
        touch("assets");
      }
      return touch("fills");
    }
    case "fill-ended":
      store.fills.delete(data.digest);
      keep(store.pastFills, data, PAST_FILLS);
      store.journal.fillEnded(data);
      touch("journal");
      return touch("fills");
    case "job": {
      const old = store.jobs.get(String(data.id));
      store.jobs.set(String(data.id), data);
      forgetJobs();
      if (store.journal.job(old, data)) touch("journal");
      return touch("jobs");
    }
    case "job-item":
      store.jobItems.push(data);
      // Nothing is drawn while nobody looks.
      if (store.jobItems.length > MOST_ITEMS) store.jobItems.shift();
      return touch("job-item");
    case "release": {
      const old = store.releases.get(data.name);
      store.releases.set(data.name, data);
      if (store.journal.release(old, data)) touch("journal");
      return touch("releases");
    }
    case "asset": {
      const old = store.assets.get(data.name);
      if (store.journal.asset(old, data)) touch("journal");
      if (store.assetsState.phase === "none") return undefined;
      return setAsset(data);
    }
    case "omitted":
      return refetch(data.topic);
    case "reload":
      store.journal.reload(data);
      if (store.status) store.status.catalog.last_reload = data;
      touch("journal");
      return touch("status");
    default:
      return undefined;
  }
}

function keep(list, item, most) {
  list.unshift(item);
  if (list.length > most) list.length = most;
}
