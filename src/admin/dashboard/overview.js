// The first page: whether all is well, and where to look if not.

import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { Plot } from "./plot.js";
import { Rack, tally } from "./rack.js";
import { hostKey, store } from "./store.js";
import { TONES, age, bytes, clock, count, many, percent, rate, span, tone } from "./words.js";

const MOST_ITEMS = 6;
const MOST_ATTENTION = 6;
/** How long ago a fill may have failed that still wants a look, in seconds: of older ones somebody knows. */
const RECENT = 3_600;

/** What wants a look, the gravest first: `{key, tone, title, text, href}`. */
export function troubles() {
  const found = [];
  const add = (key, colour, title, text, href) => found.push({ key, tone: colour, title, text, href });
  const { status } = store;
  if (status) {
    if (!status.cache.writable)
      add("disk", "bad", "The cache cannot be written", status.cache.trouble ?? status.cache.dir, "#/system");
    else if (status.cache.trouble) add("disk", "warn", "The cache's disk", status.cache.trouble, "#/system");
    const { last_reload: reload, sources } = status.catalog;
    if (reload?.outcome === "failed")
      add(
        "reload",
        "bad",
        "The last reload failed; what was loaded before stays",
        reload.errors.join("; "),
        "#/system",
      );
    for (const source of sources) {
      if (source.error && !reload?.errors?.includes(source.error))
        add(`source ${source.place}`, "bad", source.place, source.error, "#/system");
    }
    for (const origin of status.origins) {
      if (originIsDown(origin))
        add(
          `origin ${origin.origin}`,
          "bad",
          `${origin.origin} does not answer as it should`,
          origin.last_error.message,
          "#/system",
        );
    }
  }
  for (const release of store.releases.values()) {
    if (release.state === "failed")
      add(`release ${release.name}`, "bad", `Release ${release.name} cannot be fetched`, release.reason, "#/releases");
  }
  for (const [outcome, fills] of failedFills()) {
    const [fill] = fills;
    const one = fills.length === 1;
    add(`fill ${outcome}`, tone(outcome), `${one ? fill.name : many(fills.length, "asset")} ${one ? "was" : "were"} not fetched: ${outcome}`, `${one ? "" : `${fill.name}: `}${fill.detail ?? ""}`, one ? `#/cache/${encodeURIComponent(fill.name)}` : "#/traffic");
  }
  // A machine that nobody named asks on; those come first that had something to boot. Of those the newest: of the old
  // ones somebody knows.
  const hosts = [...store.hosts.values()].filter(needsLook);
  hosts.sort((a, b) => (a.state === "waiting") - (b.state === "waiting") || (a.since < b.since ? 1 : -1));
  for (const host of hosts) {
    const key = hostKey(host);
    add(
      `host ${key}`,
      TONES[host.state],
      `${key} ${host.state}, ${span(age(host.since))}`,
      host.note,
      `#/hosts/${encodeURIComponent(key)}`,
    );
  }
  return found;
}

/** Whether a machine does not go on by itself. */
function needsLook(host) {
  return host.state === "failed" || host.state === "stuck" || host.state === "waiting";
}

/** Assets whose last fill failed a short while ago, by its outcome, the newest first. One whose fill is under way is none. */
function failedFills() {
  const told = new Set(store.fills.keys());
  const found = new Map();
  for (const fill of store.pastFills) {
    if (told.has(fill.digest)) continue;
    told.add(fill.digest);
    if (fill.outcome === "complete" || fill.outcome === "cancelled" || age(fill.ended) > RECENT) continue;
    found.set(fill.outcome, [...(found.get(fill.outcome) ?? []), fill]);
  }
  return found;
}

/** Whether the last that was heard of an origin is an error. */
export function originIsDown(origin) {
  return (
    origin.last_error !== null &&
    (origin.last_ok === null || Date.parse(origin.last_error.at) > Date.parse(origin.last_ok))
  );
}

const FIGURES = [
  [
    "booting",
    "Booting",
    () => {
      const found = tally(store.hosts.values());
      return [count(found.booting), `of ${many(store.hosts.size, "host")}`, found.booting > 0 ? "busy" : null];
    },
  ],
  [
    "attention",
    "Stuck or failed",
    () => {
      const found = tally(store.hosts.values());
      return [
        count(found.stuck + found.failed),
        `${count(found.stuck)} stuck, ${count(found.failed)} failed`,
        found.failed > 0 ? "bad" : found.stuck > 0 ? "warn" : null,
      ];
    },
  ],
  [
    "sent",
    "Sending",
    () => {
      const { http, tftp } = store.history.newest;
      return [rate(http + tftp), `${many(store.status.transfers.active, "transfer")}`];
    },
  ],
  [
    "received",
    "From origins",
    () => [rate(store.history.newest.received), `${many(store.status.fills.active, "fill")} under way`],
  ],
  [
    "cache",
    "Cache",
    () => {
      const { cached, limit } = store.status.cache;
      return [bytes(cached.bytes), `${percent(cached.bytes / limit)} of ${bytes(limit)}`];
    },
  ],
  [
    "saved",
    "Sent for each byte fetched",
    () => {
      const { sent, received } = store.status.totals;
      const ratio = (sent.http + sent.tftp) / received;
      return [
        received > 0 ? `${ratio >= 10 ? count(Math.floor(ratio)) : ratio.toFixed(1)} ×` : "–",
        `${bytes(sent.http + sent.tftp)} since the start`,
      ];
    },
  ],
];

export function overview() {
  const rack = new Rack(() => store.hosts);
  const plot = new Plot(byId("overview-plot"), byId("overview-legend"), store.history);

  function render(topics) {
    const { status } = store;
    if (!status) return;
    keyed(byId("figures"), FIGURES, ([key]) => key, figure);
    if (topics.has("status")) plot.draw();
    if (topics.has("hosts") || topics.has("theme")) rack.render();
    attention();
    if (topics.has("fills")) fills();
    if (topics.has("releases")) releases();
    if (topics.has("journal")) events();
  }

  return { id: "overview", topics: ["status", "hosts", "fills", "releases", "journal", "theme"], render };
}

function figure([, label, read]) {
  const value = el("strong");
  const note = el("span");
  const node = el("li", {}, el("span", { class: "label" }, label), value, note);
  return {
    node,
    update() {
      const [now, more, colour] = read();
      setText(value, now);
      setText(note, more);
      attribute(node, "data-tone", colour ?? null);
    },
  };
}

function attention() {
  const found = troubles();
  const shown = found.slice(0, MOST_ATTENTION);
  setText(
    byId("attention-count"),
    found.length > shown.length ? `${count(shown.length)} of ${count(found.length)}` : "",
  );
  byId("attention-none").hidden = found.length > 0;
  keyed(
    byId("attention"),
    shown,
    (one) => one.key,
    (one) => {
      const [title, text] = [el("strong"), el("span")];
      const link = el("a", { href: one.href }, el("i", { class: "lamp", "aria-hidden": "true" }), title, text);
      const node = el("li", {}, link);
      return {
        node,
        update(now) {
          attribute(node, "data-tone", now.tone);
          setText(title, now.title);
          setText(text, now.text ?? "");
          attribute(text, "title", now.text ?? null);
        },
      };
    },
  );
}

function fills() {
  const all = [...store.fills.values()];
  byId("overview-fills-none").hidden = all.length > 0;
  keyed(
    byId("overview-fills"),
    all.slice(0, MOST_ITEMS),
    (fill) => fill.digest,
    progressItem(
      (fill) => `#/cache/${encodeURIComponent(fill.name)}`,
      (fill) => ({
        name: fill.name,
        note: fill.phase === "filling" ? rate(fill.rate) : fill.phase,
        part: fill.size ? fill.bytes / fill.size : null,
        tone: "busy",
        more: `${bytes(fill.bytes)}${fill.size ? ` of ${bytes(fill.size)}` : ""}`,
      }),
    ),
  );
}

function releases() {
  const all = [...store.releases.values()].filter((release) => release.active || release.state === "live");
  byId("overview-releases-none").hidden = all.length > 0;
  setText(byId("overview-releases-none"), store.releases.size > 0 ? "None is active." : "The settings have none.");
  keyed(
    byId("overview-releases"),
    all.slice(0, MOST_ITEMS),
    (release) => release.name,
    progressItem(
      () => "#/releases",
      (release) => ({
        name: release.name,
        note: release.state,
        part: release.size ? release.bytes / release.size : release.total ? release.cached / release.total : 1,
        tone: tone(release.state),
        more: `${release.cached} of ${many(release.total, "asset")}`,
      }),
    ),
  );
}

function progressItem(href, read) {
  return (item) => {
    const [name, note, more] = [
      el("a", { class: "cut", href: href(item) }),
      el("span", { class: "note" }),
      el("span", { class: "quiet" }),
    ];
    const line = progressBar(read(item).name);
    const node = el(
      "li",
      {},
      el("div", { class: "item-head" }, name, note),
      line.node,
      el("div", { class: "item-foot" }, more),
    );
    return {
      node,
      update(now) {
        const told = read(now);
        setText(name, told.name);
        setText(note, told.note);
        attribute(note, "data-tone", told.tone);
        setText(more, told.more);
        line.set(told.part, told.tone);
      },
    };
  };
}

function events() {
  const newest = store.journal.entries.slice(0, 8);
  byId("overview-events-none").hidden = newest.length > 0;
  keyed(
    byId("overview-events"),
    newest,
    (entry) => entry.id,
    (entry) => ({
      node: el(
        "li",
        { "data-tone": entry.tone },
        el("time", { datetime: entry.at }, clock(entry.at).slice(-8)),
        el("i", { class: "lamp", "aria-hidden": "true" }),
        el(entry.href ? "a" : "span", { href: entry.href, class: "cut", title: entry.text }, entry.text),
      ),
      update() {},
    }),
  );
}
