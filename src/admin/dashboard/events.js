// The page of events: what happened, as sentences.

import { chips } from "./cells.js";
import { byId, el, setText, attribute } from "./dom.js";
import { store } from "./store.js";
import { Table } from "./table.js";
import { clock } from "./words.js";

const KINDS = [
  ["all", "All"],
  ["host", "Hosts"],
  ["fill", "Fills"],
  ["transfer", "Transfers"],
  ["job", "Jobs"],
  ["release", "Releases"],
  ["asset", "Pins"],
  ["reload", "Reloads"],
  ["server", "Connection"],
];

export function events() {
  let kind = "all";
  let words = "";
  const table = new Table(byId("events-table"), {
    label: "Events",
    key: (entry) => entry.id,
    open: (entry) => {
      if (entry.href) location.hash = entry.href;
    },
    sort: { by: "time", way: -1 },
    empty: () => (store.journal.entries.length === 0 ? "Nothing happened yet." : "No event is like that."),
    columns: [
      {
        key: "time",
        label: "Time",
        class: "c-time num",
        first: -1,
        sort: (entry) => entry.id,
        make: (cell) => (entry) => setText(cell, clock(entry.at)),
      },
      {
        key: "kind",
        label: "Of",
        class: "c-kind",
        sort: (entry) => entry.kind,
        make: (cell) => (entry) => setText(cell, entry.kind),
      },
      {
        key: "text",
        label: "What happened",
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
  chips(
    byId("events-kinds"),
    KINDS.map(([key, label]) => ({ key, label })),
    kind,
    (chosen) => {
      kind = chosen;
      list(true);
    },
  );
  byId("events-search").addEventListener("input", (event) => {
    words = event.target.value.trim().toLowerCase();
    list(true);
  });

  function list(now) {
    const shown = store.journal.entries.filter(
      (entry) => (kind === "all" || entry.kind === kind) && (words === "" || entry.text.toLowerCase().includes(words)),
    );
    for (const entry of shown) entry.sortKey ??= String(entry.id);
    table.show(shown, now);
  }

  return { id: "events", topics: ["journal"], render: () => list(false), enter: () => list(true) };
}
