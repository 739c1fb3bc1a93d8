// The page "System": the configuration and its errors, the server, its disk, its origins.

import { actionButton, reload, scrub } from "./actions.js";
import { facts } from "./cells.js";
import { attribute, byId, el, keyed, setText } from "./dom.js";
import { NONE, age, ago, bytes, count, localTime, percent, plural, roughDuration, tone } from "./format.js";
import { originIsDown } from "./overview.js";
import { store } from "./store.js";

/** @returns {Ui.Page} */
export function system() {
  const catalogFacts = facts(byId("catalog-facts"));
  const serverFacts = facts(byId("server-facts"));
  const diskFacts = facts(byId("disk-facts"));
  const totalsFacts = facts(byId("total-facts"));
  byId("system-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Reload configuration", reload, { primary: true }),
  );

  function render() {
    const { status } = store;
    if (!status) return;
    const { last_reload: last } = status.catalog;
    const word = byId("reload-word");
    setText(word, last ? (last.outcome === "failed" ? "last reload failed" : `reload ${last.outcome}`) : "");
    attribute(word, "data-tone", last ? tone(last.outcome) : null);
    attribute(word, "class", "note");
    catalogFacts([
      ["Assets", count(status.catalog.assets)],
      ["Releases", count(status.catalog.releases)],
      ["Hosts", count(status.catalog.hosts)],
      ["Loaded", `${localTime(status.catalog.loaded)}, ${ago(status.catalog.loaded)}`],
      ["Generation", count(status.catalog.generation)],
      [
        "Last reload",
        last ? `${localTime(last.at)}, ${last.trigger}: ${last.outcome}` : "none since start",
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
      (first) => {
        const [about, error] = [
          el("span", { class: "quiet" }),
          el("span", { "data-tone": "bad", class: "source-error" }),
        ];
        return {
          node: el(
            "li",
            {},
            el("span", { class: "tag" }, first.kind),
            el("span", { class: "mono" }, first.place),
            about,
            error,
          ),
          /** @param {Api.Source} now */
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
    serverFacts([
      ["Version", `${status.version} (${status.revision})`],
      ["Started", `${localTime(status.started)}, ${roughDuration(age(status.started))} ago`],
      ["Clock", localTime(status.now)],
      ...listenerFacts(status.listeners),
    ]);
    const { cache } = status;
    diskFacts([
      ["Directory", cache.dir],
      ["Writable", cache.writable ? "yes" : "no", cache.writable ? null : "bad"],
      ["Problem", cache.trouble, "bad"],
      [
        "Cached",
        `${bytes(cache.cached.bytes)} in ${plural(cache.cached.entries, "blob")}, ${percent(cache.cached.bytes / cache.limit)} of ${bytes(cache.limit)}`,
      ],
      [
        "Unverified",
        `${bytes(cache.unverified.bytes)} in ${plural(cache.unverified.entries, "blob")}`,
        cache.unverified.entries > 0 ? "warn" : null,
      ],
      ["Partial", `${bytes(cache.partial.bytes)} in ${plural(cache.partial.entries, "file")}`],
      [
        "Quarantined",
        `${bytes(cache.quarantined.bytes)} in ${plural(cache.quarantined.entries, "file")}`,
        cache.quarantined.entries > 0 ? "warn" : null,
      ],
      ["Free", `${bytes(cache.free)}, of which ${bytes(cache.min_free)} stay free`],
    ]);
    totalsFacts([
      ["Sent over HTTP", `${bytes(status.totals.sent.http)} in ${plural(status.totals.transfers.http, "transfer")}`],
      ["Sent over TFTP", `${bytes(status.totals.sent.tftp)} in ${plural(status.totals.transfers.tftp, "transfer")}`],
      ["Received from origins", bytes(status.totals.received)],
      ["Active", `${plural(status.transfers.active, "transfer")}, ${plural(status.fills.active, "fill")}`],
    ]);
    byId("origins-none").hidden = status.origins.length > 0;
    keyed(byId("origins-rows"), status.origins, (origin) => origin.origin, originRow);
  }

  return { id: "system", topics: ["status", "clock"], render };
}

/**
 * The addresses of each protocol.
 *
 * @param {Api.Status["listeners"]} listeners
 * @returns {import("./cells.js").Fact[]}
 */
function listenerFacts(listeners) {
  const protocols = [...new Set(listeners.map(({ protocol }) => protocol))];
  return protocols.map((protocol) => {
    const own = listeners.filter((listener) => listener.protocol === protocol);
    const name = protocol === "admin" ? "Admin" : protocol.toUpperCase();
    return [`${name} listener`, own.map(({ address }) => address).join(", ")];
  });
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
  const number = () => el("td", { role: "cell", class: "num" });
  const [requests, failures, received, success] = [number(), number(), number(), number()];
  const node = el("tr", { role: "row" }, name, state, requests, failures, received, success, error);
  return {
    node,
    /** @param {Api.Origin} origin */
    update(origin) {
      const down = originIsDown(origin);
      const unknown = origin.last_ok === null && origin.last_error === null;
      setText(name, origin.origin);
      attribute(state, "data-tone", down ? "bad" : unknown ? "none" : "good");
      setText(word, down ? "failing" : unknown ? "not used yet" : "ok");
      setText(requests, count(origin.requests));
      setText(failures, count(origin.failures));
      setText(received, bytes(origin.received));
      setText(success, ago(origin.last_ok));
      setText(error, origin.last_error ? `${ago(origin.last_error.at)}: ${origin.last_error.message}` : NONE);
      attribute(error, "data-tone", down ? "bad" : null);
    },
  };
}
