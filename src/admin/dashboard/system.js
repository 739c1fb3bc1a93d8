// The page of the system: catalog and settings with what is wrong with them, the server, its disk, its origins.

import { actionButton, reload, scrub } from "./actions.js";
import { facts } from "./cells.js";
import { attribute, byId, el, keyed, setText } from "./dom.js";
import { originIsDown } from "./overview.js";
import { store } from "./store.js";
import { age, ago, bytes, clock, count, many, percent, span, tone } from "./words.js";

export function system() {
  const catalog = facts(byId("catalog-facts"));
  const server = facts(byId("server-facts"));
  const disk = facts(byId("disk-facts"));
  const totals = facts(byId("total-facts"));
  byId("system-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Reload settings", reload, { primary: true }),
  );

  function render() {
    const { status } = store;
    if (!status) return;
    const { last_reload: last } = status.catalog;
    const word = byId("reload-word");
    setText(word, last ? (last.outcome === "failed" ? "last reload failed" : `reload ${last.outcome}`) : "");
    attribute(word, "data-tone", last ? tone(last.outcome) : null);
    attribute(word, "class", "note");
    catalog([
      ["Assets", count(status.catalog.assets)],
      ["Releases", count(status.catalog.releases)],
      ["Hosts", count(status.catalog.hosts)],
      ["Loaded", `${clock(status.catalog.loaded)}, ${ago(status.catalog.loaded)}`],
      ["Generation", count(status.catalog.generation)],
      [
        "Last reload",
        last ? `${clock(last.at)}, by ${last.trigger}: ${last.outcome}` : "none since the start",
        last?.outcome === "failed" ? "bad" : null,
      ],
    ]);
    const errors = last?.outcome === "failed" ? last.errors : [];
    keyed(
      byId("reload-errors"),
      errors.map((text, at) => ({ text, at })),
      ({ text, at }) => `${at} ${text}`,
      ({ text }) => ({ node: el("li", {}, text), update() {} }),
    );
    keyed(
      byId("catalog-sources"),
      status.catalog.sources,
      (source) => source.place,
      (source) => {
        const [about, error] = [
          el("span", { class: "quiet" }),
          el("span", { "data-tone": "bad", class: "source-error" }),
        ];
        return {
          node: el(
            "li",
            {},
            el("span", { class: "tag" }, source.kind),
            el("span", { class: "mono" }, source.place),
            about,
            error,
          ),
          update(now) {
            setText(
              about,
              [now.etag ? `ETag ${now.etag}` : null, now.checked ? `checked ${ago(now.checked)}` : null]
                .filter(Boolean)
                .join(", "),
            );
            setText(error, now.error ?? "");
            error.hidden = !now.error;
          },
        };
      },
    );
    server([
      ["Version", `${status.version} (${status.revision})`],
      ["Started", `${clock(status.started)}, ${span(age(status.started))} ago`],
      ["Clock", clock(status.now)],
      ...status.listeners.map((listener) => [
        `Listens, ${listener.protocol}`,
        addresses(status.listeners, listener.protocol),
      ]),
    ]);
    const { cache } = status;
    disk([
      ["Directory", cache.dir],
      ["Writable", cache.writable ? "yes" : "no", cache.writable ? null : "bad"],
      ["Trouble", cache.trouble, "bad"],
      [
        "Cached",
        `${bytes(cache.cached.bytes)} in ${many(cache.cached.entries, "blob")}, ${percent(cache.cached.bytes / cache.limit)} of ${bytes(cache.limit)}`,
      ],
      ["Partial", `${bytes(cache.partial.bytes)} in ${many(cache.partial.entries, "file")}`],
      [
        "Quarantined",
        `${bytes(cache.quarantined.bytes)} in ${many(cache.quarantined.entries, "file")}`,
        cache.quarantined.entries > 0 ? "warn" : null,
      ],
      ["Free", `${bytes(cache.free)}; ${bytes(cache.min_free)} are left free`],
    ]);
    totals([
      ["Sent over HTTP", `${bytes(status.totals.sent.http)} in ${many(status.totals.transfers.http, "transfer")}`],
      ["Sent over TFTP", `${bytes(status.totals.sent.tftp)} in ${many(status.totals.transfers.tftp, "transfer")}`],
      ["Received", bytes(status.totals.received)],
      ["Under way", `${many(status.transfers.active, "transfer")}, ${many(status.fills.active, "fill")}`],
    ]);
    byId("origins-none").hidden = status.origins.length > 0;
    keyed(byId("origins-rows"), status.origins, (origin) => origin.origin, originRow);
  }

  return { id: "system", topics: ["status", "clock"], render };
}

function addresses(listeners, protocol) {
  return listeners
    .filter((one) => one.protocol === protocol)
    .map((one) => one.address)
    .join(", ");
}

function originRow() {
  const [name, error] = [
    el("th", { role: "rowheader", scope: "row" }),
    el("td", { role: "cell", class: "source-error" }),
  ];
  const word = el("span");
  const state = el(
    "td",
    { role: "cell" },
    el("span", { class: "word" }, el("i", { class: "lamp", "aria-hidden": "true" }), word),
  );
  const [requests, failures, received, good] = [0, 1, 2, 3].map(() => el("td", { role: "cell", class: "num" }));
  const node = el("tr", { role: "row" }, name, state, requests, failures, received, good, error);
  return {
    node,
    update(origin) {
      const down = originIsDown(origin);
      const unknown = origin.last_ok === null && origin.last_error === null;
      setText(name, origin.origin);
      attribute(state, "data-tone", down ? "bad" : unknown ? "none" : "good");
      setText(word, down ? "failing" : unknown ? "not asked" : "good");
      setText(requests, count(origin.requests));
      setText(failures, count(origin.failures));
      setText(received, bytes(origin.received));
      setText(good, ago(origin.last_ok));
      setText(error, origin.last_error ? `${ago(origin.last_error.at)}: ${origin.last_error.message}` : "–");
      attribute(error, "data-tone", down ? "bad" : null);
    },
  };
}
