// The page "Traffic": active and ended fills and transfers.

import { bar, chips, opener, text, word } from "./cells.js";
import { byId, onSearch } from "./dom.js";
import { NONE, age, ago, bytes, duration, localTime, naturalKey, rate, roughDuration } from "./format.js";
import { Plot } from "./plot.js";
import { loadTransfers, store } from "./store.js";
import { Table, matches } from "./table.js";

/** How often the bytes of active transfers are loaded while they are shown, in milliseconds. */
const RELOAD_EVERY = 2_000;

/** @typedef {Api.Fill | Api.PastFill} AnyFill */
/** @typedef {Api.Transfer | Api.PastTransfer} AnyTransfer */

/**
 * The fields of an ended fill, or `null` for an active one.
 *
 * @param {AnyFill} fill
 */
function endOfFill(fill) {
  return "ended" in fill ? fill : null;
}

/**
 * The fields of an ended transfer, or `null` for an active one.
 *
 * @param {AnyTransfer} transfer
 */
function endOf(transfer) {
  return "ended" in transfer ? transfer : null;
}

/**
 * The rate of a fill in bytes per second: the current one, or the average of an ended fill.
 *
 * @param {AnyFill} fill
 */
function fillRate(fill) {
  if (!("ended" in fill)) return fill.rate;
  return fill.seconds ? fill.received / fill.seconds : null;
}

/**
 * The progress of a fill, as a bar.
 *
 * @param {AnyFill} fill
 * @returns {[part: number | null, tone: Ui.Tone, text?: string]}
 */
function fillBar(fill) {
  if (!("ended" in fill)) return [fill.size ? fill.bytes / fill.size : null, "busy"];
  return fill.outcome === "complete" ? [1, "good", "verified"] : [0, "bad", NONE];
}

/**
 * The time left of an active fill, or the duration of an ended one.
 *
 * @param {AnyFill} fill
 */
function fillTime(fill) {
  if ("ended" in fill) return duration(fill.seconds * 1000);
  return fill.rate && fill.size ? roughDuration((fill.size - fill.bytes) / fill.rate) : null;
}

/**
 * The average rate of a transfer in bytes per second.
 *
 * @param {AnyTransfer} transfer
 */
function transferRate(transfer) {
  const seconds = endOf(transfer)?.seconds ?? age(transfer.began);
  return seconds > 0 && transfer.sent > 0 ? transfer.sent / seconds : null;
}

/**
 * Sets the sort keys.
 *
 * @template {{ name: string, sortKey?: string }} T
 * @param {Iterable<T>} items
 */
function withSortKeys(items) {
  return Array.from(items, (item) => {
    item.sortKey ??= naturalKey(item.name);
    return item;
  });
}

/** @returns {Ui.Page} */
export function traffic() {
  /** @type {"active" | "ended"} */
  let fillsShown = "active";
  /** @type {"active" | "ended"} */
  let transfersShown = "active";
  let search = "";
  let loadedAt = 0;
  const plot = new Plot(byId("traffic-plot", HTMLCanvasElement), byId("traffic-legend"), store.history);

  /** @param {{ name: string }} item */
  const openAsset = (item) => {
    location.hash = `#/cache/${encodeURIComponent(item.name)}`;
  };
  /** @type {Table<AnyFill>} */
  const fills = new Table(byId("fills-table"), {
    label: "Fills",
    key: (fill) => fill.digest + (endOfFill(fill)?.ended ?? ""),
    open: (item) => openAsset(item),
    sort: { by: "time", way: -1 },
    empty: () => (fillsShown === "active" ? "No active fills." : "No ended fills since start."),
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
        sort: (fill) => ("ended" in fill ? fill.outcome : fill.phase),
        make: word((fill) => {
          if ("ended" in fill) return fill.outcome;
          return [fill.phase === "waiting" ? "queued" : fill.phase, fill.phase];
        }),
      },
      {
        key: "progress",
        label: "Progress",
        class: "c-cached",
        make: bar("Progress", fillBar),
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
        sort: fillRate,
        make: text((fill) => rate(fillRate(fill))),
      },
      {
        key: "left",
        label: () => (fillsShown === "active" ? "Time left" : "Duration"),
        class: "c-since num",
        make: text(fillTime),
      },
      {
        key: "time",
        label: () => (fillsShown === "active" ? "Started" : "Ended"),
        class: "c-time num",
        first: -1,
        sort: (fill) => ("ended" in fill ? fill.ended : fill.began),
        make: text((fill) => localTime("ended" in fill ? fill.ended : fill.began).slice(-8)),
      },
      {
        key: "note",
        label: "Details",
        class: "c-note",
        make: text(
          (fill) => endOfFill(fill)?.detail ?? "",
          (fill) => endOfFill(fill)?.detail ?? null,
        ),
      },
    ],
  });
  /** @type {Table<AnyTransfer>} */
  const transfers = new Table(byId("transfers-table"), {
    label: "Transfers",
    key: (transfer) => `${transfer.id}${endOf(transfer)?.ended ?? ""}`,
    open: (item) => openAsset(item),
    sort: { by: "time", way: -1 },
    empty: () => {
      if (search) return "No transfers match the filter.";
      return transfersShown === "active" ? "No active transfers." : "No ended transfers since start.";
    },
    columns: [
      {
        key: "name",
        label: "Asset",
        class: "c-name mono",
        sort: (transfer) => transfer.sortKey,
        make: opener((transfer) => transfer.name),
      },
      {
        key: "host",
        label: "Client",
        class: "c-host",
        sort: (transfer) => naturalKey(transfer.host ?? transfer.peer),
        make: text(
          (transfer) => transfer.host ?? transfer.peer,
          (transfer) => transfer.peer,
        ),
      },
      {
        key: "protocol",
        label: "Protocol",
        class: "c-by",
        sort: (transfer) => transfer.protocol,
        make: text((transfer) => transfer.protocol.toUpperCase()),
      },
      {
        key: "state",
        label: "State",
        class: "c-state",
        sort: (transfer) => endOf(transfer)?.outcome ?? "",
        make: word((transfer) => endOf(transfer)?.outcome ?? ["running", "active"]),
      },
      {
        key: "progress",
        label: "Sent",
        class: "c-cached",
        first: -1,
        sort: ({ size, sent }) => (size ? sent / size : 0),
        make: bar("Sent", (transfer) => {
          const end = endOf(transfer);
          const part = transfer.size ? transfer.sent / transfer.size : end ? 0 : null;
          return [part, !end ? "busy" : end.outcome === "complete" ? "good" : "calm"];
        }),
      },
      {
        key: "bytes",
        label: "Bytes",
        class: "c-size num",
        first: -1,
        sort: (transfer) => transfer.sent,
        make: text((transfer) => bytes(transfer.sent)),
      },
      {
        key: "rate",
        label: "Rate",
        class: "c-rate num",
        first: -1,
        sort: transferRate,
        make: text((transfer) => rate(transferRate(transfer))),
      },
      {
        key: "cache",
        label: "Cache",
        class: "c-cache",
        sort: (transfer) => transfer.cache,
        make: text((transfer) => transfer.cache),
      },
      {
        key: "time",
        label: () => (transfersShown === "active" ? "Started" : "Ended"),
        class: "c-time num",
        first: -1,
        sort: (transfer) => endOf(transfer)?.ended ?? transfer.began,
        make: text((transfer) => {
          const end = endOf(transfer);
          return end ? localTime(end.ended).slice(-8) : ago(transfer.began);
        }),
      },
    ],
  });
  /** @type {{ key: "active" | "ended", label: string }[]} */
  const options = [
    { key: "active", label: "Active" },
    { key: "ended", label: "Ended" },
  ];
  const fillChips = chips(byId("fills-which"), options, fillsShown, (chosen) => {
    fillsShown = chosen;
    listFills(true);
  });
  const transferChips = chips(byId("transfers-which"), options, transfersShown, (chosen) => {
    transfersShown = chosen;
    listTransfers(true);
  });
  onSearch("transfers-search", (value) => {
    search = value;
    listTransfers(true);
  });

  /** @param {boolean} now */
  function listFills(now) {
    fillChips.count("active", store.fills.size);
    fillChips.count("ended", store.pastFills.length);
    /** @type {Iterable<AnyFill>} */
    const list = fillsShown === "active" ? store.fills.values() : store.pastFills;
    fills.show(withSortKeys(list), now);
  }

  /** @param {boolean} now */
  function listTransfers(now) {
    transferChips.count("active", store.transfers.size);
    transferChips.count("ended", store.pastTransfers.length);
    /** @type {Iterable<AnyTransfer>} */
    const list = transfersShown === "active" ? store.transfers.values() : store.pastTransfers;
    const found = withSortKeys(list).filter((transfer) => {
      const { name, host, peer, protocol, cache } = transfer;
      return matches(search, [name, host, peer, protocol, endOf(transfer)?.outcome, cache]);
    });
    transfers.show(found, now);
  }

  function reloadTransfers() {
    loadedAt = performance.now();
    // If the connection is lost, the stream reports it.
    loadTransfers().catch(() => {});
  }

  return {
    id: "traffic",
    topics: ["fills", "transfers", "status", "clock", "theme"],
    render(topics) {
      if (topics.has("status") || topics.has("theme")) plot.draw();
      if (topics.has("fills")) listFills(false);
      if (topics.has("transfers")) listTransfers(false);
      const due = performance.now() - loadedAt > RELOAD_EVERY;
      if (topics.has("clock") && transfersShown === "active" && store.transfers.size > 0 && due) reloadTransfers();
    },
    enter() {
      loadedAt = performance.now();
      if (store.status) reloadTransfers();
      listFills(true);
      listTransfers(true);
    },
  };
}
