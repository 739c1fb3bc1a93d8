// The dashboard: connects pages, panel, header and event stream. Changes are drawn once per frame, on the shown page only.

import { allowActions } from "./actions.js";
import { Problem, get, session } from "./api.js";
import { cache } from "./cache.js";
import { forgetColours } from "./colours.js";
import { askForToken } from "./dialogs.js";
import { attribute, byId, setText } from "./dom.js";
import { events } from "./events.js";
import { count, localTime, plural } from "./format.js";
import { hosts } from "./hosts.js";
import { jobs } from "./jobs.js";
import { alerts, overview } from "./overview.js";
import { hidePanel, openPanel, renderPanel } from "./panel.js";
import { countByState } from "./rack.js";
import { releases } from "./releases.js";
import { apply, loadSnapshots, onChange, store } from "./store.js";
import { Stream } from "./stream.js";
import { system } from "./system.js";
import { traffic } from "./traffic.js";

/** The shortest time between two frames, in milliseconds: more frames would only flicker. */
const FRAME_INTERVAL = 120;
/** The connection of a hidden tab is closed after this time, in milliseconds: a browser has six per server, for all tabs. */
const HIDDEN_TIMEOUT = 15_000;

/** @param {string} page */
const opener = (page) => ({
  /** @param {string} key */
  open(key) {
    location.hash = `#/${page}/${encodeURIComponent(key)}`;
  },
});
const firstPage = overview();
const pages = new Map(
  [
    firstPage,
    hosts(opener("hosts")),
    cache(opener("cache")),
    releases(),
    traffic(),
    jobs(),
    events(),
    system(),
  ].map((one) => [one.id, one]),
);
/** @type {Ui.Page | null} */
let page = null;
/**
 * The key of the item whose panel is open.
 *
 * @type {string | null}
 */
let item = null;

// Drawing ------------------------------------------------------------------------------------------------------------

/**
 * The topics that changed since the last frame.
 *
 * @type {Ui.Topics}
 */
const dirty = new Set();
let drawnAt = 0;
/** The pending timer or animation frame, or 0. */
let due = 0;

onChange((topic) => {
  dirty.add(topic);
  schedule();
});

function schedule() {
  if (due || document.hidden) return;
  const wait = drawnAt + FRAME_INTERVAL - performance.now();
  due = wait > 4 ? setTimeout(() => (due = requestAnimationFrame(draw)), wait) : requestAnimationFrame(draw);
}

/** @type {Ui.Topic[]} */
const HEADER_TOPICS = ["status", "hosts", "jobs", "fills", "releases", "link"];

function draw() {
  due = 0;
  drawnAt = performance.now();
  const topics = new Set(dirty);
  dirty.clear();
  if (HEADER_TOPICS.some((topic) => topics.has(topic))) drawHeader();
  if (page?.topics.some((topic) => topics.has(topic))) page.render(topics);
  renderPanel(topics);
  store.jobItems.length = 0;
}

/** @type {Ui.Topic[]} */
const ALL_TOPICS = ["status", "hosts", "releases", "fills", "transfers", "jobs", "journal", "assets", "theme"];

/** Draws the whole page. */
function drawAll() {
  for (const topic of ALL_TOPICS) dirty.add(topic);
  schedule();
}

// Ages change every second.
setInterval(() => {
  if (document.hidden) return;
  dirty.add("clock");
  if (link.lost) drawLink();
  schedule();
}, 1000);

/** The timer that closes the connection of a hidden tab. */
let hiddenTimer = 0;
/** Whether the connection was closed because the tab is hidden. */
let paused = false;

// The last save of the throughput, before the page goes away.
addEventListener("pagehide", () => store.history.save());

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      paused = stream.running;
      stream.stop();
    }, HIDDEN_TIMEOUT);
    return;
  }
  // The stream resumes at the last event.
  if (paused) stream.start();
  else stream.retry();
  paused = false;
  drawAll();
});

// The header ---------------------------------------------------------------------------------------------------------

function drawHeader() {
  const { status } = store;
  const needy = [...store.hosts.values()].filter((host) => host.needs_attention);
  const { stuck, failed } = countByState(needy);
  const runningJobs = [...store.jobs.values()].filter((job) => job.state === "running");
  const failedReleases = [...store.releases.values()].filter((release) => release.state === "failed");
  badge("nav-hosts", needy.length, failed ? "bad" : stuck ? "warn" : "wait");
  badge("nav-traffic", status?.fills.active ?? 0, "busy");
  badge("nav-jobs", runningJobs.length, "busy");
  badge("nav-releases", failedReleases.length, "bad");
  if (!status) return;
  const found = alerts();
  const [colour, word, reason] = readiness(status, found);
  attribute(byId("verdict"), "data-tone", colour);
  setText(byId("verdict-word"), word);
  setText(byId("verdict-why"), reason);
  attribute(byId("verdict-why"), "title", status.troubles.join("\n") || null);
  badge("nav-system", found.filter((alert) => alert.href === "#/system").length, "bad");
  setText(byId("imprint"), [status.version, status.revision].filter((text) => text !== "unknown").join(" · "));
  const title = `${link.lost ? "connection lost" : word.toLowerCase()} · bootdepot`;
  if (document.title !== title) document.title = title;
}

/**
 * Whether the server is ready, and the first problem.
 *
 * @param {Api.Status} status
 * @param {import("./overview.js").Alert[]} found
 * @returns {[tone: Ui.Tone, word: string, reason: string]}
 */
function readiness(status, found) {
  if (link.lost) return ["none", "Unknown", `since ${localTime(link.lost)}`];
  /** @param {string[]} problems */
  const summary = ([first = "no reason given", ...more]) =>
    more.length > 0 ? `${first}, and ${count(more.length)} more` : first;
  if (!status.ready) return ["bad", "Not ready", summary(status.troubles)];
  const others = found.filter((alert) => !alert.key.startsWith("host ")).map((alert) => alert.title);
  if (others.length > 0) return ["warn", "Ready with problems", summary(others)];
  if (found.length === 0) return ["good", "Ready", ""];
  return ["warn", "Ready", `${plural(found.length, "host needs", "hosts need")} attention`];
}

/**
 * Shows a number in the navigation; 0 hides it.
 *
 * @param {string} id
 * @param {number} number
 * @param {Ui.Tone} colour
 */
function badge(id, number, colour) {
  setText(byId(id), number > 0 ? count(number) : "");
  attribute(byId(id), "data-tone", number > 0 ? colour : null);
}

// The connection -----------------------------------------------------------------------------------------------------

const link = {
  /**
   * When the connection was lost; `null` if it is open.
   *
   * @type {Api.Time | null}
   */
  lost: null,
  /** When the next attempt begins, in the browser's milliseconds since 1970. */
  next: 0,
  /** Why the last attempt failed, if the server said so. */
  reason: "",
};

const stream = new Stream({
  async open(resumed) {
    if (!resumed || store.status === null) await loadSnapshots();
    const since = link.lost;
    link.lost = null;
    if (since)
      store.journal.add("server", "good", `connected again; the connection was lost at ${localTime(since)}`);
    drawLink("live");
    route();
    drawAll();
  },
  event(name, data) {
    if (name === "reset") {
      stream.restart();
      return;
    }
    const { status } = store;
    apply(name, data);
    // The server restarted: its counters and jobs are new.
    if (name === "status" && status && store.status?.started !== status.started) stream.restart();
  },
  lost(error, backoff) {
    if (link.lost === null) {
      link.lost = new Date().toISOString();
      store.journal.add("server", "warn", "the connection to the server was lost");
      dirty.add("journal");
    }
    link.next = Date.now() + backoff;
    link.reason = error instanceof Problem ? error.message : "";
    drawLink("lost");
    dirty.add("link");
    schedule();
  },
});

/** @param {"live" | "lost" | "locked"} state */
function drawLink(state = link.lost ? "lost" : "live") {
  attribute(byId("link-state"), "data-state", state);
  setText(byId("link-word"), state === "lost" ? "lost" : state);
  document.documentElement.classList.toggle("stale", state === "lost");
  byId("lost").hidden = state !== "lost";
  if (state !== "lost") return;
  setText(byId("lost-since"), localTime(link.lost));
  const seconds = Math.max(0, Math.ceil((link.next - Date.now()) / 1000));
  // In steps of five seconds, so that a screen reader does not announce every second.
  const shown = seconds > 5 ? Math.ceil(seconds / 5) * 5 : seconds;
  const next = seconds > 0 ? `Retrying within ${shown} s.` : "Retrying now.";
  setText(byId("lost-next"), [link.reason, next].filter(Boolean).join(" "));
}

byId("lost-retry").addEventListener("click", () => stream.retry());
addEventListener("online", () => stream.retry());

// The token ----------------------------------------------------------------------------------------------------------

session.refused = (problem) => {
  stream.stop();
  attribute(byId("verdict"), "data-tone", "warn");
  setText(byId("verdict-word"), problem.status === 401 ? "Token required" : "Access denied");
  setText(byId("verdict-why"), "");
  drawLink("locked");
  askForToken(problem.message, begin);
};

session.changed = () => {
  drawSession();
  allowActions();
};

function drawSession() {
  const words = {
    unknown: session.token ? "Token" : "No token",
    viewer: "Viewer",
    operator: session.token ? "Operator" : "No token required",
  };
  const button = byId("session-button");
  setText(button, words[session.role]);
  attribute(button, "aria-label", `${words[session.role]}; enter another token`);
  attribute(button, "data-role", session.role);
}

byId("session-button").addEventListener("click", () =>
  askForToken(
    session.role === "viewer" ? "The current token is read-only." : "The new token replaces the current one.",
    begin,
  ),
);

// A page in the back/forward cache must not keep a connection open: a browser has six per server.
addEventListener("pagehide", () => stream.stop());
addEventListener("pageshow", (event) => {
  if (event.persisted) begin();
});

async function begin() {
  drawSession();
  allowActions();
  stream.stop();
  stream.failures = 0;
  try {
    // Checked before the stream starts, so that the token dialog shows the reason of a refusal.
    await get("status");
  } catch (error) {
    if (error instanceof Problem && error.unauthorized) return;
  }
  stream.restart();
}

// Pages --------------------------------------------------------------------------------------------------------------

/** Shows the page and the panel of the address. */
function route() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/");
  const next = pages.get(name) ?? firstPage;
  const key = rest.length > 0 ? decode(rest.join("/")) : null;
  const moved = next !== page;
  page = next;
  if (moved) {
    hidePanel();
    item = null;
    showPage(next.id);
  }
  if (moved || query) next.enter?.(new URLSearchParams(query));
  if (moved) drawAll();
  // Without a status the server has not accepted the token yet, and there is nothing to open.
  if (key === item || store.status === null) return;
  const before = item;
  item = key && next.panel ? key : null;
  next.select?.(item);
  if (item !== null && next.panel) {
    openPanel(next.panel(item), () => (location.hash = `#/${next.id}`));
    return;
  }
  hidePanel();
  if (before !== null) next.restore?.();
}

/** @param {string} id */
function showPage(id) {
  for (const section of document.querySelectorAll("main > .page")) {
    section.toggleAttribute("hidden", section.id !== `page-${id}`);
  }
  /** @type {NodeListOf<HTMLElement>} */
  const links = document.querySelectorAll("nav.pages a");
  for (const one of links) {
    const current = one.dataset.page === id;
    attribute(one, "aria-current", current ? "page" : null);
    if (current) one.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  byId("main").scrollTop = 0;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

addEventListener("hashchange", route);

// The theme ----------------------------------------------------------------------------------------------------------

const THEMES = ["auto", "light", "dark"];
const dark = matchMedia("(prefers-color-scheme: dark)");

function theme() {
  return document.documentElement.dataset.theme ?? "auto";
}

function drawTheme() {
  setText(byId("theme-word"), theme());
  attribute(byId("theme-button"), "aria-label", `Theme: ${theme() === "auto" ? "same as system" : theme()}`);
  forgetColours();
  drawAll();
}

byId("theme-button").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length] ?? "auto";
  if (next === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("bootdepot.theme");
  } else {
    document.documentElement.dataset.theme = next;
    localStorage.setItem("bootdepot.theme", next);
  }
  drawTheme();
});
dark.addEventListener("change", drawTheme);

drawTheme();
drawSession();
route();
begin();
