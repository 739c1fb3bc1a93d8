// Objects of the API for tests: complete, with the given fields changed.

export const T0 = Date.parse("2026-03-01T12:00:00Z");

/** The time `seconds` after T0, as the API writes it. */
export const at = (seconds) => new Date(T0 + seconds * 1000).toISOString();

export const identity = (fields = {}) => ({
  macs: [],
  addresses: [],
  uuid: null,
  serial: null,
  asset_tag: null,
  hostname: null,
  buildarch: null,
  platform: null,
  near_miss: null,
  ...fields,
});

export const host = (fields = {}) => ({
  name: null,
  mac: null,
  address: null,
  identity: identity(),
  profile: null,
  seen: at(0),
  state: "booting",
  needs_attention: false,
  since: at(0),
  note: "note",
  reason: null,
  advice: null,
  last_step: null,
  ...fields,
});

export const asset = (fields = {}) => ({
  name: "okd/kernel",
  digest: "aa",
  size: 1000,
  state: "cached",
  bytes: 1000,
  pinned: false,
  pinned_by: [],
  in_use: false,
  releases: [],
  content_type: "application/octet-stream",
  sources: [],
  used: null,
  verified: null,
  failure: null,
  evicted_next: null,
  ...fields,
});

export const release = (fields = {}) => ({
  name: "okd-1",
  channel: null,
  state: "live",
  active: true,
  reason: null,
  cached: 2,
  unverified: 0,
  total: 2,
  bytes: 100,
  size: 100,
  kept_until: null,
  ...fields,
});

export const fill = (fields = {}) => ({
  name: "okd/kernel",
  digest: "aa",
  began: at(0),
  phase: "filling",
  bytes: 10,
  size: 1000,
  received: 10,
  rate: 5,
  ...fields,
});

export const pastFill = (fields = {}) => ({
  name: "okd/kernel",
  digest: "aa",
  ended: at(5),
  seconds: 5,
  outcome: "complete",
  received: 1000,
  detail: null,
  ...fields,
});

export const transfer = (fields = {}) => ({
  id: 1,
  protocol: "http",
  peer: "192.0.2.1:4000",
  host: null,
  name: "okd/kernel",
  began: at(0),
  sent: 0,
  size: 1000,
  cache: "hit",
  ...fields,
});

export const pastTransfer = (fields = {}) => ({
  ...transfer(),
  outcome: "complete",
  ended: at(5),
  seconds: 5,
  ...fields,
});

export const job = (fields = {}) => ({
  id: 1,
  kind: "preload",
  what: "okd/kernel",
  state: "running",
  began: at(0),
  ended: null,
  assets: { total: 4, done: 1, failed: 0 },
  bytes: { total: 1000, done: 100 },
  rate: 0,
  ...fields,
});

export const status = (fields = {}) => ({
  version: "1.0.0",
  revision: "unknown",
  started: at(-1000),
  now: at(0),
  ready: true,
  troubles: [],
  listeners: [],
  cache: {
    dir: "/var/cache/bootdepot",
    limit: 1000,
    free: null,
    min_free: 0,
    cached: { bytes: 0, entries: 0 },
    unverified: { bytes: 0, entries: 0 },
    renumbers_files: false,
    partial: { bytes: 0, entries: 0 },
    quarantined: { bytes: 0, entries: 0 },
    writable: true,
    trouble: null,
  },
  catalog: { assets: 0, releases: 0, hosts: 0, loaded: at(-1000), generation: 1, sources: [], last_reload: null },
  transfers: { active: 0 },
  fills: { active: 0 },
  totals: { sent: { http: 0, tftp: 0 }, received: 0, transfers: { http: 0, tftp: 0 } },
  origins: [],
  ...fields,
});
