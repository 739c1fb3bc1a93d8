// The page of traffic: what is being fetched and what is being sent, now and lately.

import { bar, chips, opener, text, word } from "./cells.js";
import { byId } from "./dom.js";
import { Plot } from "./plot.js";
import { loadTransfers, store } from "./store.js";
import { Table } from "./table.js";
import { age, ago, bytes, clock, natural, rate, span, took } from "./words.js";

/** How often the bytes of transfers are asked for while they are looked at, in milliseconds. */
const ASKED_EVERY = 2_000;

const sorted = (list, name = (item) => item.name) =>
  list.map((item) => {
    item.sortKey ??= natural(name(item));
    return item;
  });

export function traffic() {
  let fillsWhich = "live";
  let transfersWhich = "live";
  let words = "";
  let asked = 0;
  const plot = new Plot(byId("traffic-plot"), byId("traffic-legend"), store.history);

  const toAsset = (item) => {
    location.hash = `#/cache/${encodeURIComponent(item.name)}`;
  };
  const fills = new Table(byId("fills-table"), {
    label: "Fills",
    key: (fill) => fill.digest + (fill.ended ?? ""),
    open: toAsset,
    sort: { by: "time", way: -1 },
    empty: () => (fillsWhich === "live" ? "Nothing is being fetched." : "Nothing was fetched since the start."),
    columns: [
      {
        key: "name",
        label: "Asset",
        class: "c-name mono",
        sort: (fill) => fill.sortKey,
        make: opener((fill) => fill.name),
      },
      {
        key: "state",
        label: "State",
        class: "c-state",
        sort: (fill) => fill.outcome ?? fill.phase,
        make: word((fill) => fill.outcome ?? [fill.phase === "waiting" ? "queued" : fill.phase, fill.phase]),
      },
      {
        key: "progress",
        label: "Here",
        class: "c-here",
        make: bar("Fetched", (fill) =>
          fill.outcome
            ? [
                fill.outcome === "complete" ? 1 : 0,
                fill.outcome === "complete" ? "good" : "bad",
                fill.outcome === "complete" ? "verified" : "–",
              ]
            : [fill.size ? fill.bytes / fill.size : null, "busy"],
        ),
      },
      {
        key: "bytes",
        label: "Received",
        class: "c-size num",
        first: -1,
        sort: (fill) => fill.received,
        make: text((fill) => bytes(fill.received)),
      },
      {
        key: "rate",
        label: "Rate",
        class: "c-rate num",
        first: -1,
        sort: (fill) => fill.rate ?? (fill.seconds ? fill.received / fill.seconds : null),
        make: text((fill) => rate(fill.rate ?? (fill.seconds ? fill.received / fill.seconds : null))),
      },
      {
        key: "left",
        label: () => (fillsWhich === "live" ? "Left" : "Took"),
        class: "c-since num",
        make: text((fill) =>
          fill.ended
            ? took(fill.seconds * 1000)
            : fill.rate && fill.size
              ? span((fill.size - fill.bytes) / fill.rate)
              : null,
        ),
      },
      {
        key: "time",
        label: () => (fillsWhich === "live" ? "Began" : "Ended"),
        class: "c-time num",
        first: -1,
        sort: (fill) => fill.ended ?? fill.began,
        make: text((fill) => clock(fill.ended ?? fill.began).slice(-8)),
      },
      {
        key: "note",
        label: "Why",
        class: "c-note",
        make: text(
          (fill) => fill.detail ?? "",
          (fill) => fill.detail ?? null,
        ),
      },
    ],
  });
  const transfers = new Table(byId("transfers-table"), {
    label: "Transfers",
    key: (transfer) => `${transfer.id}${transfer.ended ?? ""}`,
    open: toAsset,
    sort: { by: "time", way: -1 },
    empty: () =>
      words
        ? "No transfer is like that."
        : transfersWhich === "live"
          ? "Nothing is being sent."
          : "Nothing was sent since the start.",
    columns: [
      {
        key: "name",
        label: "Asset",
        class: "c-name mono",
        sort: (one) => one.sortKey,
        make: opener((one) => one.name),
      },
      {
        key: "host",
        label: "To",
        class: "c-host",
        sort: (one) => natural(one.host ?? one.peer),
        make: text(
          (one) => one.host ?? one.peer,
          (one) => one.peer,
        ),
      },
      {
        key: "protocol",
        label: "By",
        class: "c-by",
        sort: (one) => one.protocol,
        make: text((one) => one.protocol.toUpperCase()),
      },
      {
        key: "state",
        label: "State",
        class: "c-state",
        sort: (one) => one.outcome ?? "",
        make: word((one) => (one.outcome ? one.outcome : ["running", "under way"])),
      },
      {
        key: "progress",
        label: "Sent",
        class: "c-here",
        first: -1,
        sort: (one) => (one.size ? one.sent / one.size : 0),
        make: bar("Sent", (one) => [
          one.size ? one.sent / one.size : one.outcome ? 0 : null,
          one.outcome ? (one.outcome === "complete" ? "good" : "calm") : "busy",
        ]),
      },
      {
        key: "bytes",
        label: "Bytes",
        class: "c-size num",
        first: -1,
        sort: (one) => one.sent,
        make: text((one) => bytes(one.sent)),
      },
      {
        key: "rate",
        label: "Rate",
        class: "c-rate num",
        first: -1,
        sort: speed,
        make: text((one) => rate(speed(one))),
      },
      { key: "cache", label: "Cache", class: "c-cache", sort: (one) => one.cache, make: text((one) => one.cache) },
      {
        key: "time",
        label: () => (transfersWhich === "live" ? "Began" : "Ended"),
        class: "c-time num",
        first: -1,
        sort: (one) => one.ended ?? one.began,
        make: text((one) => (one.ended ? clock(one.ended).slice(-8) : ago(one.began))),
      },
    ],
  });
  const options = [
    { key: "live", label: "Under way" },
    { key: "recent", label: "Ended" },
  ];
  const ofFills = chips(byId("fills-which"), options, fillsWhich, (chosen) => {
    fillsWhich = chosen;
    listFills(true);
  });
  const ofTransfers = chips(byId("transfers-which"), options, transfersWhich, (chosen) => {
    transfersWhich = chosen;
    listTransfers(true);
  });
  byId("transfers-search").addEventListener("input", (event) => {
    words = event.target.value.trim().toLowerCase();
    listTransfers(true);
  });

  function listFills(now) {
    ofFills.count("live", store.fills.size);
    ofFills.count("recent", store.pastFills.length);
    fills.show(sorted(fillsWhich === "live" ? [...store.fills.values()] : store.pastFills.slice()), now);
  }

  function listTransfers(now) {
    ofTransfers.count("live", store.transfers.size);
    ofTransfers.count("recent", store.pastTransfers.length);
    let list = transfersWhich === "live" ? [...store.transfers.values()] : store.pastTransfers.slice();
    if (words)
      list = list.filter((one) =>
        [one.name, one.host, one.peer, one.protocol, one.outcome, one.cache].some((field) =>
          field?.toLowerCase().includes(words),
        ),
      );
    transfers.show(sorted(list), now);
  }

  return {
    id: "traffic",
    topics: ["fills", "transfers", "status", "clock", "theme"],
    render(topics) {
      if (topics.has("status") || topics.has("theme")) plot.draw();
      if (topics.has("fills")) listFills(false);
      if (topics.has("transfers")) listTransfers(false);
      if (
        topics.has("clock") &&
        transfersWhich === "live" &&
        store.transfers.size > 0 &&
        performance.now() - asked > ASKED_EVERY
      ) {
        asked = performance.now();
        // The next time will do: a lost connection is told of elsewhere.
        loadTransfers().catch(() => {});
      }
    },
    enter() {
      asked = performance.now();
      if (store.status) loadTransfers().catch(() => {});
      listFills(true);
      listTransfers(true);
    },
  };
}

function speed(one) {
  const seconds = one.ended ? one.seconds : age(one.began);
  return seconds > 0 && one.sent > 0 ? one.sent / seconds : null;
}
