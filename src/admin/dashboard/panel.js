// The side panel with the details of one host, asset or job. It takes the focus when it opens.

import { byId, setText } from "./dom.js";

/** @type {{ view: Ui.Panel, leave: () => void } | null} */
let shown = null;

/**
 * Shows a panel.
 *
 * @param {Ui.Panel} view
 * @param {() => void} leave Called when the operator closes the panel.
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

/** Hides the panel without calling its `leave`. */
export function hidePanel() {
  if (!shown) return;
  shown.view.close?.();
  shown = null;
  byId("panel").hidden = true;
  byId("panel-body").replaceChildren();
  document.documentElement.classList.remove("with-panel");
}

/**
 * Updates the panel.
 *
 * @param {Ui.Topics} topics
 */
export function renderPanel(topics) {
  shown?.view.render(topics);
}

function close() {
  shown?.leave();
}

byId("panel-close").addEventListener("click", close);
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && shown && !document.querySelector("dialog[open]")) close();
});
