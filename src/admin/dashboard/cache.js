// The page "Cache": what uses the space, what is evicted next, and every asset with its actions.

import { actionButton, composePreload, evict, pin, preloadAsset, scrub, unpin, verify } from "./actions.js";
import { get, inPath, messageOf } from "./api.js";
import { amount, bar, chips, facts, opener, text } from "./cells.js";
import { loadCollections } from "./collections.js";
import { attribute, byId, el, keyed, onSearch, setText } from "./dom.js";
import { NONE, ago, bytes, count, localTime, percent, plural, tone } from "./format.js";
import { loadAssets, setAsset, store } from "./store.js";
import { Table, matches } from "./table.js";

/** @typedef {"all" | "cached" | "unverified" | "filling" | "missing" | "pinned" | "failed"} Filter */

/** @type {Record<Filter, (asset: Api.Asset) => boolean>} */
const FILTERS = {
  all: () => true,
  cached: (asset) => asset.state === "cached",
  unverified: (asset) => asset.state === "unverified",
  filling: (asset) => asset.state === "filling",
  missing: (asset) => asset.state === "missing",
  pinned: (asset) => asset.pinned,
  failed: (asset) => asset.failure !== null,
};
const FILTER_KEYS = /** @type {Filter[]} */ (Object.keys(FILTERS));
/** The most parts of the strip; the smallest are merged. */
const MAX_PARTS = 24;
const MAX_LEGEND = 7;
/** The most parts that the strip's name for assistive technology lists. */
const MAX_SPOKEN = 10;
/** The most assets in "Evicted next". */
const MAX_NEXT = 8;
/**
 * How old the list may become while it is shown, in milliseconds: eviction order and last use change without an event. A long
 * list is loaded less often.
 */
const MAX_AGE = { short: 30_000, long: 120_000 };
const LONG_LIST = 2_000;
/** How often the strip is computed, in milliseconds. */
const STRIP_EVERY = 2_000;

/**
 * How much of an asset is cached, as a bar.
 *
 * @param {Api.Asset} asset
 * @returns {[part: number | null, tone: Ui.Tone, text?: string]}
 */
function cachedBar(asset) {
  if (asset.state === "cached") return [1, "good", "cached"];
  const known = asset.size ? asset.bytes / asset.size : null;
  if (asset.state === "filling") return [known, "busy"];
  if (asset.state === "unverified") return [known ?? 1, "wait", "unverified"];
  return [known ?? 0, "none", asset.bytes ? percent(known ?? 0) : "missing"];
}

/**
 * What protects an asset from eviction, or `null`.
 *
 * @param {Api.Asset} asset
 */
function pinnedBy(asset) {
  return asset.pinned_by.length > 0 ? asset.pinned_by.join(", ") : null;
}

/** @typedef {"live" | "held" | "pin" | "loose" | "partial" | "room"} PartKind */
/** @typedef {{ name: string, kind: PartKind, bytes: number }} Part */

/**
 * The kinds of parts in the order of the strip; the style sheet has a colour for each. `live` and `held` are pinned by a
 * release, `pin` otherwise; `loose` may be evicted; `partial` are unfinished fills; `room` is free.
 *
 * @type {PartKind[]}
 */
const PART_ORDER = ["live", "held", "pin", "loose", "partial", "room"];

/**
 * The part that an asset belongs to: a live release before any other, then other pins.
 *
 * @param {Api.Asset} asset
 * @returns {[name: string, kind: PartKind]}
 */
function releasePartOf(asset) {
  const releases = asset.pinned_by.filter((reason) => reason.startsWith("release ")).map((reason) => reason.slice(8));
  const live = releases.find((name) => store.releases.get(name)?.state === "live");
  if (live !== undefined) return [live, "live"];
  if (releases[0] !== undefined) return [releases[0], "held"];
  return asset.pinned ? ["pinned", "pin"] : ["evictable", "loose"];
}

/**
 * Divides the bytes of cached assets into parts, in the order of the strip.
 *
 * @param {Api.Asset[]} cached
 * @param {"release" | "asset"} by
 */
export function divide(cached, by) {
  /** @type {Set<string>} */
  const counted = new Set();
  /** @type {Map<string, Part>} */
  const groups = new Map();
  for (const asset of cached) {
    // Assets with the same digest share one blob.
    if (counted.has(asset.digest)) continue;
    counted.add(asset.digest);
    const [name, kind] =
      by === "asset"
        ? /** @type {const} */ ([asset.name, asset.pinned ? "held" : "loose"])
        : releasePartOf(asset);
    const part = groups.get(name) ?? { name, kind, bytes: 0 };
    part.bytes += asset.size ?? 0;
    groups.set(name, part);
  }
  return merge([...groups.values()].sort((a, b) => b.bytes - a.bytes));
}

/**
 * Puts parts in the order of the strip. If there are too many, merges the smallest: those that are pinned, and those that are not.
 *
 * @param {Part[]} parts The largest first.
 */
function merge(parts) {
  const limit = parts.length > MAX_PARTS ? MAX_PARTS - 2 : MAX_PARTS;
  const [kept, small] = [parts.slice(0, limit), parts.slice(limit)];
  for (const kind of /** @type {const} */ (["held", "loose"])) {
    const rest = small.filter((part) => (part.kind === "loose") === (kind === "loose"));
    if (rest.length === 0) continue;
    const name = `${count(rest.length)} smaller${kind === "held" ? ", pinned" : ""}`;
    kept.push({ name, kind, bytes: sum(rest) });
  }
  return kept.sort((a, b) => PART_ORDER.indexOf(a.kind) - PART_ORDER.indexOf(b.kind));
}

/** @param {Part[]} parts */
function sum(parts) {
  return parts.reduce((total, part) => total + part.bytes, 0);
}

/**
 * @param {{ open: (name: string) => void }} actions
 * @returns {Ui.Page}
 */
export function cache({ open }) {
  /** @type {Filter} */
  let filter = "all";
  let search = "";
  /** @type {"release" | "asset"} */
  let by = "release";
  /** @type {string | null} */
  let selected = null;
  let largest = 1;
  let stripAt = 0;
  let stripPhase = "none";
  /** @type {Table<Api.Asset>} */
  const table = new Table(byId("assets-table"), {
    label: "Assets",
    key: (asset) => asset.name,
    open: (asset) => open(asset.name),
    current: () => selected,
    sort: { by: "name", way: 1 },
    tone: (asset) => (asset.failure ? "bad" : null),
    empty: () => {
      const { phase, error } = store.assetsState;
      if (error) return `Cannot load the assets: ${error.message}`;
      if (phase !== "loaded") return "Loading the assets…";
      return store.assets.size === 0 ? "The catalog has no assets." : "No assets match the filter.";
    },
    columns: [
      {
        key: "name",
        label: "Asset",
        class: "c-name mono",
        sort: (asset) => asset.sortKey,
        make: opener((asset) => asset.name),
      },
      {
        key: "size",
        label: "Size",
        class: "c-size num",
        first: -1,
        sort: (asset) => asset.size,
        make: amount(
          (asset) => asset.size,
          () => largest,
        ),
      },
      {
        key: "state",
        label: "Cached",
        class: "c-cached",
        sort: (asset) => ["filling", "missing", "unverified", "cached"].indexOf(asset.state),
        make: bar("Cached", cachedBar),
      },
      { key: "pinned", label: "Pinned by", class: "c-pinned", sort: pinnedBy, make: text(pinnedBy, pinnedBy) },
      {
        key: "used",
        label: "Last used",
        class: "c-used num",
        first: -1,
        sort: (asset) => asset.used,
        make: text(
          (asset) => (asset.in_use ? "now" : asset.used ? ago(asset.used) : null),
          (asset) => (asset.used ? localTime(asset.used) : null),
        ),
      },
      {
        key: "verified",
        label: "Verified",
        class: "c-verified num",
        first: -1,
        sort: (asset) => asset.verified,
        make: text((asset) => (asset.verified ? ago(asset.verified) : null)),
      },
      {
        key: "next",
        label: "Eviction",
        class: "c-next num",
        sort: (asset) => asset.evicted_next,
        make: text((asset) => (asset.evicted_next ? `#${count(asset.evicted_next)}` : null)),
      },
    ],
  });
  const states = chips(
    byId("assets-states"),
    [
      { key: "all", label: "All" },
      { key: "cached", label: "Cached", tone: tone("cached") },
      { key: "unverified", label: "Unverified", tone: tone("unverified") },
      { key: "filling", label: "Filling", tone: tone("filling") },
      { key: "missing", label: "Missing", tone: tone("missing") },
      { key: "pinned", label: "Pinned" },
      { key: "failed", label: "Failed", tone: tone("failed") },
    ],
    filter,
    (chosen) => {
      filter = chosen;
      list(true);
    },
  );
  chips(
    byId("use-by"),
    [
      { key: "release", label: "By release" },
      { key: "asset", label: "By asset" },
    ],
    by,
    (chosen) => {
      by = chosen;
      renderUse();
    },
  );
  onSearch("assets-search", (value) => {
    search = value;
    list(true);
  });
  byId("cache-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Preload…", composePreload, { primary: true }),
  );

  /** @param {boolean} now */
  function list(now) {
    /** @type {Record<Filter, number>} */
    const found = { all: 0, cached: 0, unverified: 0, filling: 0, missing: 0, pinned: 0, failed: 0 };
    const shown = [];
    largest = 1;
    for (const asset of store.assets.values()) {
      for (const key of FILTER_KEYS) if (FILTERS[key](asset)) found[key] += 1;
      largest = Math.max(largest, asset.size ?? 0);
      if (!FILTERS[filter](asset)) continue;
      if (asset.digest.startsWith(search) || matches(search, [asset.name, ...asset.releases])) shown.push(asset);
    }
    for (const key of FILTER_KEYS) states.count(key, found[key]);
    table.show(shown, now);
    setText(byId("assets-loaded"), loadedText());
  }

  /** Renders the strip with its legend, and what is evicted next. */
  function renderUse() {
    stripAt = performance.now();
    stripPhase = store.assetsState.phase;
    const { status } = store;
    if (!status) return;
    const cached = [...store.assets.values()].filter((asset) => asset.state === "cached" && asset.size);
    renderStrip(status.cache, cached, by);
    renderNext(cached);
  }

  return {
    id: "cache",
    topics: ["assets", "status", "clock"],
    render(topics) {
      if (topics.has("assets")) list(false);
      else if (topics.has("clock")) table.render();
      const { phase, at, error } = store.assetsState;
      const due = phase !== stripPhase || performance.now() - stripAt > STRIP_EVERY;
      if (due && (topics.has("assets") || topics.has("status"))) renderUse();
      // The list can be long: it is loaded when the page is first shown.
      if (phase === "none" && error === null && store.status !== null) loadAssets();
      const maxAge = store.assets.size > LONG_LIST ? MAX_AGE.long : MAX_AGE.short;
      if (topics.has("clock") && phase === "loaded" && Date.now() - at > maxAge) {
        store.assetsState.at = Date.now();
        loadAssets();
      }
    },
    enter() {
      store.assetsState.error = null;
      list(true);
      renderUse();
      // Without a token there is nothing to show yet.
      loadCollections().catch(() => {});
    },
    panel: assetPanel,
    select(name) {
      selected = name;
      table.render();
    },
    restore: () => table.restore(),
  };
}

/** How current the list of assets is. */
function loadedText() {
  const { phase, total, at, error } = store.assetsState;
  if (error) return "may be out of date";
  if (phase === "loaded") return `as of ${localTime(new Date(at).toISOString()).slice(-8)}`;
  return total ? `loading ${plural(total, "asset")}…` : "loading…";
}

/**
 * Renders the strip: a bar of what uses the cache, each part as wide as its bytes.
 *
 * @param {Api.Status["cache"]} use
 * @param {Api.Asset[]} assets Those that are cached.
 * @param {"release" | "asset"} by
 */
function renderStrip(use, assets, by) {
  const { limit, free, min_free: minFree, cached, unverified, partial } = use;
  // The disk may have less space left than the limit allows.
  const used = cached.bytes + unverified.bytes + partial.bytes;
  const space = free === null ? limit : Math.min(limit, used + Math.max(0, free - minFree));
  const width = Math.max(space, 1);
  /** @type {Part[]} */
  let parts = [{ name: "cached", kind: "held", bytes: cached.bytes }];
  if (store.assetsState.phase === "loaded") {
    parts = divide(assets, by);
    const known = sum(parts);
    if (cached.bytes > known)
      parts.push({ name: "no longer in the catalog", kind: "loose", bytes: cached.bytes - known });
  }
  if (unverified.bytes > 0) parts.push({ name: "unverified", kind: "loose", bytes: unverified.bytes });
  if (partial.bytes > 0) parts.push({ name: "partial", kind: "partial", bytes: partial.bytes });
  /** @type {Part} */
  const room = { name: "available", kind: "room", bytes: Math.max(0, width - sum(parts)) };
  const all = [...parts, room];
  const strip = byId("strip");
  keyed(strip, all, ({ name }) => name, (part) => stripPart(part, width));
  const spoken = all.slice(0, MAX_SPOKEN).map((part) => `${part.name} ${bytes(part.bytes)}`);
  attribute(strip, "aria-label", spoken.join(", "));
  const named = new Set([...parts].sort((a, b) => b.bytes - a.bytes).slice(0, MAX_LEGEND));
  keyed(byId("strip-legend"), [...parts.filter((part) => named.has(part)), room], ({ name }) => name, legendItem);
  const disk = free === null ? "" : `; ${bytes(free)} free on the disk`;
  const share = `${percent(cached.bytes / limit)} of ${bytes(limit)}`;
  setText(byId("use-words"), `${bytes(cached.bytes)} in ${plural(cached.entries, "blob")}, ${share}${disk}`);
}

/**
 * @param {Part} _
 * @param {number} width The bytes of the whole strip.
 */
function stripPart(_, width) {
  const node = el("i");
  return {
    node,
    /** @param {Part} part */
    update(part) {
      node.style.flexGrow = String(Math.max(part.bytes / width, 0));
      attribute(node, "class", `part-${part.kind}`);
      attribute(node, "title", `${part.name}: ${bytes(part.bytes)}`);
    },
  };
}

/** @param {Part} first */
function legendItem(first) {
  const value = el("b");
  const swatch = el("i", { "aria-hidden": "true" });
  return {
    node: el("li", {}, swatch, `${first.name} `, value),
    /** @param {Part} part */
    update(part) {
      attribute(swatch, "class", `swatch part-${part.kind}`);
      setText(value, bytes(part.bytes));
    },
  };
}

/**
 * Renders "Evicted next".
 *
 * @param {Api.Asset[]} cached
 */
function renderNext(cached) {
  /** @param {Api.Asset} asset */
  const rank = (asset) => asset.evicted_next ?? 0;
  const next = cached
    .filter((asset) => rank(asset) > 0)
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, MAX_NEXT);
  byId("next-none").hidden = next.length > 0 || store.assetsState.phase !== "loaded";
  keyed(
    byId("next-list"),
    next,
    (asset) => asset.name,
    (first) => {
      const about = el("b");
      const link = el("a", { href: `#/cache/${encodeURIComponent(first.name)}`, class: "mono" }, first.name);
      return {
        node: el("li", {}, link, " ", about),
        /** @param {Api.Asset} asset */
        update: ({ size, used }) => setText(about, `${bytes(size)}, ${used ? `used ${ago(used)}` : "never used"}`),
      };
    },
  );
}

/**
 * @param {string} name
 * @returns {Ui.Panel}
 */
function assetPanel(name) {
  const state = el("p", { class: "standing" });
  const list = el("dl", { class: "facts" });
  const setFacts = facts(list);
  const failure = el("p", { class: "none", hidden: true });
  /**
   * The asset as it was fetched, while the list is not loaded.
   *
   * @type {Api.Asset | null}
   */
  let fetched = null;
  const current = () => store.assets.get(name) ?? fetched;
  const buttons = {
    preload: actionButton("Preload", () => preloadAsset(name), { primary: true }),
    pin: actionButton("Pin", () => pin(name)),
    unpin: actionButton("Unpin", () => unpin(name)),
    verify: actionButton("Verify", () => verify(name)),
    evict: actionButton(
      "Evict…",
      async () => {
        const asset = current();
        if (asset) await evict(asset);
      },
      { grave: true },
    ),
  };
  const node = el("div", {}, state, el("div", { class: "actions" }, Object.values(buttons)), list, failure);

  async function load() {
    try {
      fetched = await get(`assets/${inPath(name)}`);
      if (store.assetsState.phase !== "none") setAsset(fetched);
    } catch (error) {
      setText(failure, messageOf(error));
      failure.hidden = false;
    }
    render();
  }

  function render() {
    const asset = current();
    if (!asset) return;
    const cached = asset.state === "cached";
    const onDisk = cached || asset.state === "unverified";
    attribute(state, "data-tone", asset.failure ? "bad" : tone(asset.state));
    setText(state, stateText(asset));
    const pinned = asset.pinned_by.includes("operator");
    buttons.preload.hidden = cached;
    buttons.verify.hidden = buttons.evict.hidden = !onDisk;
    hide(buttons.pin, pinned, buttons.unpin);
    hide(buttons.unpin, !pinned, buttons.pin);
    setFacts([
      ["Size", bytes(asset.size)],
      ["SHA-256", asset.digest],
      ["Pinned by", pinnedBy(asset) ?? "nothing"],
      ["Releases", asset.releases.join(", ")],
      ["In use", asset.in_use ? "yes" : "no"],
      ["Last used", asset.used ? `${localTime(asset.used)}, ${ago(asset.used)}` : NONE],
      ["Verified", asset.verified ? `${localTime(asset.verified)}, ${ago(asset.verified)}` : NONE],
      ["Eviction", asset.evicted_next ? `#${count(asset.evicted_next)} in order` : cached ? "protected" : null],
      ["Type", asset.content_type],
      ["Sources", asset.sources.join("\n")],
      ["Last failure", asset.failure, "bad"],
    ]);
  }

  load();
  return { kind: "Asset", title: name, node, render };
}

/** @param {Api.Asset} asset */
function stateText({ state, failure, bytes: done, size }) {
  if (failure && state !== "cached") return `${state}: ${failure}`;
  return state === "filling" ? `filling, ${bytes(done)} of ${bytes(size)}` : state;
}

/**
 * Hides or shows a button. If a button with the focus is hidden, `other` gets the focus.
 *
 * @param {HTMLElement} button
 * @param {boolean} hidden
 * @param {HTMLElement} other
 */
function hide(button, hidden, other) {
  const focused = hidden && document.activeElement === button;
  button.hidden = hidden;
  if (!focused) return;
  other.hidden = false;
  other.focus();
}
