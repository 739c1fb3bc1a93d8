// The page "Overview": whether everything works, and where to look if not.

import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { NONE, age, bytes, count, localTime, percent, plural, rate, roughDuration, tone } from "./format.js";
import { Plot } from "./plot.js";
import { Rack, countByState, explanation } from "./rack.js";
import { hostKey, store } from "./store.js";

const MAX_ITEMS = 6;
const MAX_ALERTS = 6;
const MAX_EVENTS = 8;
/** How long a failed fill needs attention, in seconds. */
const RECENT = 3_600;

/**
 * Something that needs attention; `key` identifies it, `href` is the address of the page with the details.
 *
 * @typedef {{ key: string, tone: Ui.Tone, title: string, text: string | null, href: string }} Alert
 */

/**
 * Returns everything that needs attention: first the server's problems, then releases, fills and hosts.
 *
 * @returns {Alert[]}
 */
export function alerts() {
  return [...serverAlerts(), ...releaseAlerts(), ...fillAlerts(), ...hostAlerts()];
}

/** @returns {Alert[]} */
function serverAlerts() {
  const { status } = store;
  if (!status) return [];
  /** @type {Alert[]} */
  const found = [];
  /**
   * @param {string} key
   * @param {Ui.Tone} colour
   * @param {string} title
   * @param {string} text
   */
  const add = (key, colour, title, text) => found.push({ key, tone: colour, title, text, href: "#/system" });
  const { writable, trouble, dir } = status.cache;
  if (!writable) add("disk", "bad", "The cache is not writable", trouble ?? dir);
  else if (trouble) add("disk", "warn", "Problem with the cache's disk", trouble);
  const { last_reload: reload, sources } = status.catalog;
  const reloadErrors = reload?.outcome === "failed" ? reload.errors : [];
  if (reload?.outcome === "failed")
    add("reload", "bad", "Reload failed; the previous configuration stays active", reloadErrors.join("; "));
  for (const { place, error } of sources) {
    if (error && !reload?.errors.includes(error)) add(`source ${place}`, "bad", place, error);
  }
  for (const origin of status.origins) {
    if (origin.last_error && originIsDown(origin))
      add(`origin ${origin.origin}`, "bad", `Origin ${origin.origin} is failing`, origin.last_error.message);
  }
  return found;
}

/** @returns {Alert[]} */
function releaseAlerts() {
  return [...store.releases.values()]
    .filter((release) => release.state === "failed")
    .map(({ name, reason }) => ({
      key: `release ${name}`,
      tone: "bad",
      title: `Release ${name} cannot be fetched`,
      text: reason,
      href: "#/releases",
    }));
}

/** @returns {Alert[]} */
function fillAlerts() {
  return [...failedFills()].map(([outcome, [fill, ...more]]) => {
    const detail = fill.detail ?? "";
    const alert = { key: `fill ${outcome}`, tone: tone(outcome) };
    return more.length === 0
      ? { ...alert, title: `${fill.name}: fill failed, ${outcome}`, text: detail, href: assetHref(fill.name) }
      : {
          ...alert,
          title: `${count(more.length + 1)} fills failed, ${outcome}`,
          text: `${fill.name}: ${detail}`,
          href: "#/traffic",
        };
  });
}

/**
 * The recently failed fills by outcome, the newest first. A fill of the same blob that is active or ended later replaces them.
 */
function failedFills() {
  const newer = new Set(store.fills.keys());
  /** @type {Map<Api.FillOutcome, [Api.PastFill, ...Api.PastFill[]]>} */
  const found = new Map();
  for (const fill of store.pastFills) {
    if (newer.has(fill.digest)) continue;
    newer.add(fill.digest);
    if (fill.outcome === "complete" || fill.outcome === "cancelled" || age(fill.ended) > RECENT) continue;
    const others = found.get(fill.outcome);
    if (others) others.push(fill);
    else found.set(fill.outcome, [fill]);
  }
  return found;
}

/**
 * The hosts that need the operator. Hosts without a configuration are last, since they retry for ever; otherwise the newest are
 * first, since older ones are known.
 *
 * @returns {Alert[]}
 */
function hostAlerts() {
  /** @param {Api.Host} host */
  const waiting = (host) => Number(host.state === "waiting");
  return [...store.hosts.values()]
    .filter((host) => host.needs_attention)
    .sort((a, b) => waiting(a) - waiting(b) || ((a.since ?? "") < (b.since ?? "") ? 1 : -1))
    .map((host) => {
      const key = hostKey(host);
      return {
        key: `host ${key}`,
        tone: tone(host.state ?? "unseen"),
        title: `${key} ${host.state}, ${roughDuration(age(host.since))}`,
        text: explanation(host),
        href: `#/hosts/${encodeURIComponent(key)}`,
      };
    });
}

/**
 * Whether the last response of an origin was an error.
 *
 * @param {Pick<Api.Origin, "last_ok" | "last_error">} origin
 */
export function originIsDown({ last_ok, last_error }) {
  return last_error !== null && (last_ok === null || Date.parse(last_error.at) > Date.parse(last_ok));
}

/** @param {string} name */
function assetHref(name) {
  return `#/cache/${encodeURIComponent(name)}`;
}

/**
 * A figure: its label, and what it shows.
 *
 * @typedef {{ label: string, read: (status: Api.Status) => [value: string, note: string, tone?: Ui.Tone | null] }} Figure
 */

/** @type {Figure[]} */
const FIGURES = [
  {
    label: "Booting",
    read: () => {
      const { booting } = countByState(store.hosts.values());
      return [count(booting), `of ${plural(store.hosts.size, "host")}`, booting > 0 ? "busy" : null];
    },
  },
  {
    label: "Stuck or failed",
    read: () => {
      const { stuck, failed } = countByState(store.hosts.values());
      const colour = failed > 0 ? "bad" : stuck > 0 ? "warn" : null;
      return [count(stuck + failed), `${count(stuck)} stuck, ${count(failed)} failed`, colour];
    },
  },
  {
    label: "Sent to clients",
    read: ({ transfers }) => {
      const { http, tftp } = store.history.newest;
      return [rate(http + tftp), plural(transfers.active, "active transfer")];
    },
  },
  {
    label: "Received from origins",
    read: ({ fills: { active } }) => [rate(store.history.newest.received), plural(active, "active fill")],
  },
  {
    label: "Cache",
    read: ({ cache: { cached, limit } }) => [
      bytes(cached.bytes),
      `${percent(cached.bytes / limit)} of ${bytes(limit)}`,
    ],
  },
  {
    label: "Sent per byte received",
    read: ({ totals: { sent, received } }) => {
      const ratio = (sent.http + sent.tftp) / received;
      const shown = ratio >= 10 ? count(Math.floor(ratio)) : ratio.toFixed(1);
      return [received > 0 ? `${shown} ×` : NONE, `${bytes(sent.http + sent.tftp)} sent since start`];
    },
  },
];

/** @returns {Ui.Page} */
export function overview() {
  const rack = new Rack(() => store.hosts);
  const plot = new Plot(byId("overview-plot", HTMLCanvasElement), byId("overview-legend"), store.history);

  /** @param {Ui.Topics} topics */
  function render(topics) {
    const { status } = store;
    if (!status) return;
    keyed(byId("figures"), FIGURES, ({ label }) => label, figure);
    if (topics.has("status")) plot.draw();
    if (topics.has("hosts") || topics.has("theme")) rack.render();
    renderAlerts();
    if (topics.has("fills")) renderFills();
    if (topics.has("releases")) renderReleases();
    if (topics.has("journal")) renderEvents();
  }

  return { id: "overview", topics: ["status", "hosts", "fills", "releases", "journal", "theme"], render };
}

/** @param {Figure} first */
function figure({ label, read }) {
  const value = el("strong");
  const note = el("span");
  const node = el("li", {}, el("span", { class: "label" }, label), value, note);
  return {
    node,
    update() {
      if (!store.status) return;
      const [now, more, colour] = read(store.status);
      setText(value, now);
      setText(note, more);
      attribute(node, "data-tone", colour);
    },
  };
}

function renderAlerts() {
  const found = alerts();
  const shown = found.slice(0, MAX_ALERTS);
  setText(
    byId("attention-count"),
    found.length > shown.length ? `${count(shown.length)} of ${count(found.length)}` : "",
  );
  byId("attention-none").hidden = found.length > 0;
  keyed(byId("attention"), shown, ({ key }) => key, alertItem);
}

/** @param {Alert} first */
function alertItem({ href }) {
  const [title, text] = [el("strong"), el("span")];
  const link = el("a", { href }, el("i", { class: "lamp", "aria-hidden": "true" }), title, text);
  const node = el("li", {}, link);
  return {
    node,
    /** @param {Alert} alert */
    update(alert) {
      attribute(link, "href", alert.href);
      attribute(node, "data-tone", alert.tone);
      setText(title, alert.title);
      setText(text, alert.text ?? "");
      attribute(text, "title", alert.text);
    },
  };
}

function renderFills() {
  const all = [...store.fills.values()];
  byId("overview-fills-none").hidden = all.length > 0;
  keyed(
    byId("overview-fills"),
    all.slice(0, MAX_ITEMS),
    (fill) => fill.digest,
    progressItem(
      (fill) => assetHref(fill.name),
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

function renderReleases() {
  const all = [...store.releases.values()].filter((release) => release.active || release.state === "live");
  byId("overview-releases-none").hidden = all.length > 0;
  setText(
    byId("overview-releases-none"),
    store.releases.size > 0 ? "No release is active." : "No releases are configured.",
  );
  keyed(
    byId("overview-releases"),
    all.slice(0, MAX_ITEMS),
    (release) => release.name,
    progressItem(
      () => "#/releases",
      (release) => ({
        name: release.name,
        note: release.state,
        part: releasePart(release),
        tone: tone(release.state),
        more: `${release.cached} of ${plural(release.total, "asset")}`,
      }),
    ),
  );
}

/**
 * How much of a release is cached, 0 to 1: of its bytes if all sizes are known, else of its assets.
 *
 * @param {Pick<Api.Release, "size" | "bytes" | "cached" | "total">} release
 */
export function releasePart({ size, bytes: cachedBytes, cached, total }) {
  if (size) return cachedBytes / size;
  return total ? cached / total : 1;
}

/**
 * Returns the function that creates an item with a progress bar.
 *
 * @template T
 * @param {(item: T) => string} href
 * @param {(item: T) => { name: string, note: string, part: number | null, tone: Ui.Tone, more: string }} read
 * @returns {(item: T) => Ui.Entry<T>}
 */
function progressItem(href, read) {
  return (first) => {
    const name = el("a", { class: "cut", href: href(first) });
    const note = el("span", { class: "note" });
    const more = el("span", { class: "quiet" });
    const line = progressBar(read(first).name);
    const node = el(
      "li",
      {},
      el("div", { class: "item-head" }, name, note),
      line.node,
      el("div", { class: "item-foot" }, more),
    );
    return {
      node,
      update(item) {
        const shown = read(item);
        setText(name, shown.name);
        setText(note, shown.note);
        attribute(note, "data-tone", shown.tone);
        setText(more, shown.more);
        line.set(shown.part, shown.tone);
      },
    };
  };
}

function renderEvents() {
  const newest = store.journal.entries.slice(0, MAX_EVENTS);
  byId("overview-events-none").hidden = newest.length > 0;
  keyed(
    byId("overview-events"),
    newest,
    (entry) => entry.id,
    (entry) => ({
      node: el(
        "li",
        { "data-tone": entry.tone },
        el("time", { datetime: entry.at }, localTime(entry.at).slice(-8)),
        el("i", { class: "lamp", "aria-hidden": "true" }),
        el(entry.href ? "a" : "span", { href: entry.href, class: "cut", title: entry.text }, entry.text),
      ),
      update() {},
    }),
  );
}
