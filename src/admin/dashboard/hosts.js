// The page of hosts: every machine and how its last boot stands; one of them in full, boot by boot.

import { get } from "./api.js";
import { actionButton, preload } from "./actions.js";
import { chips, facts, opener, stages, text, word } from "./cells.js";
import { attribute, byId, el, keyed, setText } from "./dom.js";
import { STATES, STATE_WORDS, overall, stateOf, tally } from "./rack.js";
import { hostKey, store } from "./store.js";
import { Table } from "./table.js";
import { TONES, age, ago, bytes, clock, rate, span, took, tone } from "./words.js";

/** How long changes of a host are gathered before its boots are asked for again, in milliseconds. */
const GATHERED = 900;

/** Since when a machine is in a state that it does not leave by itself. */
function since(host) {
  return ["stuck", "failed", "waiting", "quiet"].includes(host.state) ? span(age(host.since)) : "";
}

function step(host) {
  return host.last_step ? `${host.last_step.role} ${host.last_step.name}` : null;
}

function currentRate(host) {
  return host.state === "booting" && host.last_step?.open > 0 ? host.last_step.rate : null;
}

export function hosts({ open }) {
  let state = "all";
  let words = "";
  let selected = null;
  const table = new Table(byId("hosts-table"), {
    label: "Hosts",
    key: hostKey,
    open: (host) => open(hostKey(host)),
    current: () => selected,
    sort: { by: "state", way: 1 },
    tone: (host) => (host.state === "stuck" || host.state === "failed" ? TONES[host.state] : null),
    empty: () =>
      store.hosts.size === 0
        ? "No machine was seen yet. Point one at this server by DHCP and power it on."
        : "No host is like that.",
    columns: [
      {
        key: "name",
        label: "Host",
        class: "c-name",
        sort: (host) => host.sortKey,
        make: opener(hostKey, (host) => (host.name ? (host.address ?? host.mac) : null)),
      },
      {
        key: "state",
        label: "State",
        class: "c-state",
        sort: (host) => STATES.indexOf(stateOf(host)),
        make: word((host) => [stateOf(host), STATE_WORDS[stateOf(host)]], since),
      },
      {
        key: "seen",
        label: "Heard",
        class: "c-since num",
        first: -1,
        sort: (host) => host.seen,
        make: text(
          (host) => (host.seen ? ago(host.seen) : null),
          (host) => (host.seen ? clock(host.seen) : null),
        ),
      },
      { key: "progress", label: "Progress", class: "c-progress", first: -1, sort: overall, make: stages() },
      {
        key: "rate",
        label: "Rate",
        class: "c-rate num",
        first: -1,
        sort: currentRate,
        make: text((host) => (currentRate(host) === null ? null : rate(currentRate(host)))),
      },
      { key: "step", label: "Step", class: "c-step mono", sort: step, make: text(step, step) },
      {
        key: "note",
        label: "In words",
        class: "c-note",
        make: text(
          (host) => host.note,
          (host) => host.note,
        ),
      },
      {
        key: "profile",
        label: "Profile",
        class: "c-profile",
        sort: (host) => host.profile,
        make: text((host) => host.profile),
      },
    ],
  });
  const states = chips(
    byId("hosts-states"),
    [
      { key: "all", label: "All" },
      ...STATES.map((name) => ({
        key: name,
        label: name === "stuck" ? "Only stuck" : STATE_WORDS[name],
        tone: TONES[name],
      })),
    ],
    state,
    (chosen) => {
      state = chosen;
      list(true);
    },
  );
  byId("hosts-search").addEventListener("input", (event) => {
    words = event.target.value.trim().toLowerCase();
    list(true);
  });

  function fits(host) {
    if (state !== "all" && stateOf(host) !== state) return false;
    if (words === "") return true;
    return [host.name, host.mac, host.address, host.profile, step(host), host.note].some((field) =>
      field?.toLowerCase().includes(words),
    );
  }

  function list(now) {
    const all = [...store.hosts.values()];
    const found = tally(all);
    states.count("all", all.length);
    for (const name of STATES) states.count(name, found[name]);
    table.show(all.filter(fits), now);
  }

  return {
    id: "hosts",
    topics: ["hosts", "clock"],
    render(topics) {
      if (topics.size === 1 && topics.has("clock")) table.render();
      else list(false);
    },
    enter(query) {
      const asked = query.get("state");
      if (asked && (asked === "all" || STATES.includes(asked))) {
        state = asked;
        states.set(asked);
      }
      list(true);
    },
    panel: (key) => hostPanel(key),
    select(key) {
      selected = key;
      table.render();
    },
    restore: () => table.restore(),
  };
}

function hostPanel(key) {
  const note = el("p", { class: "standing" });
  const list = el("dl", { class: "facts" });
  const set = facts(list);
  const boots = el("div", { class: "boots" });
  const trouble = el("p", { class: "none", hidden: true });
  const fetchIt = actionButton("Preload what it boots", () => preload({ hosts: [key] }, `what ${key} boots`), {
    primary: true,
  });
  const node = el(
    "div",
    {},
    note,
    list,
    el("div", { class: "actions" }, fetchIt),
    el("h3", {}, "Boots"),
    boots,
    trouble,
  );
  let host = null;
  let timer = null;
  let asking = false;
  let closed = false;
  let newest = null;
  let heard = store.hosts.get(key);

  async function ask() {
    if (asking || closed) return;
    asking = true;
    try {
      host = await get(`hosts/${encodeURIComponent(key)}`);
      trouble.hidden = true;
    } catch (error) {
      setText(trouble, error.message);
      trouble.hidden = false;
    }
    asking = false;
    if (!closed) draw();
  }

  function draw() {
    const now = store.hosts.get(key) ?? host;
    if (!now) return;
    fetchIt.hidden = !now.name;
    const state = stateOf(now);
    attribute(note, "data-tone", tone(state));
    const lasts = since(now) ? ` since ${clock(now.since)} (${since(now)})` : "";
    setText(note, `${STATE_WORDS[state]}${lasts}${now.note ? `: ${now.note}` : ""}`);
    set([
      ["MAC", now.mac],
      ["Address", now.address],
      ["Profile", now.profile],
      ["Seen", now.seen ? `${clock(now.seen)}, ${ago(now.seen)}` : "not yet"],
    ]);
    const all = host?.boots ?? [];
    if (host && all.length === 0) {
      setText(trouble, "It was not seen yet.");
      trouble.hidden = false;
    }
    keyed(boots, all, (boot) => boot.id, bootView);
    // The newest stands open when it appears; after that it is the operator's.
    if (all.length > 0 && newest !== all[0].id) {
      newest = all[0].id;
      boots.firstChild.open = true;
    }
  }

  ask();
  return {
    kind: "Host",
    title: key,
    node,
    render(topics) {
      draw();
      const told = store.hosts.get(key);
      if (topics.has("hosts") && told !== heard && timer === null) {
        heard = told;
        timer = setTimeout(() => {
          timer = null;
          ask();
        }, GATHERED);
      }
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/** One boot: a heading, and its steps as a table with a bar each for when it was. */
function bootView(boot) {
  const [title, about] = [el("span", { class: "boot-title" }), el("span", { class: "quiet" })];
  const lamp = el("i", { class: "lamp", "aria-hidden": "true" });
  const note = el("p", { class: "quiet" });
  const rows = el("tbody");
  const node = el(
    "details",
    { class: "boot" },
    el("summary", {}, lamp, title, about),
    note,
    el(
      "table",
      { class: "steps", "aria-label": `Steps of boot ${boot.id}` },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ["Step", "When", "Bytes", "Outcome"].map((label, at) =>
            el("th", { scope: "col", class: at === 2 ? "num" : null }, label),
          ),
        ),
      ),
      rows,
    ),
  );
  return {
    node,
    update(now) {
      attribute(node, "data-tone", tone(now.state));
      setText(title, `#${now.id} ${STATE_WORDS[now.state]}`);
      setText(about, `${clock(now.began)}, ${bytes(now.bytes)}${now.profile ? `, ${now.profile}` : ""}`);
      setText(note, now.note);
      const begin = Date.parse(now.began);
      const length = Math.max(1, Date.parse(now.last) - begin);
      keyed(
        rows,
        now.steps.map((one, at) => [one, at]),
        ([one, at]) => `${at} ${one.role} ${one.name}`,
        stepRow,
      );
      for (const { set } of rows.nodes_.values()) set(begin, length);
    },
  };
}

function stepRow() {
  const [role, name, time, amount, speed, how, cache] = ["b", "small", "small", "span", "small", "span", "small"].map(
    (tag) => el(tag),
  );
  name.classList.add("mono", "cut");
  const bar = el("i");
  const node = el(
    "tr",
    {},
    el("td", { class: "what" }, role, name),
    el("td", {}, el("div", { class: "when", "aria-hidden": "true" }, bar), time),
    el("td", { class: "num" }, amount, speed),
    el("td", { class: "how" }, how, cache),
  );
  let current = null;
  return {
    node,
    update([one]) {
      current = one;
      setText(role, one.role);
      setText(name, one.requests > 1 ? `${one.name} (×${one.requests})` : one.name);
      attribute(name, "title", one.name);
      setText(time, one.milliseconds > 0 ? took(one.milliseconds) : "");
      setText(
        amount,
        one.bytes > 0
          ? one.open > 0 && one.size
            ? `${bytes(one.bytes)} of ${bytes(one.size)}`
            : bytes(one.bytes)
          : "",
      );
      setText(speed, one.rate === null ? "" : rate(one.rate));
      setText(cache, one.cache ?? "");
      setText(how, one.open > 0 ? "under way" : (one.outcome ?? ""));
      attribute(node, "data-tone", one.open > 0 ? "busy" : tone(one.outcome ?? ""));
    },
    set(begin, length) {
      const [from, to] = [Date.parse(current.began), Date.parse(current.last)];
      bar.style.left = `${Math.max(0, Math.min(97, ((from - begin) / length) * 100))}%`;
      bar.style.width = `${Math.max(3, Math.min(100, ((to - from) / length) * 100))}%`;
    },
  };
}
