// The page "Releases": the state of each release, and how much of it is cached.

import { activate, actionButton, preload } from "./actions.js";
import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { NONE, bytes, localTime, percent, tone } from "./format.js";
import { releasePart } from "./overview.js";
import { store } from "./store.js";

/** @returns {Ui.Page} */
export function releases() {
  /** @param {Api.Release} release */
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
    const current = () => store.releases.get(release.name) ?? release;
    const activateButton = actionButton("Activate…", () => activate(current()), { name: `Activate ${release.name}` });
    const preloadButton = actionButton("Preload…", () => preload({ releases: [release.name] }, `release ${release.name}`), {
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
      el("td", { role: "cell", class: "acts" }, el("div", { class: "actions" }, preloadButton, activateButton)),
    );
    return {
      node,
      /** @param {Api.Release} now */
      update(now) {
        setText(name, now.name);
        const kept = now.kept_until ? `cached until ${localTime(now.kept_until)}` : "";
        setText(reason, now.reason ?? kept);
        reason.hidden = reason.textContent === "";
        const colour = tone(now.state);
        attribute(node, "data-tone", colour);
        attribute(state, "data-tone", colour);
        setText(word, now.state);
        setText(channel, now.channel ?? NONE);
        const part = releasePart(now);
        line.set(part, colour === "none" ? "calm" : colour);
        setText(share, percent(part));
        setText(assets, `${now.cached} / ${now.total}`);
        const total = now.size === null || now.bytes === now.size ? "" : ` of ${bytes(now.size)}`;
        setText(amount, `${bytes(now.bytes)}${total}`);
        activateButton.hidden = now.active;
        preloadButton.hidden = now.cached === now.total;
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
