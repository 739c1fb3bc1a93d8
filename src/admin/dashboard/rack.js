// The rack: all hosts as tiles on a canvas. Colour and mark show the state, filling shows the progress of the boot. The table of
// hosts has the same data as text.

import { attribute, byId, context2d, el, keyed, setText } from "./dom.js";
import { colours } from "./colours.js";
import { hostKey } from "./store.js";
import { age, count, plural, roughDuration, tone } from "./format.js";

/**
 * The stages of a boot, one bar each. A `file` (a rendered template) counts as an `asset`: the boot script names both.
 *
 * @type {Api.Role[]}
 */
export const STAGES = ["dhcp", "nbp", "script", "kernel", "initrd", "asset"];

/** @typedef {Api.HostState | "unseen"} State */

/**
 * The states, the most urgent first.
 *
 * @type {State[]}
 */
export const STATES = ["stuck", "failed", "booting", "waiting", "quiet", "done", "unseen"];

/** @type {Record<State, string>} */
export const STATE_WORDS = {
  stuck: "stuck",
  failed: "failed",
  booting: "booting",
  waiting: "waiting",
  quiet: "quiet",
  done: "done",
  unseen: "not seen",
};

/**
 * @param {Api.Host} host
 * @returns {State}
 */
export function stateOf(host) {
  return host.state ?? "unseen";
}

/**
 * Why a host is in its state, in words; empty if it was not seen.
 *
 * @param {Pick<Api.Host, "note" | "reason" | "identity">} host
 */
export function explanation({ note, reason, identity }) {
  return [note, reason, identity.near_miss].filter(Boolean).join(": ");
}

/**
 * The progress of a host's last boot: the index of its stage (-1: not started), and the fraction of that stage (`null`: unknown).
 *
 * @param {Pick<Api.Host, "state" | "last_step">} host
 * @returns {{ stage: number, part: number | null }}
 */
export function progress(host) {
  if (host.state === "done") return { stage: STAGES.length, part: 1 };
  const step = host.last_step;
  if (!step) return { stage: -1, part: 0 };
  const stage = step.role === "file" ? STAGES.length - 1 : STAGES.indexOf(step.role);
  if (step.outcome === "complete" && step.open === 0) return { stage, part: 1 };
  return { stage, part: step.size ? Math.min(1, step.bytes / step.size) : step.open > 0 ? null : 0 };
}

/**
 * The progress of a host's last boot as one number, 0 to 1.
 *
 * @param {Pick<Api.Host, "state" | "last_step">} host
 */
export function overallProgress(host) {
  const { stage, part } = progress(host);
  return stage < 0 ? 0 : Math.min(1, (stage + (part ?? 0)) / STAGES.length);
}

/**
 * Counts the hosts in each state.
 *
 * @param {Iterable<Api.Host>} hosts
 */
export function countByState(hosts) {
  /** @type {Record<State, number>} */
  const found = { stuck: 0, failed: 0, booting: 0, waiting: 0, quiet: 0, done: 0, unseen: 0 };
  for (const host of hosts) found[stateOf(host)] += 1;
  return found;
}

/**
 * The order of the tiles: the natural order of the names, whatever the states are, so that no tile moves.
 *
 * @param {Iterable<Api.Host>} hosts
 */
export function rackOrder(hosts) {
  return [...hosts].sort((a, b) => ((a.sortKey ?? "") < (b.sortKey ?? "") ? -1 : 1)).map(hostKey);
}

/** Between tiles, in pixels. */
const GAP = 3;

/** @typedef {"large" | "named" | "small"} Style */

/**
 * The size of the tiles in pixels, as large as the number of hosts allows, and how many fill a line.
 *
 * @param {number} total
 * @param {number} available The width of the rack in pixels.
 */
export function rackLayout(total, available) {
  /** @type {[number, number, Style]} */
  const [minWidth, height, style] =
    total <= 72
      ? [148, 40, "large"]
      : total <= 360
        ? [78, 20, "named"]
        : total <= 1500
          ? [19, 11, "small"]
          : [11, 7, "small"];
  const columns = Math.max(1, Math.floor((available + GAP) / (minWidth + GAP)));
  const width = Math.min((available + GAP) / columns - GAP, minWidth * 1.6);
  return { columns, width, height, style, lines: Math.ceil(total / columns) };
}

/**
 * The colour of a state on the canvas.
 *
 * @param {Record<string, string>} paint
 * @param {State} state
 */
function colourOf(paint, state) {
  return paint[tone(state)] ?? paint["calm"] ?? "";
}

export class Rack {
  /** @param {() => Map<string, Api.Host>} hosts */
  constructor(hosts) {
    this.hosts = hosts;
    this.canvas = byId("rack", HTMLCanvasElement);
    this.context = context2d(this.canvas);
    this.tip = byId("rack-tip");
    /**
     * The keys of the hosts in the order of their tiles.
     *
     * @type {string[]}
     */
    this.order = [];
    /** @type {Set<string>} */
    this.placed = new Set();
    /** @type {ReturnType<typeof rackLayout> | null} */
    this.layout = null;
    this.width = 0;
    new ResizeObserver(([entry]) => {
      if (entry) this.width = entry.contentRect.width;
      this.draw();
    }).observe(byId("rack-frame"));
    this.canvas.addEventListener("click", (event) => {
      const host = this.hostAt(event.offsetX, event.offsetY);
      if (host) location.hash = `#/hosts/${encodeURIComponent(hostKey(host))}`;
    });
    this.canvas.addEventListener("pointermove", (event) => this.showTip(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
  }

  render() {
    const hosts = [...this.hosts().values()];
    if (hosts.length !== this.order.length || hosts.some((host) => !this.placed.has(hostKey(host)))) {
      this.order = rackOrder(hosts);
      this.placed = new Set(this.order);
    }
    const found = countByState(hosts);
    const present = STATES.filter((state) => found[state] > 0);
    const legend = keyed(byId("rack-legend"), present, (state) => state, legendItem);
    for (const state of present) legend.get(state)?.setValue(found[state]);
    byId("rack-none").hidden = hosts.length > 0;
    byId("rack-frame").hidden = hosts.length === 0;
    const words = `${plural(hosts.length, "host")}: ${present.map((state) => `${found[state]} ${STATE_WORDS[state]}`).join(", ")}`;
    attribute(this.canvas, "aria-label", words);
    this.draw();
  }

  draw() {
    if (this.width < 20 || this.order.length === 0) return;
    const { columns, width, height, style, lines } = (this.layout = rackLayout(this.order.length, this.width));
    const tall = lines * (height + GAP) - GAP;
    const scale = devicePixelRatio || 1;
    const [across, down] = [Math.round(this.width * scale), Math.round(tall * scale)];
    if (this.canvas.width !== across || this.canvas.height !== down) {
      this.canvas.width = across;
      this.canvas.height = down;
      this.canvas.style.height = `${tall}px`;
    }
    const { context } = this;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, this.width, tall);
    const paint = colours();
    context.textBaseline = "middle";
    const hosts = this.hosts();
    this.order.forEach((key, index) => {
      const host = hosts.get(key);
      if (!host) return;
      const left = (index % columns) * (width + GAP);
      const top = Math.floor(index / columns) * (height + GAP);
      if (style === "large") this.large(paint, host, left, top, width, height);
      else this.small(paint, host, left, top, width, height, style === "named");
    });
  }

  /**
   * Adds a rounded rectangle to the path.
   *
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {number} radius
   */
  box(left, top, width, height, radius) {
    this.context.beginPath();
    this.context.roundRect(left, top, width, height, radius);
  }

  /**
   * @param {Record<string, string>} paint
   * @param {Api.Host} host
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   * @param {boolean} named
   */
  small(paint, host, left, top, width, height, named) {
    const { context } = this;
    const state = stateOf(host);
    const colour = colourOf(paint, state);
    const radius = height > 9 ? 2.5 : 1.5;
    if (state === "unseen") {
      this.box(left + 0.5, top + 0.5, width - 1, height - 1, radius);
      context.strokeStyle = paint.line;
      context.lineWidth = 1;
      context.stroke();
    } else {
      this.box(left, top, width, height, radius);
      context.fillStyle = colour;
      const whole = state === "stuck" || state === "failed";
      context.globalAlpha = whole ? 1 : state === "done" ? 0.5 : 0.2;
      context.fill();
      context.globalAlpha = 1;
      if (state === "booting") {
        context.save();
        context.clip();
        context.fillRect(left, top, Math.max(2, width * overallProgress(host)), height);
        context.restore();
      }
      if (whole && !named) this.mark(paint, state, left, top, width, height);
    }
    if (named) {
      context.font = `10px ${paint.font}`;
      context.fillStyle = state === "unseen" ? paint["ink-3"] : paint.ink;
      if (state === "stuck" || state === "failed") context.fillStyle = paint.ground;
      context.fillText(this.fit(hostKey(host), width - 10), left + 5, top + height / 2 + 0.5);
    }
  }

  /**
   * Draws the mark that distinguishes stuck from failed without colour.
   *
   * @param {Record<string, string>} paint
   * @param {State} state
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   */
  mark(paint, state, left, top, width, height) {
    const { context } = this;
    context.strokeStyle = paint.ground;
    context.lineWidth = 1.4;
    context.beginPath();
    const [x, y, r] = [left + width / 2, top + height / 2, Math.min(width, height) * 0.24];
    if (state === "failed") {
      context.moveTo(x - r, y - r);
      context.lineTo(x + r, y + r);
      context.moveTo(x + r, y - r);
      context.lineTo(x - r, y + r);
    } else {
      context.moveTo(x - r * 2, y);
      context.lineTo(x + r * 2, y);
    }
    context.stroke();
  }

  /**
   * @param {Record<string, string>} paint
   * @param {Api.Host} host
   * @param {number} left
   * @param {number} top
   * @param {number} width
   * @param {number} height
   */
  large(paint, host, left, top, width, height) {
    const { context } = this;
    const state = stateOf(host);
    const colour = colourOf(paint, state);
    this.box(left + 0.5, top + 0.5, width - 1, height - 1, 5);
    context.fillStyle = paint.well;
    context.fill();
    if (state === "stuck" || state === "failed") {
      context.globalAlpha = 0.16;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
    }
    context.strokeStyle = state === "stuck" || state === "failed" ? colour : paint["line-soft"];
    context.lineWidth = 1;
    context.stroke();
    context.beginPath();
    context.arc(left + 12, top + 14, 3.5, 0, 7);
    if (state === "unseen") {
      context.strokeStyle = paint["ink-3"];
      context.stroke();
    } else {
      context.fillStyle = colour;
      context.fill();
    }
    context.font = `500 12px ${paint.font}`;
    context.fillStyle = paint.ink;
    const name = this.fit(hostKey(host), width - 76);
    context.fillText(name, left + 21, top + 14.5);
    context.font = `11px ${paint.font}`;
    context.fillStyle = paint["ink-2"];
    context.textAlign = "right";
    const word = state === "booting" ? (host.last_step?.role ?? "booting") : STATE_WORDS[state];
    context.fillText(word, left + width - 9, top + 14.5);
    context.textAlign = "left";
    // One bar per stage.
    const { stage, part } = progress(host);
    const wide = (width - 18 - (STAGES.length - 1) * 2) / STAGES.length;
    STAGES.forEach((_, at) => {
      const x = left + 9 + at * (wide + 2);
      context.fillStyle = paint.line;
      context.fillRect(x, top + height - 11, wide, 4);
      const full = at < stage ? 1 : at === stage ? (part ?? 0.5) : 0;
      if (full > 0) {
        context.fillStyle = colour;
        context.fillRect(x, top + height - 11, wide * full, 4);
      }
    });
  }

  /**
   * Cuts the beginning of a text that is wider than `width`.
   *
   * @param {string} text
   * @param {number} width
   */
  fit(text, width) {
    const { context } = this;
    if (context.measureText(text).width <= width) return text;
    let short = text;
    while (short.length > 1 && context.measureText(`…${short}`).width > width) short = short.slice(1);
    return `…${short}`;
  }

  /**
   * Returns the host whose tile is at this point.
   *
   * @param {number} x
   * @param {number} y
   */
  hostAt(x, y) {
    if (!this.layout) return undefined;
    const { columns, width, height } = this.layout;
    const column = Math.floor(x / (width + GAP));
    if (column >= columns) return undefined;
    const key = this.order[Math.floor(y / (height + GAP)) * columns + column];
    return key === undefined ? undefined : this.hosts().get(key);
  }

  /** @param {PointerEvent} event */
  showTip(event) {
    const host = this.hostAt(event.offsetX, event.offsetY);
    this.tip.hidden = !host;
    if (!host) return;
    const since = host.since ? `, ${roughDuration(age(host.since))}` : "";
    const note = host.note ? ` · ${host.note}` : "";
    setText(this.tip, `${hostKey(host)} · ${STATE_WORDS[stateOf(host)]}${since}${note}`);
    const left = Math.min(event.offsetX + 12, Math.max(0, this.width - 330));
    this.tip.style.transform = `translate(${left}px, ${event.offsetY + 16}px)`;
  }
}

/** @param {State} state */
function legendItem(state) {
  const value = el("b");
  const link = el(
    "a",
    { href: `#/hosts?state=${state}`, class: "chip", "data-tone": tone(state) },
    el("i", { class: "lamp", "aria-hidden": "true" }),
    `${STATE_WORDS[state]} `,
    value,
  );
  return {
    node: el("li", {}, link),
    update() {},
    /** @param {number} number */
    setValue: (number) => setText(value, count(number)),
  };
}
