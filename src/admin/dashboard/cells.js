// Table cells, filter buttons and lists of facts, each with the function that updates it.

import { attribute, el, progressBar, setPart, setText } from "./dom.js";
import { NONE, bytes, percent, tone } from "./format.js";
import { STAGES, progress } from "./rack.js";

/**
 * A text, with an optional tooltip.
 *
 * @template T
 * @param {(item: T) => string | null} read
 * @param {((item: T) => string | null) | null} title
 * @returns {Ui.MakeCell<T>}
 */
export function text(read, title = null) {
  return (cell) => {
    const node = el("span", { class: "cut" });
    cell.append(node);
    return (item) => {
      setText(node, read(item) ?? NONE);
      if (title) attribute(node, "title", title(item));
    };
  };
}

/**
 * A button with the name of the row, which opens it; `under` is a second line.
 *
 * @template T
 * @param {(item: T) => string} read
 * @param {((item: T) => string | null) | null} under
 * @returns {Ui.MakeCell<T>}
 */
export function opener(read, under = null) {
  return (cell) => {
    const button = el("button", { type: "button", class: "row-name cut", tabindex: -1 });
    cell.append(button);
    const second = el("small", { class: "cut" });
    if (under) cell.append(second);
    return (item) => {
      setText(button, read(item));
      attribute(button, "title", read(item));
      if (under) setText(second, under(item) ?? "");
    };
  };
}

/**
 * A state with a lamp in its colour; `after` is a smaller text behind it.
 *
 * @template T
 * @param {(item: T) => string | [state: string, shown: string]} read
 * @param {((item: T) => string) | null} after
 * @returns {Ui.MakeCell<T>}
 */
export function word(read, after = null) {
  return (cell) => {
    const lamp = el("i", { class: "lamp", "aria-hidden": "true" });
    const name = el("span");
    const rest = el("span", { class: "quiet" });
    cell.append(el("span", { class: "word cut" }, lamp, name, after ? rest : null));
    return (item) => {
      const value = read(item);
      const [state, shown] = typeof value === "string" ? [value, value] : value;
      attribute(cell, "data-tone", tone(state));
      setText(name, shown);
      if (after) setText(rest, after(item));
    };
  };
}

/**
 * A progress bar with its percentage, or with a text in place of it.
 *
 * @template T
 * @param {string} label
 * @param {(item: T) => [part: number | null, tone: Ui.Tone, text?: string]} read
 * @returns {Ui.MakeCell<T>}
 */
export function bar(label, read) {
  return (cell) => {
    const line = progressBar(label);
    const share = el("span", { class: "share" });
    cell.append(el("div", { class: "with-share" }, line.node, share));
    return (item) => {
      const [part, colour, shown] = read(item);
      line.set(part, colour);
      setText(share, shown ?? (part === null ? "" : percent(part)));
    };
  };
}

/**
 * The stages of a boot, one small bar each.
 *
 * @returns {Ui.MakeCell<Api.Host>}
 */
export function stages() {
  return (cell) => {
    const bars = STAGES.map(() => el("i"));
    const box = el("div", { class: "stages", role: "img" }, bars);
    cell.append(box);
    return (host) => {
      const { stage, part } = progress(host);
      attribute(box, "data-tone", tone(host.state ?? "unseen"));
      bars.forEach((one, at) => {
        setPart(one, at < stage ? 1 : at === stage ? (part ?? 0.5) : 0);
        attribute(one, "class", at === stage && host.state === "booting" ? "now" : null);
      });
      const label =
        stage < 0
          ? "not started"
          : stage >= STAGES.length
            ? "all steps"
            : `${STAGES[stage]}${part === null ? "" : `, ${percent(part)}`}`;
      attribute(box, "aria-label", label);
    };
  };
}

/**
 * A number of bytes with a bar behind it, relative to the largest.
 *
 * @template T
 * @param {(item: T) => number | null} read
 * @param {() => number} largest
 * @returns {Ui.MakeCell<T>}
 */
export function amount(read, largest) {
  return (cell) => {
    const value = el("span");
    const box = el("div", { class: "amount" }, value);
    cell.append(box);
    return (item) => {
      setText(value, bytes(read(item)));
      setPart(box, (read(item) ?? 0) / (largest() || 1));
    };
  };
}

/**
 * Filter buttons, one of which is pressed. Returns `set(key)`, which presses one, and `count(key, number)`, which sets the
 * number on one.
 *
 * @template {string} K
 * @param {HTMLElement} root
 * @param {{ key: K, label: string, tone?: Ui.Tone }[]} options
 * @param {K} chosen
 * @param {(key: K) => void} choose
 */
export function chips(root, options, chosen, choose) {
  /** @type {Map<K, { button: HTMLElement, number: HTMLElement }>} */
  const entries = new Map();
  for (const { key, label, tone: colour } of options) {
    const number = el("b");
    const lamp = colour ? el("i", { class: "lamp", "aria-hidden": "true" }) : null;
    const button = el(
      "button",
      { type: "button", class: "chip", "data-tone": colour, "aria-pressed": String(key === chosen) },
      lamp,
      `${label} `,
      number,
    );
    button.addEventListener("click", () => {
      set(key);
      choose(key);
    });
    entries.set(key, { button, number });
    root.append(button);
  }
  /** @param {K} key */
  function set(key) {
    for (const [name, { button }] of entries) attribute(button, "aria-pressed", String(name === key));
  }
  /**
   * @param {K} key
   * @param {number} number
   */
  function count(key, number) {
    const entry = entries.get(key);
    if (entry) setText(entry.number, String(number));
  }
  return { set, count };
}

/** @typedef {[term: string, value: string | number | null | undefined, tone?: Ui.Tone | null]} Fact */

/**
 * A list of terms and values. Returns the function that updates it; terms without a value are hidden.
 *
 * @param {HTMLElement} list
 */
export function facts(list) {
  /** @type {Map<string, { term: HTMLElement, value: HTMLElement }>} */
  const known = new Map();
  /** @param {Fact[]} pairs */
  return (pairs) => {
    for (const [term, value, colour] of pairs) {
      let entry = known.get(term);
      if (!entry) {
        entry = { term: el("dt", {}, term), value: el("dd") };
        known.set(term, entry);
        list.append(entry.term, entry.value);
      }
      const none = value === null || value === undefined || value === "";
      entry.term.hidden = entry.value.hidden = none;
      setText(entry.value, none ? "" : String(value));
      attribute(entry.value, "data-tone", colour);
    }
  };
}
