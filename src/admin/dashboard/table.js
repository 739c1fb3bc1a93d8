// A table of any length: only the rows in view exist as elements. It is a real table for assistive technology, with the true
// number of rows; its headings sort it, and the arrow keys move through it.

import { attribute, el, setText } from "./dom.js";

/** Rows that exist above and below those in view. */
const MARGIN = 6;
/** How often a table whose data changes is sorted again, in milliseconds. */
const SORT_EVERY = 1000;
/** The most unused row elements that are kept. */
const MAX_SPARE_ROWS = 60;

/**
 * Sorts items by a column. Items without a value come last in both directions; equal items are in natural order.
 *
 * @template {{ sortKey?: string }} T
 * @param {readonly T[]} items
 * @param {(item: T) => Ui.SortValue} value
 * @param {1 | -1} way
 */
export function sortItems(items, value, way) {
  const pairs = items.map((item) => /** @type {const} */ ([value(item), item]));
  pairs.sort(([a, first], [b, second]) => {
    if (a === b) return compare(first.sortKey ?? "", second.sortKey ?? "");
    if (a === null || a === undefined) return 1;
    if (b === null || b === undefined) return -1;
    return compare(a, b) * way;
  });
  return pairs.map(([, item]) => item);
}

/**
 * @template {string | number | boolean} V
 * @param {V} a
 * @param {V} b
 */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * Whether one of the fields contains the text of a search field; an empty text matches everything.
 *
 * @param {string} text In lower case.
 * @param {readonly (string | null | undefined)[]} fields
 */
export function matches(text, fields) {
  return text === "" || fields.some((field) => field?.toLowerCase().includes(text));
}

/**
 * The rows that exist as elements, from `from` to before `to`.
 *
 * @param {number} total
 * @param {{ top: number, height: number, rowHeight: number }} view In pixels.
 */
export function rowsInView(total, { top, height, rowHeight }) {
  const from = Math.max(0, Math.min(Math.floor(top / rowHeight) - MARGIN, total));
  return { from, to: Math.min(total, Math.ceil((top + height) / rowHeight) + MARGIN) };
}

/**
 * A row element: `item` is what it shows, `button` the element in it that takes the focus.
 *
 * @template T
 * @typedef {{ node: HTMLTableRowElement, item: T | null, updates: ((item: T) => void)[], button: HTMLElement | null }} Row
 */

/** @template {{ sortKey?: string }} T */
export class Table {
  /**
   * @param {HTMLElement} root
   * @param {Ui.TableOptions<T>} options
   */
  constructor(root, { label, columns, key, open, empty, sort, tone, current = () => null }) {
    this.root = root;
    this.columns = columns;
    this.key = key;
    this.open = open;
    this.emptyText = empty;
    this.tone = tone;
    this.current = current;
    /** @type {Ui.Sort} */
    this.sort = sort;
    /** @type {readonly T[]} */
    this.items = [];
    /**
     * The items in their order.
     *
     * @type {T[]}
     */
    this.shown = [];
    /**
     * The rows in view, by the key of their item.
     *
     * @type {Map<string | number, Row<T>>}
     */
    this.rows = new Map();
    /** @type {Row<T>[]} */
    this.spare = [];
    this.sortedAt = 0;
    /**
     * The key of the row with the focus.
     *
     * @type {string | number | null}
     */
    this.active = null;
    /** The pending animation frame, or 0. */
    this.due = 0;
    this.top = 0;
    this.height = 600;
    this.rowHeight = 36;

    this.headings = columns.map((column) => this.heading(column));
    this.body = el("tbody", { role: "rowgroup" });
    this.before = new Spacer();
    this.after = new Spacer();
    this.body.append(this.before.node, this.after.node);
    const headingRow = el(
      "tr",
      { role: "row", "aria-rowindex": 1 },
      this.headings.map(({ node }) => node),
    );
    this.head = el("thead", { role: "rowgroup" }, headingRow);
    this.table = el("table", { role: "table", "aria-label": label, class: "rows" }, this.head, this.body);
    this.none = el("p", { class: "none", hidden: true });
    root.classList.add("scroller");
    attribute(root, "tabindex", 0);
    attribute(root, "role", "region");
    attribute(root, "aria-label", `Table of ${label.toLowerCase()}`);
    root.append(this.table, this.none);

    root.addEventListener(
      "scroll",
      () => {
        this.top = root.scrollTop;
        this.requestRender();
      },
      { passive: true },
    );
    root.addEventListener("keydown", (event) => this.keydown(event));
    this.body.addEventListener("click", (event) => {
      const target = event.target instanceof Element ? event.target.closest("tr") : null;
      const item = [...this.rows.values()].find((row) => row.node === target)?.item;
      if (item && this.open) {
        this.active = this.key(item);
        this.open(item);
      }
    });
    new ResizeObserver(([entry]) => {
      if (entry) this.height = entry.contentRect.height;
      this.rowHeight = parseFloat(getComputedStyle(root).getPropertyValue("--row")) || 36;
      this.requestRender();
    }).observe(root);
  }

  /**
   * Creates the heading of a column.
   *
   * @param {Ui.Column<T>} column
   */
  heading(column) {
    const words = document.createTextNode(labelOf(column));
    const click = () => {
      const way = this.sort.by === column.key ? -this.sort.way : (column.first ?? 1);
      this.sort = { by: column.key, way: way > 0 ? 1 : -1 };
      this.arrange(true);
    };
    const content = column.sort ? el("button", { type: "button", class: "sort", on: { click } }, words) : words;
    const node = el("th", { role: "columnheader", scope: "col", class: column.class }, content);
    return { node, words, column };
  }

  /**
   * Shows these items.
   *
   * @param {readonly T[]} items
   * @param {boolean} now Sort at once, because the operator chose other items.
   */
  show(items, now = false) {
    this.items = items;
    this.arrange(now);
  }

  /** @param {boolean} now */
  arrange(now) {
    const due = performance.now() - this.sortedAt > SORT_EVERY;
    if (now || due || !this.refresh()) {
      this.sortedAt = performance.now();
      const column = this.columns.find((one) => one.key === this.sort.by);
      this.shown = sortItems(this.items, column?.sort ?? (() => null), this.sort.way);
    }
    for (const { node, words, column } of this.headings) {
      if (words.data !== labelOf(column)) words.data = labelOf(column);
      const sorted = column.key === this.sort.by;
      attribute(node, "aria-sort", sorted ? (this.sort.way > 0 ? "ascending" : "descending") : null);
    }
    this.render();
  }

  /** Replaces the shown items by their new versions in the same order. Returns `false` if items were added or removed. */
  refresh() {
    if (this.items.length !== this.shown.length) return false;
    const fresh = new Map(this.items.map((item) => [this.key(item), item]));
    /** @type {T[]} */
    const shown = [];
    for (const old of this.shown) {
      const item = fresh.get(this.key(old));
      if (!item) return false;
      shown.push(item);
    }
    this.shown = shown;
    return true;
  }

  /** Renders in the next animation frame. */
  requestRender() {
    if (this.due) return;
    this.due = requestAnimationFrame(() => {
      this.due = 0;
      this.render();
    });
  }

  render() {
    const total = this.shown.length;
    attribute(this.table, "aria-rowcount", total + 1);
    this.none.hidden = total > 0;
    if (total === 0) setText(this.none, this.emptyText());
    const { from, to } = rowsInView(total, this);
    /** @type {Map<string | number, { item: T, at: number }>} */
    const wanted = new Map();
    this.shown.slice(from, to).forEach((item, index) => wanted.set(this.key(item), { item, at: from + index }));
    for (const [name, row] of this.rows) {
      if (wanted.has(name)) continue;
      if (row.node.contains(document.activeElement)) this.root.focus({ preventScroll: true });
      this.rows.delete(name);
      this.spare.push(row);
      row.node.remove();
    }
    this.before.set(from * this.rowHeight);
    this.after.set((total - to) * this.rowHeight);
    let next = this.before.node.nextSibling;
    const current = this.current();
    for (const [name, { item, at }] of wanted) {
      let row = this.rows.get(name);
      if (!row) {
        row = this.spare.pop() ?? this.createRow();
        this.rows.set(name, row);
      }
      if (row.node === next) next = next.nextSibling;
      else this.body.insertBefore(row.node, next);
      this.update(row, item, at, name === current);
    }
    this.spare.length = Math.min(this.spare.length, MAX_SPARE_ROWS);
  }

  /** @returns {Row<T>} */
  createRow() {
    const node = el("tr", { role: "row" });
    const updates = this.columns.map((column) => {
      const cell = el("td", { role: "cell", class: column.class });
      node.append(cell);
      return column.make(cell);
    });
    return { node, item: null, updates, button: node.querySelector("button, a") };
  }

  /**
   * @param {Row<T>} row
   * @param {T} item
   * @param {number} at
   * @param {boolean} current
   */
  update(row, item, at, current) {
    row.item = item;
    attribute(row.node, "aria-rowindex", at + 2);
    attribute(row.node, "data-tone", this.tone?.(item));
    attribute(row.node, "aria-current", current ? "true" : null);
    for (const update of row.updates) update(item);
    // The Tab key stops at one row; the arrow keys reach the others.
    const stop = this.active === null ? at === 0 : this.key(item) === this.active;
    if (row.button) row.button.tabIndex = stop ? 0 : -1;
  }

  /** @param {KeyboardEvent} event */
  keydown(event) {
    /** @type {Record<string, number>} */
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: this.page(),
      PageUp: -this.page(),
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey || this.shown.length === 0) return;
    event.preventDefault();
    const from = this.active === null ? -1 : this.shown.findIndex((item) => this.key(item) === this.active);
    this.focus(Math.min(Math.max(from + step, 0), this.shown.length - 1));
  }

  /** The rows that fit in the view, less two. */
  page() {
    return Math.max(1, Math.floor(this.height / this.rowHeight) - 2);
  }

  /**
   * Moves the focus to the row at this place.
   *
   * @param {number} at
   */
  focus(at) {
    const item = this.shown[at];
    if (!item) return;
    this.active = this.key(item);
    const head = this.head.offsetHeight;
    const top = at * this.rowHeight;
    if (top < this.root.scrollTop) this.root.scrollTop = top;
    else if (top + this.rowHeight + head > this.root.scrollTop + this.height)
      this.root.scrollTop = top + this.rowHeight + head - this.height;
    this.top = this.root.scrollTop;
    this.render();
    this.rows.get(this.active)?.button?.focus({ preventScroll: true });
  }

  /** Moves the focus back to the last active row. */
  restore() {
    const at = this.shown.findIndex((item) => this.key(item) === this.active);
    if (at >= 0) this.focus(at);
    else this.root.focus();
  }
}

/**
 * @template T
 * @param {Ui.Column<T>} column
 */
function labelOf(column) {
  return typeof column.label === "function" ? column.label() : column.label;
}

/** An empty row that takes the place of the rows out of view. */
class Spacer {
  constructor() {
    this.cell = el("td");
    this.node = el("tr", { class: "spacer", "aria-hidden": "true" }, this.cell);
    this.height = -1;
  }

  /** @param {number} height In pixels. */
  set(height) {
    if (this.height === height) return;
    this.height = height;
    this.cell.style.height = `${height}px`;
    this.node.hidden = height === 0;
  }
}
