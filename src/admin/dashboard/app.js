// The dashboard: puts pages, panel, header and stream together. What changes is drawn once a frame, and only what is in sight.

import { allowActions } from "./actions.js";
import { Problem, get, session } from "./api.js";
import { cache } from "./cache.js";
import { forgetColours } from "./colours.js";
import { askForToken } from "./dialogs.js";
import { attribute, byId, setText } from "./dom.js";
import { events } from "./events.js";
import { hosts } from "./hosts.js";
import { jobs } from "./jobs.js";
import { overview, troubles } from "./overview.js";
import { hidePanel, openPanel, renderPanel } from "./panel.js";
import { releases } from "./releases.js";
import { apply, loadSnapshots, onChange, store } from "./store.js";
import { Stream } from "./stream.js";
import { system } from "./system.js";
import { traffic } from "./traffic.js";
import { tally } from "./rack.js";
import { clock, count, many } from "./words.js";

/** Data is drawn this often at most, in milliseconds: more is only restless. */
const DRAWN_EVERY = 120;

const go = (page) => ({ open: (key) => (location.hash = `#/${page}/${encodeURIComponent(key)}`) });
const pages = Object.fromEntries(
  [overview(), hosts(go("hosts")), cache(go("cache")), releases(), traffic(), jobs(), events(), system()].map(
    (page) => [page.id, page],
  ),
);
let page = null;
let item = null;

// Drawing ------------------------------------------------------------------------------------------------------------

const dirty = new Set();
let drawnAt = 0;
let due = 0;

onChange((topic) => {
  dirty.add(topic);
  schedule();
});

function schedule() {
  if (due || document.hidden) return;
  const wait = drawnAt + DRAWN_EVERY - performance.now();
  due = wait > 4 ? setTimeout(() => (due = requestAnimationFrame(draw)), wait) : requestAnimationFrame(draw);
}

function draw() {
  due = 0;
  drawnAt = performance.now();
  const topics = new Set(dirty);
  dirty.clear();
  const counted = ["status", "hosts", "jobs", "fills", "releases", "link"];
  if (counted.some((topic) => topics.has(topic))) header();
  if (page?.topics.some((topic) => topics.has(topic))) page.render(topics);
  renderPanel(topics);
  store.jobItems.length = 0;
}

/** Draws all of the page that is shown. */
function drawAll() {
  ["status", "hosts", "releases", "fills", "transfers", "jobs", "journal", "assets", "theme"].forEach((topic) =>
    dirty.add(topic),
  );
  schedule();
}

// Ages grow by themselves.
setInterval(() => {
  if (document.hidden) return;
  dirty.add("clock");
  if (link.lost) drawLink();
  schedule();
}, 1000);

/** A tab that nobody sees lets go of its connection after so many milliseconds: a browser has six to a server, for all tabs. */
const UNSEEN = 15_000;
let unseen = 0;
let resting = false;

document.addEventListener("visibilitychange", () => {
  clearTimeout(unseen);
  if (document.hidden) {
    unseen = setTimeout(() => {
      resting = stream.running;
      stream.stop();
    }, UNSEEN);
    return;
  }
  // It goes on where it rested.
  if (resting) stream.start();
  else stream.retry();
  resting = false;
  drawAll();
});

// The header ---------------------------------------------------------------------------------------------------------

function header() {
  const { status } = store;
  const found = tally(store.hosts.values());
  badge("nav-hosts", found.stuck + found.failed + found.waiting || null, found.failed ? "bad" : found.stuck ? "warn" : "wait");
  badge("nav-traffic", store.status?.fills.active || null, "busy");
  badge("nav-jobs", [...store.jobs.values()].filter((job) => job.state === "running").length || null, "busy");
  badge(
    "nav-releases",
    [...store.releases.values()].filter((release) => release.state === "failed").length || null,
    "bad",
  );
  if (!status) return;
  const all = troubles();
  const [colour, word, why] = verdict(status, all);
  attribute(byId("verdict"), "data-tone", colour);
  setText(byId("verdict-word"), word);
  setText(byId("verdict-why"), why);
  attribute(byId("verdict-why"), "title", status.troubles.join("\n") || null);
  badge("nav-system", all.filter((one) => one.href === "#/system").length || null, "bad");
  setText(byId("imprint"), [status.version, status.revision].filter((it) => it !== "unknown").join(" · "));
  const title = `${link.lost ? "connection lost" : word.toLowerCase()} · bootdepot`;
  if (document.title !== title) document.title = title;
}

/** Whether the server is ready, and what is wrong if anything is. */
function verdict(status, all) {
  if (link.lost) return ["none", "Not known", `since ${clock(link.lost)}`];
  if (!status.ready) {
    const [first = "it does not say why", ...more] = status.troubles;
    return ["bad", "Not ready", more.length > 0 ? `${first}, and ${count(more.length)} more` : first];
  }
  const own = all.filter((one) => !one.key.startsWith("host "));
  if (own.length > 0)
    return ["warn", "Ready, but", `${own[0].title}${own.length > 1 ? `, and ${count(own.length - 1)} more` : ""}`];
  if (all.length > 0)
    return ["warn", "Ready", `${many(all.length, "host")} ${all.length === 1 ? "needs" : "need"} a look`];
  return ["good", "Ready", ""];
}

function badge(id, number, colour) {
  setText(byId(id), number === null ? "" : count(number));
  attribute(byId(id), "data-tone", number === null ? null : colour);
}

// The connection -----------------------------------------------------------------------------------------------------

const link = { lost: null, next: 0 };

const stream = new Stream({
  async open(resumed) {
    if (!resumed || store.status === null) await loadSnapshots();
    const since = link.lost;
    link.lost = null;
    if (since)
      store.journal.note("server", "good", `the connection stands again; it was lost since ${clock(since)}`, null);
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
    // Another server than before answers here, with other counters and jobs.
    if (name === "status" && status && store.status.started !== status.started) stream.restart();
  },
  lost(error, pause) {
    if (link.lost === null) {
      link.lost = new Date().toISOString();
      store.journal.note("server", "warn", "the connection to the server was lost", null);
      dirty.add("journal");
    }
    link.next = Date.now() + pause;
    link.why = error instanceof Problem ? error.message : "";
    drawLink("lost");
    dirty.add("link");
    schedule();
  },
});

function drawLink(state = link.lost ? "lost" : "live") {
  attribute(byId("link-state"), "data-state", state);
  setText(byId("link-word"), state === "lost" ? "lost" : state);
  document.documentElement.classList.toggle("stale", state === "lost");
  byId("lost").hidden = state !== "lost";
  if (state !== "lost") return;
  setText(byId("lost-since"), clock(link.lost));
  const seconds = Math.max(0, Math.ceil((link.next - Date.now()) / 1000));
  // Counted down by fives for those who hear it.
  const told = seconds > 5 ? Math.ceil(seconds / 5) * 5 : seconds;
  setText(
    byId("lost-next"),
    [link.why, seconds > 0 ? `Next try within ${told} s.` : "Trying again."].filter(Boolean).join(" "),
  );
}

byId("lost-retry").addEventListener("click", () => stream.retry());
addEventListener("online", () => stream.retry());

// The token ----------------------------------------------------------------------------------------------------------

session.refused = (problem) => {
  stream.stop();
  attribute(byId("verdict"), "data-tone", "warn");
  setText(byId("verdict-word"), problem.status === 401 ? "A token is needed" : "Refused");
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
    operator: session.token ? "Operator" : "No token needed",
  };
  const button = byId("session-button");
  setText(button, words[session.role]);
  attribute(button, "aria-label", `${words[session.role]}; give another token`);
  attribute(button, "data-role", session.role);
}

byId("session-button").addEventListener("click", () =>
  askForToken(
    session.role === "viewer" ? "The token in use may only look." : "Another token takes the place of the one in use.",
    begin,
  ),
);

// A page that the browser keeps for the way back shall not keep a connection too: there are six to a server.
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
    // Before the stream, so that a refusal has its own words.
    await get("status");
  } catch (error) {
    if (error instanceof Problem && (error.status === 401 || error.status === 403)) return;
  }
  stream.restart();
}

// Pages --------------------------------------------------------------------------------------------------------------

function route() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name, ...rest] = path.split("/");
  const next = pages[name || "overview"] ?? pages.overview;
  const key = rest.length > 0 ? decode(rest.join("/")) : null;
  if (next !== page) {
    hidePanel();
    item = null;
    page = next;
    for (const one of document.querySelectorAll("main > .page")) one.hidden = one.id !== `page-${next.id}`;
    for (const one of document.querySelectorAll("nav.pages a")) {
      attribute(one, "aria-current", one.dataset.page === next.id ? "page" : null);
      if (one.dataset.page === next.id) one.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
    byId("main").scrollTop = 0;
    page.enter?.(new URLSearchParams(query));
    drawAll();
  } else if (query) {
    page.enter?.(new URLSearchParams(query));
  }
  // Before the server has let anybody in there is nothing to open.
  if (key === item || store.status === null) return;
  const before = item;
  item = key && page.panel ? key : null;
  page.select?.(item);
  if (item === null) {
    hidePanel();
    if (before !== null) page.restore?.();
  } else {
    openPanel(page.panel(item), () => (location.hash = `#/${page.id}`));
  }
}

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
  attribute(byId("theme-button"), "aria-label", `Theme: ${theme() === "auto" ? "as the system" : theme()}`);
  forgetColours();
  drawAll();
}

byId("theme-button").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
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
