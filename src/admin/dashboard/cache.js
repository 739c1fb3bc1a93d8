// The page of the cache: what fills it, what would go next, and every asset with what can be done about it.

import { get, inPath } from "./api.js";
import { actionButton, composePreload, evict, pin, preloadAsset, scrub, unpin, verify } from "./actions.js";
import { amount, bar, chips, facts, opener, text, word } from "./cells.js";
import { attribute, byId, el, keyed, setText } from "./dom.js";
import { loadAssets, setAsset, store } from "./store.js";
import { Table } from "./table.js";
import { NONE, TONES, ago, bytes, clock, count, many, percent, tone } from "./words.js";

const FILTERS = {
  all: () => true,
  cached: (asset) => asset.state === "cached",
  filling: (asset) => asset.state === "filling",
  missing: (asset) => asset.state === "missing",
  held: (asset) => asset.pinned,
  failed: (asset) => asset.failure !== null,
};
/** Parts of the strip that are drawn one by one; the others are one. */
const MOST_PARTS = 24;
const MOST_NEXT = 8;
/** How old the list may be, in milliseconds, while it is looked at: ranks and last uses change without an event. */
const FRESH = { few: 30_000, many: 120_000 };
/** How often the strip is worked out anew, at most. */
const DIVIDED_EVERY = 2_000;

function part(asset) {
  if (asset.state === "cached") return [1, "good", "cached"];
  const known = asset.size ? asset.bytes / asset.size : null;
  if (asset.state === "filling") return [known, "busy"];
  return [asset.size && asset.bytes ? known : 0, "none", asset.bytes ? percent(known ?? 0) : "missing"];
}

function holders(asset) {
  return asset.pinned_by.length > 0
    ? asset.pinned_by.map((who) => (who === "operator" ? "pin" : who)).join(", ")
    : null;
}

export function cache({ open }) {
  let filter = "all";
  let words = "";
  let by = "release";
  let selected = null;
  let biggest = 1;
  let dividedAt = 0;
  let dividedIn = "none";
  const table = new Table(byId("assets-table"), {
    label: "Assets",
    key: (asset) => asset.name,
    open: (asset) => open(asset.name),
    current: () => selected,
    sort: { by: "name", way: 1 },
    tone: (asset) => (asset.failure ? "bad" : null),
    empty: () => {
      const { phase, error } = store.assetsState;
      if (error) return `The list cannot be read: ${error.message}`;
      if (phase !== "loaded") return "The list is on its way.";
      return store.assets.size === 0 ? "The catalog has no assets." : "No asset is like that.";
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
          () => biggest,
        ),
      },
      {
        key: "state",
        label: "Here",
        class: "c-here",
        sort: (asset) => `${["filling", "missing", "cached"].indexOf(asset.state)}`,
        make: bar("Here", part),
      },
      { key: "held", label: "Held by", class: "c-held", sort: holders, make: text(holders, holders) },
      {
        key: "used",
        label: "Used",
        class: "c-used num",
        first: -1,
        sort: (asset) => asset.used,
        make: text(
          (asset) => (asset.in_use ? "now" : asset.used ? ago(asset.used) : null),
          (asset) => (asset.used ? clock(asset.used) : null),
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
        label: "Goes as",
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
      { key: "cached", label: "Cached", tone: TONES.cached },
      { key: "filling", label: "Filling", tone: TONES.filling },
      { key: "missing", label: "Missing", tone: TONES.missing },
      { key: "held", label: "Held" },
      { key: "failed", label: "Failed", tone: TONES.failed },
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
      divide();
    },
  );
  byId("assets-search").addEventListener("input", (event) => {
    words = event.target.value.trim().toLowerCase();
    list(true);
  });
  byId("cache-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Preload…", () => composePreload(), { primary: true }),
  );

  function list(now) {
    const all = [...store.assets.values()];
    const tally = Object.fromEntries(Object.keys(FILTERS).map((key) => [key, 0]));
    const shown = [];
    biggest = 1;
    for (const asset of all) {
      for (const key in FILTERS) if (FILTERS[key](asset)) tally[key] += 1;
      if (asset.size > biggest) biggest = asset.size;
      if (
        FILTERS[filter](asset) &&
        (words === "" ||
          asset.name.toLowerCase().includes(words) ||
          asset.digest.startsWith(words) ||
          asset.releases.some((release) => release.toLowerCase().includes(words)))
      )
        shown.push(asset);
    }
    for (const key in FILTERS) states.count(key, tally[key]);
    table.show(shown, now);
    const { phase, total, at, error } = store.assetsState;
    setText(
      byId("assets-loaded"),
      error
        ? "the list may be old"
        : phase !== "loaded"
          ? total
            ? `reading ${many(total, "asset")}`
            : "reading"
          : `as of ${clock(new Date(at).toISOString()).slice(-8)}`,
    );
  }

  /** The strip: what fills the cache, each part as wide as its bytes. */
  function divide() {
    dividedAt = performance.now();
    dividedIn = store.assetsState.phase;
    const { status } = store;
    if (!status) return;
    const { limit, free, min_free: floor, cached, partial } = status.cache;
    // What the disk has left may be less than the limit.
    const most = free === null ? limit : Math.min(limit, cached.bytes + partial.bytes + Math.max(0, free - floor));
    const room = Math.max(most, 1);
    const here = [...store.assets.values()].filter((asset) => asset.state === "cached" && asset.size > 0);
    const counted = new Set();
    const groups = new Map();
    for (const asset of here) {
      // Assets that share a blob share its bytes.
      if (counted.has(asset.digest)) continue;
      counted.add(asset.digest);
      const [name, colour] = by === "asset" ? [asset.name, asset.pinned ? "held" : "loose"] : group(asset);
      const entry = groups.get(name) ?? { name, colour, bytes: 0 };
      entry.bytes += asset.size;
      groups.set(name, entry);
    }
    let parts = [...groups.values()].sort(
      (a, b) => ORDER.indexOf(a.colour) - ORDER.indexOf(b.colour) || b.bytes - a.bytes,
    );
    if (parts.length > MOST_PARTS) {
      const most = new Set([...parts].sort((a, b) => b.bytes - a.bytes).slice(0, MOST_PARTS - 2));
      for (const colour of ["held", "loose"]) {
        const rest = parts.filter((one) => !most.has(one) && (colour === "held") === (one.colour !== "loose"));
        if (rest.length > 0)
          most.add({
            name: `${count(rest.length)} smaller${colour === "held" ? ", held" : ""}`,
            colour,
            bytes: rest.reduce((sum, one) => sum + one.bytes, 0),
          });
      }
      parts = [...most].sort((a, b) => ORDER.indexOf(a.colour) - ORDER.indexOf(b.colour));
    }
    const known = parts.reduce((sum, one) => sum + one.bytes, 0);
    if (cached.bytes > known && store.assetsState.phase === "loaded")
      parts.push({ name: "no longer in the catalog", colour: "loose", bytes: cached.bytes - known });
    if (store.assetsState.phase !== "loaded") parts = [{ name: "cached", colour: "held", bytes: cached.bytes }];
    if (partial.bytes > 0) parts.push({ name: "under way", colour: "partial", bytes: partial.bytes });
    const used = parts.reduce((sum, one) => sum + one.bytes, 0);
    const all = [...parts, { name: "room", colour: "room", bytes: Math.max(0, room - used) }];
    keyed(
      byId("strip"),
      all,
      (one) => one.name,
      (one) => {
        const node = el("i");
        return {
          node,
          update(now) {
            node.style.flexGrow = String(Math.max(now.bytes / room, 0));
            attribute(node, "class", `part-${now.colour}`);
            attribute(node, "title", `${now.name}: ${bytes(now.bytes)}`);
          },
        };
      },
    );
    attribute(
      byId("strip"),
      "aria-label",
      all
        .slice(0, 10)
        .map((one) => `${one.name} ${bytes(one.bytes)}`)
        .join(", "),
    );
    const named = [...parts].sort((a, b) => b.bytes - a.bytes).slice(0, 7);
    keyed(
      byId("strip-legend"),
      [...all.filter((one) => named.includes(one)), all.at(-1)],
      (one) => one.name,
      (one) => {
        const value = el("b");
        const swatch = el("i", { "aria-hidden": "true" });
        return {
          node: el("li", {}, swatch, `${one.name} `, value),
          update(now) {
            attribute(swatch, "class", `swatch part-${now.colour}`);
            setText(value, bytes(now.bytes));
          },
        };
      },
    );
    setText(
      byId("use-words"),
      `${bytes(cached.bytes)} of ${many(cached.entries, "blob")}, ${percent(cached.bytes / limit)} of ${bytes(limit)}${free === null ? "" : `; ${bytes(free)} free on the disk`}`,
    );

    const next = here
      .filter((asset) => asset.evicted_next)
      .sort((a, b) => a.evicted_next - b.evicted_next)
      .slice(0, MOST_NEXT);
    byId("next-none").hidden = next.length > 0 || store.assetsState.phase !== "loaded";
    keyed(
      byId("next-list"),
      next,
      (asset) => asset.name,
      (asset) => {
        const size = el("b");
        return {
          node: el(
            "li",
            {},
            el("a", { href: `#/cache/${encodeURIComponent(asset.name)}`, class: "mono" }, asset.name),
            " ",
            size,
          ),
          update: (now) => setText(size, `${bytes(now.size)}, used ${now.used ? ago(now.used) : "never"}`),
        };
      },
    );
  }

  return {
    id: "cache",
    topics: ["assets", "status", "clock"],
    render(topics) {
      if (topics.has("assets")) list(false);
      else if (topics.has("clock")) table.render();
      const { phase, at, error } = store.assetsState;
      const due = phase !== dividedIn || performance.now() - dividedAt > DIVIDED_EVERY;
      if (due && (topics.has("assets") || topics.has("status"))) divide();
      // When it is first looked at: the list may be long.
      if (phase === "none" && error === null && store.status !== null) loadAssets();
      const old = store.assets.size > 2_000 ? FRESH.many : FRESH.few;
      if (topics.has("clock") && phase === "loaded" && Date.now() - at > old) {
        store.assetsState.at = Date.now();
        loadAssets();
      }
    },
    enter() {
      store.assetsState.error = null;
      list(true);
      divide();
    },
    panel: (name) => assetPanel(name),
    select(name) {
      selected = name;
      table.render();
    },
    restore: () => table.restore(),
  };
}

const ORDER = ["live", "held", "pin", "loose", "partial", "room"];

/** What an asset counts to: the live release that holds it before any other, then a pin, else nothing holds it. */
function group(asset) {
  const holding = asset.pinned_by.filter((who) => who.startsWith("release ")).map((who) => who.slice(8));
  const live = holding.find((name) => store.releases.get(name)?.state === "live");
  if (live) return [live, "live"];
  if (holding.length > 0) return [holding[0], "held"];
  if (asset.pinned) return ["pinned", "pin"];
  return ["may be evicted", "loose"];
}

function assetPanel(name) {
  const state = el("p", { class: "standing" });
  const list = el("dl", { class: "facts" });
  const set = facts(list);
  const trouble = el("p", { class: "none", hidden: true });
  const own = () => store.assets.get(name);
  const buttons = {
    preload: actionButton("Preload", () => preloadAsset(name), { primary: true }),
    pin: actionButton("Pin", () => pin(name)),
    unpin: actionButton("Unpin", () => unpin(name)),
    verify: actionButton("Verify", () => verify(name)),
    evict: actionButton("Evict…", () => evict(own() ?? asset), { grave: true }),
  };
  const node = el("div", {}, state, el("div", { class: "actions" }, Object.values(buttons)), list, trouble);
  let asset = null;

  async function ask() {
    try {
      asset = await get(`assets/${inPath(name)}`);
      if (store.assetsState.phase !== "none") setAsset(asset);
    } catch (error) {
      setText(trouble, error.message);
      trouble.hidden = false;
    }
    draw();
  }

  function draw() {
    const now = own() ?? asset;
    if (!now) return;
    const here = now.state === "cached";
    attribute(state, "data-tone", now.failure ? "bad" : tone(now.state));
    setText(
      state,
      now.failure && !here
        ? `${now.state}: ${now.failure}`
        : now.state === "filling"
          ? `filling, ${bytes(now.bytes)} of ${bytes(now.size)}`
          : now.state,
    );
    const mine = now.pinned_by.includes("operator");
    buttons.preload.hidden = here;
    buttons.verify.hidden = buttons.evict.hidden = !here;
    hide(buttons.pin, mine, buttons.unpin);
    hide(buttons.unpin, !mine, buttons.pin);
    set([
      ["Size", bytes(now.size)],
      ["SHA-256", now.digest],
      ["Held by", holders(now) ?? "nothing"],
      ["Releases", now.releases.join(", ")],
      ["In use", now.in_use ? "yes" : "no"],
      ["Used", now.used ? `${clock(now.used)}, ${ago(now.used)}` : NONE],
      ["Verified", now.verified ? `${clock(now.verified)}, ${ago(now.verified)}` : NONE],
      ["Evicted next", now.evicted_next ? `as #${count(now.evicted_next)}` : here ? "not: it is held" : null],
      ["Type", now.content_type],
      ["Sources", now.sources.join("\n")],
      ["Last failure", now.failure, "bad"],
    ]);
  }

  ask();
  return { kind: "Asset", title: name, node, render: draw };
}

/** Hides a button; one that had the keyboard hands it to the other. */
function hide(button, hidden, other) {
  const had = hidden && document.activeElement === button;
  button.hidden = hidden;
  if (had) {
    other.hidden = false;
    other.focus();
  }
}
