// The card "Collections" of the page "Cache": what the sources of collections have, also files that no machine has requested.

import { actionButton, preloadAsset } from "./actions.js";
import { get, messageOf } from "./api.js";
import { byId, el } from "./dom.js";
import { NONE, ago, bytes } from "./format.js";

/** Loads the collections. The card is hidden if there are none. */
export async function loadCollections() {
  const { collections } = await get("collections");
  byId("collections").hidden = collections.length === 0;
  const rows = collections.map(({ prefix, source }) => el("li", {}, directory(prefix, source)));
  byId("collections-list").replaceChildren(...rows);
}

/**
 * A directory that is listed when it is opened.
 *
 * @param {string} path
 * @param {string | null} source
 */
function directory(path, source) {
  const content = el("div", { class: "directory" });
  const about = source === null ? null : el("span", { class: "quiet" }, source);
  const node = el("details", {}, el("summary", {}, el("span", { class: "mono" }, path), " ", about), content);
  node.addEventListener("toggle", () => {
    if (node.open) void list(path, content);
  });
  return node;
}

/**
 * @param {string} path
 * @param {HTMLElement} content
 */
async function list(path, content) {
  if (content.childElementCount === 0) content.replaceChildren("Asking the source…");
  try {
    const { directories, files, complete } = await get(`directory?path=${encodeURIComponent(path)}`);
    content.replaceChildren(
      el(
        "ul",
        {},
        directories.map((name) => el("li", {}, directory(path + name, null))),
        files.map((file) => el("li", {}, ...parts(file))),
      ),
      complete ? "" : "There may be more files.",
    );
  } catch (error) {
    content.replaceChildren(messageOf(error));
  }
}

/**
 * The parts of the line of a file.
 *
 * @param {Api.File} file
 * @returns {Node[]}
 */
function parts({ name, size, modified, state }) {
  const facts = [bytes(size), modified === null ? NONE : ago(modified), state ?? "not requested yet"].join(", ");
  if (state !== null) {
    const link = el("a", { href: `#/cache/${encodeURIComponent(name)}`, class: "mono" }, name);
    return [link, el("span", { class: "quiet" }, facts)];
  }
  const preload = actionButton("Preload", () => preloadAsset(name), { name: `Preload ${name}` });
  return [el("span", { class: "mono" }, name), el("span", { class: "quiet" }, facts), preload];
}
