// The page of releases: how far each is, and which is live.

import { activate, actionButton, preload } from "./actions.js";
import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { store } from "./store.js";
import { bytes, clock, percent, tone } from "./words.js";

export function releases() {
  function row(release) {
    const [name, reason] = [el("strong"), el("small", { class: "reason" })];
    const [channel, assets, amount] = [
      el("td", { role: "cell" }),
      el("td", { role: "cell", class: "num" }),
      el("td", { role: "cell", class: "num" }),
    ];
    const [lamp, word] = [el("i", { class: "lamp", "aria-hidden": "true" }), el("span")];
    const state = el("td", { role: "cell" }, el("span", { class: "word" }, lamp, word));
    const line = progressBar(release.name);
    const share = el("span", { class: "share" });
    const own = () => store.releases.get(release.name) ?? release;
    const go = actionButton("Activate…", () => activate(own()), { name: `Activate ${release.name}` });
    const fetchIt = actionButton("Preload…", () => preload({ releases: [release.name] }, `release ${release.name}`), {
      name: `Preload ${release.name}`,
    });
    const node = el(
      "tr",
      { role: "row" },
      el("th", { role: "rowheader", scope: "row" }, name),
      channel,
      state,
      el("td", { role: "cell" }, el("div", { class: "with-share" }, line.node, share), reason),
      assets,
      amount,
      el("td", { role: "cell", class: "acts" }, el("div", { class: "actions" }, fetchIt, go)),
    );
    return {
      node,
      update(now) {
        setText(name, now.name);
        const kept = now.kept_until ? `kept until ${clock(now.kept_until)}` : "";
        setText(reason, now.reason ?? kept);
        reason.hidden = reason.textContent === "";
        attribute(node, "data-tone", tone(now.state));
        attribute(state, "data-tone", tone(now.state));
        setText(word, now.state);
        setText(channel, now.channel ?? "–");
        const part = now.size ? now.bytes / now.size : now.total ? now.cached / now.total : 1;
        line.set(part, tone(now.state) === "none" ? "calm" : tone(now.state));
        setText(share, percent(part));
        setText(assets, `${now.cached} / ${now.total}`);
        setText(
          amount,
          now.size === null
            ? bytes(now.bytes)
            : now.bytes === now.size
              ? bytes(now.size)
              : `${bytes(now.bytes)} of ${bytes(now.size)}`,
        );
        go.hidden = now.active;
        fetchIt.hidden = now.cached === now.total;
      },
    };
  }

  return {
    id: "releases",
    topics: ["releases"],
    render() {
      const all = [...store.releases.values()];
      byId("releases-none").hidden = all.length > 0;
      keyed(byId("releases-rows"), all, (release) => release.name, row);
    },
  };
}
