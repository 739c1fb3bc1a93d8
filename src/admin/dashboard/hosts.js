// The page "Hosts": every host with the state of its last boot; the panel shows the boots of one host step by step.

import { actionButton, forget, preload } from "./actions.js";
import { get, messageOf } from "./api.js";
import { chips, facts, opener, stages, text, word } from "./cells.js";
import { toast } from "./dialogs.js";
import { attribute, byId, el, keyed, onSearch, setText } from "./dom.js";
import { age, ago, bytes, duration, localTime, rate, roughDuration, tone } from "./format.js";
import { hostTable, matchesIdentity } from "./identity.js";
import { STATES, STATE_WORDS, countByState, explanation, overallProgress, stateOf } from "./rack.js";
import { hostKey, store } from "./store.js";
import { Table, matches } from "./table.js";

/** @typedef {import("./rack.js").State | "all"} Filter */

/** How long changes of a host are collected before its boots are loaded again, in milliseconds. */
const RELOAD_DELAY = 900;
/** The states in which a host stays until someone acts. */
const LASTING = ["stuck", "failed", "waiting", "quiet"];

/**
 * How long a host has been in a lasting state; empty for other states.
 *
 * @param {Api.Host} host
 */
function since(host) {
  return LASTING.includes(stateOf(host)) ? roughDuration(age(host.since)) : "";
}

/** @param {Api.Host} host */
function step({ last_step: last }) {
  return last ? `${last.role} ${last.name}` : null;
}

/** @param {Api.Host} host */
function currentRate({ state, last_step: last }) {
  return state === "booting" && last && last.open > 0 ? last.rate : null;
}

/**
 * @param {{ open: (key: string) => void }} actions
 * @returns {Ui.Page}
 */
export function hosts({ open }) {
  /** @type {Filter} */
  let state = "all";
  let search = "";
  /** @type {string | null} */
  let selected = null;
  /** @type {Table<Api.Host>} */
  const table = new Table(byId("hosts-table"), {
    label: "Hosts",
    key: hostKey,
    open: (host) => open(hostKey(host)),
    current: () => selected,
    sort: { by: "state", way: 1 },
    tone: (host) => (host.state === "stuck" || host.state === "failed" ? tone(host.state) : null),
    empty: () =>
      store.hosts.size === 0
        ? "No hosts yet. Point a machine at this server by DHCP and power it on."
        : "No hosts match the filter.",
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
        label: "Last seen",
        class: "c-since num",
        first: -1,
        sort: (host) => host.seen,
        make: text(
          (host) => (host.seen ? ago(host.seen) : null),
          (host) => (host.seen ? localTime(host.seen) : null),
        ),
      },
      { key: "progress", label: "Progress", class: "c-progress", first: -1, sort: overallProgress, make: stages() },
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
        label: "Details",
        class: "c-note",
        make: text(explanation, explanation),
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
  /** @type {{ key: Filter, label: string, tone?: Ui.Tone }[]} */
  const options = STATES.map((name) => ({ key: name, label: capitalized(STATE_WORDS[name]), tone: tone(name) }));
  const states = chips(byId("hosts-states"), [{ key: "all", label: "All" }, ...options], state, (chosen) => {
    state = chosen;
    list(true);
  });
  onSearch("hosts-search", (value) => {
    search = value;
    list(true);
  });

  /** @param {Api.Host} host */
  function fits(host) {
    if (state !== "all" && stateOf(host) !== state) return false;
    return (
      matches(search, [host.name, host.profile, step(host), explanation(host)]) || matchesIdentity(search, host)
    );
  }

  /** @param {boolean} now */
  function list(now) {
    const all = [...store.hosts.values()];
    const found = countByState(all);
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
      const wanted = query.get("state");
      const known = wanted === "all" ? wanted : STATES.find((name) => name === wanted);
      if (known) {
        state = known;
        states.set(known);
      }
      list(true);
    },
    panel: hostPanel,
    select(key) {
      selected = key;
      table.render();
    },
    restore: () => table.restore(),
  };
}

/** @param {string} name */
function capitalized(name) {
  return name.charAt(0).toUpperCase() + name.slice(1);
}

/**
 * @param {string} key
 * @returns {Ui.Panel}
 */
function hostPanel(key) {
  const note = el("p", { class: "standing" });
  const [why, advice] = [el("p", { class: "quiet" }), el("p", { class: "quiet" })];
  const list = el("dl", { class: "facts" });
  const setFacts = facts(list);
  const boots = el("div", { class: "boots" });
  const message = el("p", { class: "none", hidden: true });
  const preloadButton = actionButton("Preload boot files", () => preload({ hosts: [key] }, `the boot files of ${key}`), {
    primary: true,
  });
  const forgetButton = actionButton("Forget", () => forget(key), { grave: true });
  const configuration = el("pre", { class: "mono", hidden: true });
  const copyButton = el("button", { type: "button", on: { click: copy } }, "Copy as [[host]]");
  const node = el(
    "div",
    {},
    note,
    why,
    advice,
    list,
    el("div", { class: "actions" }, preloadButton, copyButton, forgetButton),
    configuration,
    el("h3", {}, "Boots"),
    boots,
    message,
  );
  /**
   * The host with its boots, as it was last loaded.
   *
   * @type {Api.Host | null}
   */
  let loaded = null;
  /** The pending reload, or 0. */
  let timer = 0;
  let loading = false;
  let closed = false;
  /**
   * The id of the newest boot.
   *
   * @type {number | null}
   */
  let newest = null;
  /** The host at the last reload, by the store. */
  let known = store.hosts.get(key);

  async function copy() {
    const host = store.hosts.get(key) ?? loaded;
    if (!host) return;
    setText(configuration, hostTable(host));
    configuration.hidden = false;
    try {
      // Browsers have it for pages over HTTPS or from the same machine only.
      await navigator.clipboard.writeText(hostTable(host));
      toast("Copied. Add it to the configuration, and reload.");
    } catch {
      getSelection()?.selectAllChildren(configuration);
      toast("The text is selected: copy it with Ctrl+C.");
    }
  }

  async function load() {
    if (loading || closed) return;
    loading = true;
    try {
      loaded = await get(`hosts/${encodeURIComponent(key)}`);
      message.hidden = true;
    } catch (error) {
      setText(message, messageOf(error));
      message.hidden = false;
    }
    loading = false;
    if (!closed) render();
  }

  function render() {
    const host = store.hosts.get(key) ?? loaded;
    if (!host) return;
    preloadButton.hidden = !host.name;
    forgetButton.hidden = host.seen === null;
    const state = stateOf(host);
    attribute(note, "data-tone", tone(state));
    const lasting = since(host) ? ` since ${localTime(host.since)} (${since(host)})` : "";
    setText(note, `${STATE_WORDS[state]}${lasting}${host.note ? `: ${host.note}` : ""}`);
    const { identity } = host;
    setText(why, [host.reason, identity.near_miss].filter(Boolean).join("; "));
    setText(advice, host.advice ? `To do: ${host.advice}` : "");
    setFacts([
      ["MAC", identity.macs.join(", ")],
      ["Address", identity.addresses.join(", ")],
      ["Serial number", identity.serial],
      ["UUID", identity.uuid],
      ["Asset tag", identity.asset_tag],
      ["Hostname", identity.hostname],
      ["Platform", [identity.platform, identity.buildarch].filter(Boolean).join(" ")],
      ["Profile", host.profile],
      ["Last seen", host.seen ? `${localTime(host.seen)}, ${ago(host.seen)}` : "never"],
    ]);
    const all = loaded?.boots ?? [];
    if (loaded && all.length === 0) {
      setText(message, "No boots yet.");
      message.hidden = false;
    }
    const views = keyed(boots, all, (boot) => boot.id, bootView);
    // The newest boot is open when it appears; after that the operator opens and closes it.
    if (all[0] && newest !== all[0].id) {
      newest = all[0].id;
      views.get(newest)?.open();
    }
  }

  load();
  return {
    kind: "Host",
    title: key,
    node,
    render(topics) {
      render();
      const current = store.hosts.get(key);
      if (topics.has("hosts") && current !== known && timer === 0) {
        known = current;
        timer = setTimeout(() => {
          timer = 0;
          load();
        }, RELOAD_DELAY);
      }
    },
    close() {
      closed = true;
      clearTimeout(timer);
    },
  };
}

/**
 * One boot: a summary, and a table of its steps with a bar for the time of each.
 *
 * @param {Api.Boot} first
 */
function bootView(first) {
  const [title, about] = [el("span", { class: "boot-title" }), el("span", { class: "quiet" })];
  const lamp = el("i", { class: "lamp", "aria-hidden": "true" });
  const note = el("p", { class: "quiet" });
  const reason = el("p", { class: "quiet" });
  const rows = el("tbody");
  const node = el(
    "details",
    { class: "boot" },
    el("summary", {}, lamp, title, about),
    note,
    reason,
    el(
      "table",
      { class: "steps", "aria-label": `Steps of boot ${first.id}` },
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
    open() {
      node.open = true;
    },
    /** @param {Api.Boot} boot */
    update(boot) {
      attribute(node, "data-tone", tone(boot.state));
      setText(title, `#${boot.number} ${STATE_WORDS[boot.state]}`);
      setText(about, `${localTime(boot.began)}, ${bytes(boot.bytes)}${boot.profile ? `, ${boot.profile}` : ""}`);
      setText(note, boot.note);
      setText(reason, [boot.reason, boot.advice].filter(Boolean).join("; "));
      const begin = Date.parse(boot.began);
      const length = Math.max(1, Date.parse(boot.last) - begin);
      keyed(
        rows,
        boot.steps.map((one, at) => ({ one, at, begin, length })),
        ({ one, at }) => `${at} ${one.role} ${one.name}`,
        stepRow,
      );
    },
  };
}

function stepRow() {
  const [role, amount, how] = [el("b"), el("span"), el("span")];
  const name = el("small", { class: "mono cut" });
  const [time, speed, cache] = [el("small"), el("small"), el("small")];
  const bar = el("i");
  const node = el(
    "tr",
    {},
    el("td", { class: "what" }, role, name),
    el("td", {}, el("div", { class: "when", "aria-hidden": "true" }, bar), time),
    el("td", { class: "num" }, amount, speed),
    el("td", { class: "how" }, how, cache),
  );
  return {
    node,
    /**
     * `begin` and `length` are those of the boot, in milliseconds.
     *
     * @param {{ one: Api.Step, begin: number, length: number }} item
     */
    update({ one, begin, length }) {
      const open = one.open > 0;
      setText(role, one.role);
      setText(name, one.requests > 1 ? `${one.name} (×${one.requests})` : one.name);
      attribute(name, "title", one.name);
      setText(time, one.milliseconds > 0 ? duration(one.milliseconds) : "");
      const total = open && one.size ? ` of ${bytes(one.size)}` : "";
      setText(amount, one.bytes > 0 ? `${bytes(one.bytes)}${total}` : "");
      setText(speed, one.rate === null ? "" : rate(one.rate));
      setText(cache, one.cache ?? "");
      setText(how, open ? "in progress" : (one.outcome ?? ""));
      attribute(how, "title", one.reason);
      attribute(node, "data-tone", open ? "busy" : tone(one.outcome ?? ""));
      const [from, to] = [Date.parse(one.began), Date.parse(one.last)];
      bar.style.left = `${Math.max(0, Math.min(97, ((from - begin) / length) * 100))}%`;
      bar.style.width = `${Math.max(3, Math.min(100, ((to - from) / length) * 100))}%`;
    },
  };
}
