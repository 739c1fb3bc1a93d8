// The page "Events": the event log.

import { chips } from "./cells.js";
import { attribute, byId, el, onSearch, setText } from "./dom.js";
import { localTime } from "./format.js";
import { store } from "./store.js";
import { Table, matches } from "./table.js";

/** @typedef {import("./journal.js").Kind | "all"} Kind */

/** @type {{ key: Kind, label: string }[]} */
const KINDS = [
  { key: "all", label: "All" },
  { key: "host", label: "Hosts" },
  { key: "fill", label: "Fills" },
  { key: "transfer", label: "Transfers" },
  { key: "job", label: "Jobs" },
  { key: "release", label: "Releases" },
  { key: "asset", label: "Pins" },
  { key: "reload", label: "Reloads" },
  { key: "server", label: "Connection" },
];

/** @returns {Ui.Page} */
export function events() {
  /** @type {Kind} */
  let kind = "all";
  let search = "";
  /** @type {Table<import("./journal.js").Entry>} */
  const table = new Table(byId("events-table"), {
    label: "Events",
    key: (entry) => entry.id,
    open: (entry) => {
      if (entry.href) location.hash = entry.href;
    },
    sort: { by: "time", way: -1 },
    empty: () => (store.journal.entries.length === 0 ? "No events yet." : "No events match the filter."),
    columns: [
      {
        key: "time",
        label: "Time",
        class: "c-time num",
        first: -1,
        sort: (entry) => entry.id,
        make: (cell) => (entry) => setText(cell, localTime(entry.at)),
      },
      {
        key: "kind",
        label: "Type",
        class: "c-kind",
        sort: (entry) => entry.kind,
        make: (cell) => (entry) => setText(cell, entry.kind),
      },
      {
        key: "text",
        label: "Event",
        class: "c-text",
        make: (cell) => {
          const text = el("button", { type: "button", class: "row-name cut", tabindex: -1 });
          cell.append(el("span", { class: "word" }, el("i", { class: "lamp", "aria-hidden": "true" }), text));
          return (entry) => {
            attribute(cell, "data-tone", entry.tone);
            setText(text, entry.text);
            attribute(text, "title", entry.text);
          };
        },
      },
    ],
  });
  chips(byId("events-kinds"), KINDS, kind, (chosen) => {
    kind = chosen;
    list(true);
  });
  onSearch("events-search", (text) => {
    search = text;
    list(true);
  });

  /** @param {boolean} now */
  function list(now) {
    const shown = store.journal.entries.filter(
      (entry) => (kind === "all" || entry.kind === kind) && matches(search, [entry.text]),
    );
    table.show(shown, now);
  }

  return { id: "events", topics: ["journal"], render: () => list(false), enter: () => list(true) };
}
