// A table of any length, of which only the rows in sight exist: a real table to those who hear it, with the true number of
// rows, sorted by its headings and walked by the arrow keys.

import { attribute, el, setText } from "./dom.js";

/** Rows that exist above and below what is in sight. */
const MARGIN = 6;
/** How often a table that sorts by what changes is sorted, at most. */
const SORTED_EVERY = 1000;

/**
 * A column: `key`, `label` (a text, or what returns one), `class`, `make(cell)` which fills a new cell and returns what brings it
 * up to date with an item, `sort(item)` the value by which it sorts (none: it does not), and `first` the direction of the first
 * click (1 or -1).
 */
export class Table {
  /**
   * `key(item)` tells rows apart, `open(item)` is what Enter and a click do, `empty()` the text where there is no row,
   * `tone(item)` colours the row's edge.
   */
  constructor(root, { label, columns, key, open = null, empty, sort, tone = null, current = () => null }) {
    Object.assign(this, { root, columns, key, open, emptyText: empty, tone, current });
    this.items = [];
    this.shown = [];
    this.rows = new Map();
    this.spare = [];
    this.sort = sort;
    this.sortedAt = 0;
    this.active = null;
    this.top = 0;
    this.height = 600;
    this.rowHeight = 36;

    this.headings = columns.map((column) => this.heading(column));
    this.body = el("tbody", { role: "rowgroup" });
    this.before = el("tr", { class: "spacer", "aria-hidden": "true" }, el("td"));
    this.after = el("tr", { class: "spacer", "aria-hidden": "true" }, el("td"));
    this.body.append(this.before, this.after);
    this.head = el("thead", { role: "rowgroup" }, el("tr", { role: "row", "aria-rowindex": 1 }, this.headings));
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
        this.frame();
      },
      { passive: true },
    );
    root.addEventListener("keydown", (event) => this.keydown(event));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (row?.item_ && this.open) {
        this.active = this.key(row.item_);
        this.open(row.item_);
      }
    });
    new ResizeObserver(([entry]) => {
      this.height = entry.contentRect.height;
      this.rowHeight = parseFloat(getComputedStyle(root).getPropertyValue("--row")) || 36;
      this.frame();
    }).observe(root);
  }

  heading(column) {
    const cell = el("th", { role: "columnheader", scope: "col", class: column.class });
    const words = (column.words_ = document.createTextNode(label(column)));
    if (!column.sort) {
      cell.append(words);
      return cell;
    }
    const click = () => {
      const same = this.sort.by === column.key;
      this.sort = { by: column.key, way: same ? -this.sort.way : (column.first ?? 1) };
      this.arrange(true);
    };
    cell.append(el("button", { type: "button", class: "sort", on: { click } }, words));
    return cell;
  }

  /** Shows these items. `now`: they are others than before, by the operator's wish, and sorted at once. */
  show(items, now = false) {
    this.items = items;
    this.arrange(now);
  }

  arrange(atOnce) {
    const column = this.columns.find((one) => one.key === this.sort.by);
    const old = performance.now() - this.sortedAt > SORTED_EVERY;
    if (atOnce || old || this.items.length !== this.shown.length) {
      this.sortedAt = performance.now();
      const way = this.sort.way;
      const pairs = this.items.map((item) => [column.sort(item), item]);
      // What has no value stands last, whichever way.
      pairs.sort(([a, first], [b, second]) => {
        if (a === b) return first.sortKey < second.sortKey ? -1 : first.sortKey > second.sortKey ? 1 : 0;
        if (a === null || a === undefined) return 1;
        if (b === null || b === undefined) return -1;
        return (a < b ? -1 : 1) * way;
      });
      this.shown = pairs.map(([, item]) => item);
    } else {
      // The order stays for now; the items are what they have become.
      const fresh = new Map(this.items.map((item) => [this.key(item), item]));
      this.shown = this.shown.map((item) => fresh.get(this.key(item))).filter(Boolean);
      if (this.shown.length !== this.items.length) return this.arrange(true);
    }
    this.headings.forEach((cell, at) => {
      const column = this.columns[at];
      if (column.words_.data !== label(column)) column.words_.data = label(column);
      const mine = column.key === this.sort.by;
      attribute(cell, "aria-sort", mine ? (this.sort.way > 0 ? "ascending" : "descending") : null);
    });
    return this.render();
  }

  frame() {
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
    const from = Math.max(0, Math.min(Math.floor(this.top / this.rowHeight) - MARGIN, total));
    const to = Math.min(total, Math.ceil((this.top + this.height) / this.rowHeight) + MARGIN);
    const wanted = new Map();
    for (let at = from; at < to; at += 1) wanted.set(this.key(this.shown[at]), at);
    for (const [name, row] of this.rows) {
      if (wanted.has(name)) continue;
      if (row.contains(document.activeElement)) this.root.focus({ preventScroll: true });
      this.rows.delete(name);
      this.spare.push(row);
      row.remove();
    }
    space(this.before, from * this.rowHeight);
    space(this.after, (total - to) * this.rowHeight);
    let next = this.before.nextSibling;
    const current = this.current();
    for (const [name, at] of wanted) {
      let row = this.rows.get(name);
      if (!row) {
        row = this.spare.pop() ?? this.row();
        this.rows.set(name, row);
      }
      if (row === next) next = next.nextSibling;
      else this.body.insertBefore(row, next);
      this.update(row, this.shown[at], at, name === current);
    }
    this.spare.length = Math.min(this.spare.length, 60);
  }

  row() {
    const row = el("tr", { role: "row" });
    row.updates_ = this.columns.map((column) => {
      const cell = el("td", { role: "cell", class: column.class });
      row.append(cell);
      return column.make(cell);
    });
    return row;
  }

  update(row, item, at, current) {
    row.item_ = item;
    attribute(row, "aria-rowindex", at + 2);
    attribute(row, "data-tone", this.tone?.(item));
    attribute(row, "aria-current", current ? "true" : null);
    for (const update of row.updates_) update(item);
    // One row is in the order of the Tab key; the arrow keys reach the others.
    const stop = this.active === null ? at === 0 : this.key(item) === this.active;
    const button = (row.button_ ??= row.querySelector("button, a"));
    if (button) button.tabIndex = stop ? 0 : -1;
  }

  keydown(event) {
    const step = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: this.page(),
      PageUp: -this.page(),
      Home: -Infinity,
      End: Infinity,
    }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey || this.shown.length === 0) return;
    event.preventDefault();
    const here = this.active === null ? -1 : this.shown.findIndex((item) => this.key(item) === this.active);
    this.focus(Math.min(Math.max(here + step, 0), this.shown.length - 1));
  }

  page() {
    return Math.max(1, Math.floor(this.height / this.rowHeight) - 2);
  }

  /** Moves the keyboard to the row at this place. */
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
    this.rows.get(this.active)?.button_?.focus({ preventScroll: true });
  }

  /** Moves the keyboard back to where it was. */
  restore() {
    const at = this.shown.findIndex((item) => this.key(item) === this.active);
    if (at >= 0) this.focus(at);
    else this.root.focus();
  }
}

function label(column) {
  return typeof column.label === "function" ? column.label() : column.label;
}

function space(row, height) {
  if (row.height_ === height) return;
  row.height_ = height;
  row.firstChild.style.height = `${height}px`;
  row.hidden = height === 0;
}
