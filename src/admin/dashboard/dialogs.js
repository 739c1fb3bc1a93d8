// What is asked of the operator, and what is told in passing: confirmations, the token, short notices.

import { session } from "./api.js";
import { byId, el, setText } from "./dom.js";

/** How long a notice stands. */
const STANDS = 6_000;

/** Tells something in passing. */
export function toast(text, tone = "good") {
  const note = el("p", { class: "toast", "data-tone": tone }, text);
  const box = byId("toasts");
  box.append(note);
  while (box.children.length > 4) box.firstChild.remove();
  setTimeout(() => note.remove(), tone === "bad" ? STANDS * 2 : STANDS);
}

/** Asks before something is done that destroys or costs much. Escape and a click beside are a no. */
export function confirmed({ title, lines, verb, grave = false }) {
  const dialog = byId("confirm-dialog");
  setText(byId("confirm-title"), title);
  byId("confirm-body").replaceChildren(...lines.map((line) => (typeof line === "string" ? el("p", {}, line) : line)));
  const yes = byId("confirm-yes");
  setText(yes, verb);
  yes.classList.toggle("grave", grave);
  return new Promise((resolve) => {
    const answer = (value) => {
      dialog.close();
      resolve(value);
    };
    yes.onclick = (event) => {
      event.preventDefault();
      answer(true);
    };
    byId("confirm-no").onclick = () => answer(false);
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
    // What does no harm has the focus.
    (grave ? byId("confirm-no") : yes).focus();
  });
}

/** Asks for a token and says why. `given` is called when there is another than before. */
export function askForToken(why, given) {
  const dialog = byId("token-dialog");
  setText(byId("token-why"), why);
  if (dialog.open) return;
  const input = byId("token-input");
  input.value = "";
  byId("token-forget").hidden = !session.token;
  byId("token-form").onsubmit = (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === "") return input.focus();
    session.token = token;
    input.value = "";
    dialog.close();
    return given();
  };
  byId("token-forget").onclick = () => {
    session.token = null;
    dialog.close();
    given();
  };
  byId("token-cancel").onclick = () => dialog.close();
  dialog.showModal();
  input.focus();
}
