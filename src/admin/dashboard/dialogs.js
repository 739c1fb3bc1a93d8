// Dialogs (confirmation, token) and notices.

import { session } from "./api.js";
import { byId, el, inputById, setText } from "./dom.js";

/** How long a notice is shown, in milliseconds; errors twice as long. */
const NOTICE_TIME = 6_000;
const MAX_NOTICES = 4;

/**
 * Shows a notice.
 *
 * @param {string} text
 * @param {Ui.Tone} [tone]
 */
export function toast(text, tone = "good") {
  const note = el("p", { class: "toast", "data-tone": tone }, text);
  const box = byId("toasts");
  box.append(note);
  while (box.children.length > MAX_NOTICES) box.firstChild?.remove();
  setTimeout(() => note.remove(), tone === "bad" ? NOTICE_TIME * 2 : NOTICE_TIME);
}

/**
 * Asks the operator to confirm an action. Escape, Cancel and a click outside of the dialog return `false`.
 *
 * @param {{ title: string, lines: string[], verb: string, grave?: boolean }} question `verb` is the label of the button that
 *   confirms; `grave` is for actions that destroy something.
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, lines, verb, grave = false }) {
  const dialog = byId("confirm-dialog", HTMLDialogElement);
  const yes = byId("confirm-yes");
  const no = byId("confirm-no");
  setText(byId("confirm-title"), title);
  byId("confirm-body").replaceChildren(...lines.map((line) => el("p", {}, line)));
  setText(yes, verb);
  yes.classList.toggle("grave", grave);
  return new Promise((resolve) => {
    /** @param {boolean} value */
    const answer = (value) => {
      dialog.close();
      resolve(value);
    };
    yes.onclick = (event) => {
      event.preventDefault();
      answer(true);
    };
    no.onclick = () => answer(false);
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
    // The harmless button has the focus.
    (grave ? no : yes).focus();
  });
}

/**
 * Asks for a token.
 *
 * @param {string} reason
 * @param {() => void} changed Called when the token was entered or forgotten.
 */
export function askForToken(reason, changed) {
  const dialog = byId("token-dialog", HTMLDialogElement);
  setText(byId("token-why"), reason);
  if (dialog.open) return;
  const input = inputById("token-input");
  input.value = "";
  byId("token-forget").hidden = !session.token;
  byId("token-form").onsubmit = (event) => {
    event.preventDefault();
    const token = input.value.trim();
    if (token === "") {
      input.focus();
      return;
    }
    session.token = token;
    input.value = "";
    dialog.close();
    changed();
  };
  byId("token-forget").onclick = () => {
    session.token = null;
    dialog.close();
    changed();
  };
  byId("token-cancel").onclick = () => dialog.close();
  dialog.showModal();
  input.focus();
}
