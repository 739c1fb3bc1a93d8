// Creates and updates elements. Text is inserted as text nodes only, never as markup; unchanged nodes are not touched.

/**
 * Creates an element. `on` holds listeners by event; the attribute values `false`, `null` and `undefined` are left out, and
 * `true` is an empty attribute.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Ui.Attributes} [attributes]
 * @param {(Ui.Child | Ui.Child[])[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "object" && value !== null) {
      for (const [event, listener] of Object.entries(value)) {
        node.addEventListener(event, /** @type {EventListener} */ (listener));
      }
    } else {
      attribute(node, name, value);
    }
  }
  for (const child of children.flat()) if (child !== null && child !== undefined && child !== false) node.append(child);
  return node;
}

/**
 * Sets or removes an attribute, if its value changes.
 *
 * @param {Element} node
 * @param {string} name
 * @param {Ui.Attribute} value
 */
export function attribute(node, name, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/**
 * Makes `text` the only content of a node, if it changes.
 *
 * @param {Node} node
 * @param {string} text
 */
export function setText(node, text) {
  const only = node.firstChild;
  if (only instanceof Text && only === node.lastChild) {
    if (only.data !== text) only.data = text;
  } else if (only !== null || text !== "") {
    node.textContent = text;
  }
}

/**
 * The last fraction of each bar.
 *
 * @type {WeakMap<HTMLElement, number>}
 */
const parts = new WeakMap();

/**
 * Sets how full a bar is, 0 to 1. The style sheet draws it.
 *
 * @param {HTMLElement} node
 * @param {number} part
 */
export function setPart(node, part) {
  const rounded = Math.round(Math.min(Math.max(part, 0), 1) * 1000) / 1000;
  if (parts.get(node) === rounded) return;
  parts.set(node, rounded);
  node.style.setProperty("--part", String(rounded));
}

/**
 * Returns the element of the page with this id. Throws if there is none of this kind.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const node = document.getElementById(id);
  if (node instanceof (kind ?? HTMLElement)) return /** @type {T} */ (node);
  throw new Error(`index.html has no such element: #${id}`);
}

/** @param {string} id */
export function inputById(id) {
  return byId(id, HTMLInputElement);
}

/**
 * Returns the drawing context of a canvas.
 *
 * @param {HTMLCanvasElement} canvas
 */
export function context2d(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("this browser cannot draw on a canvas");
  return context;
}

/**
 * Calls `listener` with the lower-case text of a search field when it changes.
 *
 * @param {string} id
 * @param {(text: string) => void} listener
 */
export function onSearch(id, listener) {
  const input = inputById(id);
  input.addEventListener("input", () => listener(input.value.trim().toLowerCase()));
}

/**
 * The entries of each keyed list, by the key of their items.
 *
 * @type {WeakMap<Element, Map<unknown, Ui.Entry<never>>>}
 */
const lists = new WeakMap();

/**
 * Updates the children of `parent` to match `items`: one node per item, found by its key, created if the item is new and
 * removed if it is gone. For short lists; use a `Table` for long ones. Returns the entries by key.
 *
 * @template T
 * @template {Ui.Entry<T>} E
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => unknown} key
 * @param {(item: T) => E} create
 */
export function keyed(parent, items, key, create) {
  const known = /** @type {Map<unknown, E>} */ (lists.get(parent) ?? new Map());
  lists.set(parent, known);
  const obsolete = new Set(known.keys());
  let next = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    let entry = known.get(name);
    if (!entry) known.set(name, (entry = create(item)));
    obsolete.delete(name);
    entry.update(item);
    if (entry.node === next) next = next.nextSibling;
    else parent.insertBefore(entry.node, next);
  }
  for (const name of obsolete) {
    known.get(name)?.node.remove();
    known.delete(name);
  }
  return known;
}

/**
 * A progress bar.
 *
 * @param {string} label
 */
export function progressBar(label) {
  const node = el("div", {
    class: "bar",
    role: "progressbar",
    "aria-label": label,
    "aria-valuemin": 0,
    "aria-valuemax": 100,
  });
  return {
    node,
    /**
     * Sets the fraction, 0 to 1, or `null` if it is unknown.
     *
     * @param {number | null} part
     * @param {Ui.Tone | null} [tone]
     */
    set(part, tone = null) {
      setPart(node, part ?? 0);
      attribute(node, "aria-valuenow", part === null ? null : Math.round(part * 100));
      attribute(node, "data-tone", tone);
      node.classList.toggle("unknown", part === null);
    },
  };
}
