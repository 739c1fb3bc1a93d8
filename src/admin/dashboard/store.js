// The server's state as the page knows it: loaded as snapshots, then updated by events. It draws nothing: each change names
// its topic to the listener.

import { get } from "./api.js";
import { naturalKey, setServerTime } from "./format.js";
import { History } from "./history.js";
import { Journal } from "./journal.js";

/** The most ended fills and transfers that are kept; the server keeps as many. */
const MAX_PAST_FILLS = 200;
const MAX_PAST_TRANSFERS = 500;
/** The most job items that wait to be drawn. */
const MAX_JOB_ITEMS = 4096;
/** The most ended jobs that are kept; the server keeps as many. */
const MAX_PAST_JOBS = 100;
/** The most hosts without a name that are kept; the server keeps as many. Any machine on the network can make some up. */
const MAX_UNNAMED_HOSTS = 4096;
/** Assets per request to the API. */
const PAGE_SIZE = 1000;
/** How long a topic with omitted events waits to be fetched, in milliseconds: one fetch serves several bursts. */
const REFETCH_DELAY = 2_000;

export const store = {
  /** @type {Api.Status | null} */
  status: null,
  /**
   * By `hostKey`.
   *
   * @type {Map<string, Api.Host>}
   */
  hosts: new Map(),
  /**
   * By name.
   *
   * @type {Map<string, Api.Release>}
   */
  releases: new Map(),
  /**
   * By digest: there is one fill per blob.
   *
   * @type {Map<string, Api.Fill>}
   */
  fills: new Map(),
  /**
   * The newest first.
   *
   * @type {Api.PastFill[]}
   */
  pastFills: [],
  /**
   * By id.
   *
   * @type {Map<number, Api.Transfer>}
   */
  transfers: new Map(),
  /**
   * The newest first.
   *
   * @type {Api.PastTransfer[]}
   */
  pastTransfers: [],
  /**
   * By id.
   *
   * @type {Map<string, Api.Job>}
   */
  jobs: new Map(),
  /**
   * The changed job items since the last frame.
   *
   * @type {Api.Events["job-item"][]}
   */
  jobItems: [],
  /**
   * By name; loaded when a page first needs them.
   *
   * @type {Map<string, Api.Asset>}
   */
  assets: new Map(),
  /**
   * `at` is when the list was loaded, in the browser's milliseconds since 1970; `total` is the number of assets.
   *
   * @type {{ phase: "none" | "loading" | "loaded", total: number, at: number, error: Error | null }}
   */
  assetsState: { phase: "none", total: 0, at: 0, error: null },
  journal: new Journal(),
  history: new History(),
};

/** @type {(topic: Ui.Topic) => void} */
let notify = () => {};

/**
 * Sets the listener that is called with the topic of each change.
 *
 * @param {(topic: Ui.Topic) => void} listener
 */
export function onChange(listener) {
  notify = listener;
}

/**
 * The name of a host in paths of the API: its name, MAC or address.
 *
 * @param {Api.Host} host
 */
export function hostKey(host) {
  return host.name ?? host.mac ?? host.address ?? "?";
}

/** Loads everything except the assets. */
export async function loadSnapshots() {
  const [status, hosts, releases, fills, transfers, jobs] = await Promise.all([
    get("status"),
    get("hosts"),
    get("releases"),
    get("fills"),
    get("transfers"),
    get("jobs"),
  ]);
  if (store.status !== null && store.status.started !== status.started)
    store.journal.add("server", "warn", `the server restarted: version ${status.version}`, "#/system", status.started);
  setStatus(status);
  store.hosts.clear();
  hosts.hosts.forEach(setHost);
  store.releases = new Map(releases.releases.map((release) => [release.name, release]));
  store.fills = new Map(fills.fills.map((fill) => [fill.digest, fill]));
  store.pastFills = fills.recent.slice(0, MAX_PAST_FILLS);
  setTransfers(transfers);
  store.jobs = new Map(jobs.jobs.map((job) => [String(job.id), job]));
  if (store.journal.entries.length === 0) store.journal.begin(store);
  for (const topic of /** @type {const} */ (["status", "hosts", "releases", "fills", "transfers", "jobs", "journal"]))
    notify(topic);
  if (store.assetsState.phase !== "none") loadAssets();
}

/** Loads the transfers. Events report only their begin and end, not the bytes sent. */
export async function loadTransfers() {
  setTransfers(await get("transfers"));
  notify("transfers");
}

/** @param {Api.Resources["transfers"]} transfers */
function setTransfers({ transfers, recent }) {
  store.transfers = new Map(transfers.map((transfer) => [transfer.id, transfer]));
  store.pastTransfers = recent.slice(0, MAX_PAST_TRANSFERS);
}

/**
 * The topics with omitted events that are not fetched yet.
 *
 * @type {Set<Api.Topic>}
 */
const omitted = new Set();

/**
 * Fetches a topic of which the server omitted events, after a delay.
 *
 * @param {Api.Topic} topic
 */
function refetch(topic) {
  if (omitted.size === 0) {
    setTimeout(() => {
      const load = [...omitted].every((name) => name === "transfer") ? loadTransfers : loadSnapshots;
      omitted.clear();
      // The stream reports a lost connection.
      load().catch(() => {});
    }, REFETCH_DELAY);
  }
  omitted.add(topic);
}

/**
 * The current loading of the assets, with the names of those that events changed since it began.
 *
 * @type {{ abort: AbortController, newer: Set<string> } | null}
 */
let loading = null;

/** Loads the list of assets, page by page, and cancels an earlier loading. Assets that events change in the meantime are kept. */
export async function loadAssets() {
  loading?.abort.abort();
  /** @type {Set<string>} */
  const newer = new Set();
  const current = (loading = { abort: new AbortController(), newer });
  const first = store.assetsState.phase !== "loaded";
  /** @type {Map<string, Api.Asset>} */
  const assets = new Map();
  if (first) store.assetsState = { phase: "loading", total: 0, at: 0, error: null };
  notify("assets");
  try {
    /** @type {string | null} */
    let after = null;
    do {
      const query = after === null ? "" : `&after=${encodeURIComponent(after)}`;
      /** @type {Api.Resources["assets?"]} */
      const page = await get(`assets?limit=${PAGE_SIZE}${query}`, { signal: current.abort.signal });
      for (const asset of page.assets) assets.set(asset.name, withSortKey(asset));
      after = page.next ?? null;
      store.assetsState.total = page.total;
    } while (after !== null);
    for (const name of newer) {
      const asset = store.assets.get(name);
      if (asset) assets.set(name, asset);
    }
    store.assets = assets;
    store.assetsState = { phase: "loaded", total: assets.size, at: Date.now(), error: null };
  } catch (error) {
    if (loading !== current) return;
    store.assetsState.error = error instanceof Error ? error : new Error(String(error));
    if (first) store.assetsState.phase = "none";
  }
  loading = null;
  notify("assets");
}

/**
 * Stores the newest state of an asset.
 *
 * @param {Api.Asset} asset
 */
export function setAsset(asset) {
  loading?.newer.add(asset.name);
  store.assets.set(asset.name, withSortKey(asset));
  notify("assets");
}

/**
 * @template {{ name: string | null, mac?: string | null, address?: string | null, sortKey?: string }} T
 * @param {T} item
 */
function withSortKey(item) {
  item.sortKey = naturalKey(item.name ?? item.mac ?? item.address ?? "");
  return item;
}

/** @param {Api.Status} status */
function setStatus(status) {
  setServerTime(status.now);
  store.status = status;
  store.history.add(status);
}

/**
 * Stores a host; returns its state before.
 *
 * @param {Api.Host} host
 */
function setHost(host) {
  const key = hostKey(host);
  const old = store.hosts.get(key);
  // A host that got a name or a MAC was stored under its MAC or address before.
  if (!old) {
    if (host.name && host.mac) store.hosts.delete(host.mac);
    if (host.mac && host.address && store.hosts.get(host.address)?.mac === null) store.hosts.delete(host.address);
  }
  store.hosts.set(key, withSortKey(host));
  return old;
}

/** Removes the least recently seen hosts without a name, if there are too many; several at once, so that it is rare. */
function pruneUnnamedHosts() {
  if (store.hosts.size <= MAX_UNNAMED_HOSTS) return;
  const unnamed = [...store.hosts].filter(([, host]) => !host.name);
  if (unnamed.length <= MAX_UNNAMED_HOSTS) return;
  unnamed.sort(([, a], [, b]) => ((a.seen ?? "") < (b.seen ?? "") ? -1 : 1));
  for (const [key] of unnamed.slice(0, MAX_UNNAMED_HOSTS / 8)) store.hosts.delete(key);
}

/** Removes the oldest ended jobs, if there are too many. */
function pruneJobs() {
  const ended = [...store.jobs.values()].filter((job) => job.state !== "running").sort((a, b) => a.id - b.id);
  for (const job of ended.slice(0, -MAX_PAST_JOBS)) store.jobs.delete(String(job.id));
}

/** @type {{ [Name in keyof Api.Events]: (data: Api.Events[Name]) => void }} */
const handlers = {
  status(status) {
    setStatus(status);
    notify("status");
  },
  host(host) {
    const old = setHost(host);
    if (!old) pruneUnnamedHosts();
    if (store.journal.host(old, host)) notify("journal");
    notify("hosts");
  },
  transfer(transfer) {
    store.transfers.set(transfer.id, transfer);
    notify("transfers");
  },
  "transfer-ended"(transfer) {
    store.transfers.delete(transfer.id);
    prepend(store.pastTransfers, transfer, MAX_PAST_TRANSFERS);
    if (store.journal.transfer(transfer)) notify("journal");
    notify("transfers");
  },
  fill(fill) {
    if (!store.fills.has(fill.digest) && store.journal.fill(fill)) notify("journal");
    store.fills.set(fill.digest, fill);
    const asset = store.assets.get(fill.name);
    if (asset) {
      asset.bytes = fill.bytes;
      notify("assets");
    }
    notify("fills");
  },
  "fill-ended"(fill) {
    store.fills.delete(fill.digest);
    prepend(store.pastFills, fill, MAX_PAST_FILLS);
    if (store.journal.fillEnded(fill)) notify("journal");
    notify("fills");
  },
  job(job) {
    const key = String(job.id);
    const old = store.jobs.get(key);
    store.jobs.set(key, job);
    pruneJobs();
    if (store.journal.job(old, job)) notify("journal");
    notify("jobs");
  },
  "job-item"(change) {
    store.jobItems.push(change);
    // Nothing is drawn while the tab is hidden.
    if (store.jobItems.length > MAX_JOB_ITEMS) store.jobItems.shift();
    notify("job-item");
  },
  release(release) {
    const old = store.releases.get(release.name);
    store.releases.set(release.name, release);
    if (store.journal.release(old, release)) notify("journal");
    notify("releases");
  },
  asset(asset) {
    const old = store.assets.get(asset.name);
    if (store.journal.asset(old, asset)) notify("journal");
    if (store.assetsState.phase !== "none") setAsset(asset);
  },
  reload(reload) {
    if (store.journal.reload(reload)) notify("journal");
    if (store.status) store.status.catalog.last_reload = reload;
    notify("status");
  },
  omitted({ topic }) {
    refetch(topic);
  },
};

/**
 * Applies an event of the stream. Events of unknown names are ignored.
 *
 * @param {string} name
 * @param {string} json
 */
export function apply(name, json) {
  if (!Object.hasOwn(handlers, name)) return;
  const handle = /** @type {(data: unknown) => void} */ (handlers[/** @type {keyof Api.Events} */ (name)]);
  handle(JSON.parse(json));
}

/**
 * @template T
 * @param {T[]} list
 * @param {T} item
 * @param {number} max
 */
function prepend(list, item, max) {
  list.unshift(item);
  if (list.length > max) list.length = max;
}
