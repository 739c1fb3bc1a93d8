// The panel at the side: one host, asset or job in full. It takes the keyboard when it opens and gives it back.

import { byId, setText } from "./dom.js";

let shown = null;

/**
 * Shows `view` (`{kind, title, node, render(topics), close()}`); `leave()` is called when the operator closes it.
 */
export function openPanel(view, leave) {
  const panel = byId("panel");
  const opened = shown === null;
  if (shown?.view !== view) shown?.view.close?.();
  shown = { view, leave };
  setText(byId("panel-kind"), view.kind);
  setText(byId("panel-title"), view.title);
  byId("panel-body").replaceChildren(view.node);
  panel.hidden = false;
  byId("panel-body").scrollTop = 0;
  document.documentElement.classList.add("with-panel");
  if (opened || !panel.contains(document.activeElement)) byId("panel-title").focus({ preventScroll: true });
}

/** Hides it, without telling anybody. */
export function hidePanel() {
  if (!shown) return;
  shown.view.close?.();
  shown = null;
  byId("panel").hidden = true;
  byId("panel-body").replaceChildren();
  document.documentElement.classList.remove("with-panel");
}

/** Brings what is shown up to date. */
export function renderPanel(topics) {
  shown?.view.render(topics);
}

function leave() {
  shown?.leave();
}

byId("panel-close").addEventListener("click", leave);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown && !document.querySelector("dialog[open]")) leave();
});
