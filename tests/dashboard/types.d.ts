// Types of the dashboard that several of its files share: what the admin API sends (src/api), and the parts of the page.
// For the type checker alone; the server does not serve this file.

/** The admin API. The schemas are those of `GET /api/v1/openapi.json`; times are RFC 3339 texts. */
declare namespace Api {
  type Time = string;
  type HostState = "booting" | "waiting" | "done" | "quiet" | "failed" | "stuck";
  type Role = "dhcp" | "nbp" | "script" | "kernel" | "initrd" | "asset" | "file";
  type CacheState = "hit" | "join" | "miss" | "bypass";
  type Outcome =
    | "complete"
    | "probe"
    | "aborted"
    | "timeout"
    | "digest-mismatch"
    | "origin-failed"
    | "render-failed"
    | "refused"
    | "not-found";
  type FillOutcome = "complete" | "digest-mismatch" | "origin-failed" | "no-space" | "changed" | "cancelled";

  interface Amount {
    bytes: number;
    entries: number;
  }

  interface ByProtocol {
    http: number;
    tftp: number;
  }

  interface Status {
    version: string;
    revision: string;
    started: Time;
    now: Time;
    ready: boolean;
    troubles: string[];
    listeners: { protocol: string; address: string }[];
    cache: {
      dir: string;
      limit: number;
      free: number | null;
      min_free: number;
      cached: Amount;
      unverified: Amount;
      renumbers_files: boolean;
      partial: Amount;
      quarantined: Amount;
      writable: boolean;
      trouble: string | null;
    };
    catalog: {
      assets: number;
      releases: number;
      hosts: number;
      loaded: Time;
      generation: number;
      sources: Source[];
      last_reload: LastReload | null;
    };
    transfers: { active: number };
    fills: { active: number };
    totals: { sent: ByProtocol; received: number; transfers: ByProtocol };
    origins: Origin[];
  }

  interface Source {
    kind: "file" | "url";
    place: string;
    etag: string | null;
    checked: Time | null;
    error: string | null;
  }

  interface LastReload {
    at: Time;
    outcome: "ok" | "unchanged" | "failed";
    trigger: "start" | "signal" | "api" | "poll";
    errors: string[];
  }

  interface Origin {
    origin: string;
    requests: number;
    failures: number;
    received: number;
    last_ok: Time | null;
    last_error: { at: Time; message: string } | null;
  }

  interface Host {
    name: string | null;
    mac: string | null;
    address: string | null;
    identity: Identity;
    profile: string | null;
    seen: Time | null;
    /** `null`: not seen yet. */
    state: HostState | null;
    needs_attention: boolean;
    since: Time | null;
    note: string | null;
    reason: string | null;
    advice: string | null;
    last_step: Step | null;
    /** Left out of lists and events. */
    boots?: Boot[];
    /** Set by the store: see `naturalKey`. */
    sortKey?: string;
  }

  /** What a host was seen with. */
  interface Identity {
    macs: string[];
    addresses: string[];
    uuid: string | null;
    serial: string | null;
    asset_tag: string | null;
    hostname: string | null;
    buildarch: string | null;
    platform: string | null;
    near_miss: string | null;
  }

  interface Boot {
    id: number;
    number: number;
    began: Time;
    last: Time;
    state: HostState;
    since: Time;
    note: string;
    reason: string | null;
    advice: string | null;
    profile: string | null;
    arch: number | null;
    bytes: number;
    steps: Step[];
  }

  interface Step {
    role: Role;
    name: string;
    began: Time;
    last: Time;
    open: number;
    requests: number;
    bytes: number;
    size: number | null;
    milliseconds: number;
    rate: number | null;
    cache: CacheState | null;
    outcome: Outcome | null;
    reason: string | null;
    advice: string | null;
  }

  interface Asset {
    name: string;
    digest: string;
    size: number | null;
    state: "cached" | "unverified" | "filling" | "missing";
    bytes: number;
    pinned: boolean;
    pinned_by: string[];
    in_use: boolean;
    releases: string[];
    content_type: string;
    sources: string[];
    used: Time | null;
    verified: Time | null;
    failure: string | null;
    evicted_next: number | null;
    /** Set by the store: see `naturalKey`. */
    sortKey?: string;
  }

  interface Collection {
    prefix: string;
    source: string;
    digest_from: string[];
    listing: boolean;
  }

  interface Directory {
    directories: string[];
    files: File[];
    complete: boolean;
  }

  interface File {
    name: string;
    size: number | null;
    modified: Time | null;
    digest: string | null;
    state: Asset["state"] | null;
  }

  interface Release {
    name: string;
    channel: string | null;
    state: "live" | "fetching" | "failed" | "idle";
    active: boolean;
    reason: string | null;
    cached: number;
    unverified: number;
    total: number;
    bytes: number;
    size: number | null;
    kept_until: Time | null;
  }

  interface Fill {
    name: string;
    digest: string;
    began: Time;
    phase: "waiting" | "filling" | "proving";
    bytes: number;
    size: number | null;
    received: number;
    rate: number;
    sortKey?: string;
  }

  interface PastFill {
    name: string;
    digest: string;
    ended: Time;
    seconds: number;
    outcome: FillOutcome;
    received: number;
    detail: string | null;
    sortKey?: string;
  }

  interface Transfer {
    id: number;
    protocol: "http" | "tftp";
    peer: string;
    host: string | null;
    name: string;
    began: Time;
    sent: number;
    size: number | null;
    cache: CacheState | null;
    sortKey?: string;
  }

  interface PastTransfer extends Transfer {
    outcome: Outcome;
    ended: Time;
    seconds: number;
  }

  interface Job {
    id: number;
    kind: "preload" | "verify" | "scrub" | "check";
    what: string;
    state: "running" | "done" | "failed" | "cancelled";
    began: Time;
    ended: Time | null;
    assets: { total: number; done: number; failed: number };
    bytes: { total: number | null; done: number };
    rate: number;
    /** Left out of lists and events. */
    items?: JobItem[];
    /** The findings of a check; left out of lists and events. */
    checks?: CheckRow[];
  }

  interface CheckRow {
    check: string;
    where: string;
    result: CheckResult;
    found: string;
    counts: { ok: number; unverified: number; failed: number };
    findings: CheckFinding[];
  }

  interface CheckFinding {
    what: string;
    result: CheckResult;
    trouble: string | null;
    found: string;
    do: string | null;
  }

  type CheckResult = "ok" | "unverified" | "failed";

  interface JobItem {
    name: string;
    state: "waiting" | "running" | "done" | "failed" | "cancelled";
    bytes: number;
    size: number | null;
    error: string | null;
    sortKey?: string;
  }

  interface PreloadOrder {
    assets: string[];
    releases: string[];
    profiles: string[];
    hosts: string[];
    all: boolean;
    verify: boolean;
    keep_going: boolean;
    dry_run: boolean;
  }

  interface Plan {
    assets: number;
    cached: { assets: number; bytes: number };
    unverified: { assets: number; bytes: number };
    missing: { assets: number; bytes: number; unknown_sizes: number };
    room: { available: number; fits: boolean };
  }

  interface Reload {
    outcome: "ok" | "unchanged";
    added: number;
    removed: number;
    changed: number;
    warnings: string[];
  }

  /** RFC 9457. */
  interface Problem {
    title?: string;
    detail?: string;
    errors?: string[];
  }

  /** The data of each event of `GET /api/v1/events`. */
  interface Events {
    status: Status;
    host: Host;
    transfer: Transfer;
    "transfer-ended": PastTransfer;
    fill: Fill;
    "fill-ended": PastFill;
    job: Job;
    "job-item": { job: number; item: JobItem };
    release: Release;
    asset: Asset;
    reload: LastReload;
    /** A burst had more events of this topic than the server sends; the topic has to be fetched. */
    omitted: { topic: Topic; count: number };
  }

  /** A topic of the event stream. */
  type Topic = "status" | "transfer" | "fill" | "job" | "host" | "release" | "asset" | "reload";

  /** What `GET` of each path returns. */
  interface Resources {
    status: Status;
    hosts: { hosts: Host[] };
    [host: `hosts/${string}`]: Host;
    [assets: `assets?${string}`]: { assets: Asset[]; total: number; next: string | null };
    [asset: `assets/${string}`]: Asset;
    collections: { collections: Collection[] };
    [directory: `directory?${string}`]: Directory;
    releases: { releases: Release[] };
    fills: { fills: Fill[]; recent: PastFill[] };
    transfers: { transfers: Transfer[]; recent: PastTransfer[] };
    jobs: { jobs: Job[] };
    [job: `jobs/${string}`]: Job;
  }

  /** What `POST` to each path returns. */
  interface Actions {
    [pin: `assets/${string}/pin`]: Asset;
    [unpin: `assets/${string}/unpin`]: Asset;
    [preload: `assets/${string}/preload`]: Job;
    [verify: `assets/${string}/verify`]: Job;
    [evict: `assets/${string}/evict`]: { freed: number };
    [activate: `releases/${string}/activate`]: Release;
    scrub: Job;
    reload: Reload;
    /** A plan if the order is a dry run. */
    preload: Job | Plan;
  }
}

/** The parts of the page. */
declare namespace Ui {
  /** A colour of the style sheet: how serious a state is. */
  type Tone = "good" | "busy" | "warn" | "bad" | "wait" | "calm" | "none";

  /** A part of the store that changed, or `clock` (each second), `theme`, `link` (the connection). */
  type Topic =
    | "status"
    | "hosts"
    | "releases"
    | "fills"
    | "transfers"
    | "jobs"
    | "job-item"
    | "journal"
    | "assets"
    | "clock"
    | "theme"
    | "link";

  type Topics = Set<Topic>;

  type Attribute = string | number | boolean | null | undefined;
  type Listeners = { [K in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[K]) => void };
  type Attributes = { on?: Listeners; [name: string]: Attribute | Listeners };
  type Child = Node | string | false | null | undefined;

  /** An element of a keyed list. */
  interface Entry<T> {
    node: HTMLElement;
    update: (item: T) => void;
  }

  /** Fills a new cell of a table; returns the function that updates it. */
  type MakeCell<T> = (cell: HTMLTableCellElement) => (item: T) => void;

  type SortValue = string | number | boolean | null | undefined;

  interface Column<T> {
    key: string;
    label: string | (() => string);
    class: string;
    make: MakeCell<T>;
    /** The value to sort by; without it the column cannot be sorted. */
    sort?: (item: T) => SortValue;
    /** The direction of the first click: 1 is ascending, the default. */
    first?: 1 | -1;
  }

  interface Sort {
    by: string;
    way: 1 | -1;
  }

  interface TableOptions<T> {
    label: string;
    columns: Column<T>[];
    /** Identifies a row. */
    key: (item: T) => string | number;
    /** Called on Enter and on a click. */
    open?: (item: T) => void;
    /** The text shown if there is no row. */
    empty: () => string;
    sort: Sort;
    /** The colour of the row's edge. */
    tone?: (item: T) => Tone | null;
    /** The key of the row whose panel is open. */
    current?: () => string | number | null;
  }

  interface Page {
    id: string;
    /** The topics that it draws. */
    topics: Topic[];
    render: (topics: Topics) => void;
    /** Called when the page is shown, with the query of its address. */
    enter?: (query: URLSearchParams) => void;
    /** Makes the panel of an item. */
    panel?: (key: string) => Panel;
    /** Marks the item whose panel is open. */
    select?: (key: string | null) => void;
    /** Returns the focus to where it was before the panel opened. */
    restore?: () => void;
  }

  interface Panel {
    kind: string;
    title: string;
    node: HTMLElement;
    render: (topics: Topics) => void;
    close?: () => void;
  }
}
