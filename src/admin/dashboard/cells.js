// Cells of tables, each with what brings it up to date.

import { attribute, el, progressBar, setPart, setText } from "./dom.js";
import { NONE, bytes, percent, tone } from "./words.js";
import { STAGES, progress } from "./rack.js";

/** A text. */
export function text(read, title = null) {
  return (cell) => {
    const span = el("span", { class: "cut" });
    cell.append(span);
    return (item) => {
      const value = read(item) ?? NONE;
      setText(span, value);
      if (title) attribute(span, "title", title(item));
    };
  };
}

/** A name that opens its row. */
export function opener(read, under = null) {
  return (cell) => {
    const button = el("button", { type: "button", class: "row-name cut", tabindex: -1 });
    cell.append(button);
    const second = under ? el("small", { class: "cut" }) : null;
    if (second) cell.append(second);
    return (item) => {
      setText(button, read(item));
      attribute(button, "title", read(item));
      if (second) setText(second, under(item) ?? "");
    };
  };
}

/** A word with a lamp of its tone. */
export function word(read, after = null) {
  return (cell) => {
    const lamp = el("i", { class: "lamp", "aria-hidden": "true" });
    const name = el("span");
    const rest = after ? el("span", { class: "quiet" }) : null;
    cell.append(el("span", { class: "word cut" }, lamp, name, rest));
    return (item) => {
      const [key, shown = key] = [].concat(read(item));
      attribute(cell, "data-tone", tone(key));
      setText(name, shown);
      if (rest) setText(rest, after(item) ?? "");
    };
  };
}

/** A bar with its percentage; `read` is `[part or null, tone]`. */
export function bar(label, read) {
  return (cell) => {
    const line = progressBar(label);
    const share = el("span", { class: "share" });
    cell.append(el("div", { class: "with-share" }, line.node, share));
    return (item) => {
      const [part, colour, words] = read(item);
      line.set(part, colour);
      setText(share, words ?? (part === null ? "" : percent(part)));
    };
  };
}

/** The stages of a boot, each a small bar. */
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
      const here =
        stage < 0
          ? "nothing yet"
          : stage >= STAGES.length
            ? "all steps"
            : `${STAGES[stage]}${part === null ? "" : `, ${percent(part)}`}`;
      attribute(box, "aria-label", here);
    };
  };
}

/** A number of bytes with a bar of its share behind it. */
export function amount(read, most) {
  return (cell) => {
    const value = el("span");
    const box = el("div", { class: "amount" }, value);
    cell.append(box);
    return (item) => {
      setText(value, bytes(read(item)));
      setPart(box, (read(item) ?? 0) / (most() || 1));
    };
  };
}

/** Toggle buttons of which one is pressed. `counts` come later by `count(key, number)`. */
export function chips(root, options, chosen, choose) {
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
  function set(key) {
    for (const [name, { button }] of entries) attribute(button, "aria-pressed", String(name === key));
  }
  return { set, count: (key, number) => setText(entries.get(key).number, number === null ? "" : String(number)) };
}

/** Terms and what they are, kept up to date: `set([[term, text, tone]…])`. */
export function facts(list) {
  const known = new Map();
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
      attribute(entry.value, "data-tone", colour ?? null);
    }
  };
}
