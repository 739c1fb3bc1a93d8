// Elements, made and changed. Texts go in as text nodes alone, never as markup; what has not changed is not touched.

/**
 * An element with these attributes and children. `on` holds listeners by event, `class` the classes; `true` is an empty
 * attribute, and `false`, `null` and `undefined` are none.
 */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else {
      attribute(node, name, value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Sets or removes an attribute, if it is another. */
export function attribute(node, name, value) {
  if (value === false || value === null || value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Makes `text` the only content of a node, if it is another. */
export function setText(node, text) {
  const only = node.firstChild;
  if (only === null) {
    if (text !== "") node.append(text);
  } else if (only === node.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.data !== text) only.data = text;
  } else {
    node.textContent = text;
  }
}

/** How much of a bar is full, 0 to 1. The style sheet draws it. */
export function setPart(node, part) {
  const rounded = String(Math.round(Math.min(Math.max(part, 0), 1) * 1000) / 1000);
  if (node.part_ !== rounded) {
    node.part_ = rounded;
    node.style.setProperty("--part", rounded);
  }
}

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * Brings the children of `parent` in line with `items`: one node an item, found again by its key, made where it is new
 * and removed where its item has gone. For short lists; long ones are a `Table`.
 */
export function keyed(parent, items, key, make) {
  const known = (parent.nodes_ ??= new Map());
  const left = new Set(known.keys());
  let before = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    let entry = known.get(name);
    if (!entry) known.set(name, (entry = make(item)));
    left.delete(name);
    entry.update(item);
    if (entry.node === before) before = before.nextSibling;
    else parent.insertBefore(entry.node, before);
  }
  for (const name of left) {
    known.get(name).node.remove();
    known.delete(name);
  }
}

/** A bar of progress, named for those who cannot see it. */
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
    /** `part` is 0 to 1; null where nobody knows. */
    set(part, tone = "") {
      setPart(node, part ?? 0);
      attribute(node, "aria-valuenow", part === null ? null : Math.round(part * 100));
      attribute(node, "data-tone", tone || null);
      node.classList.toggle("unknown", part === null);
    },
  };
}
