// The plot of the throughput of the last 15 minutes, on a canvas: bytes sent over HTTP and TFTP as stacked areas, bytes received
// from origins as a line.

import { colours } from "./colours.js";
import { attribute, context2d, el, keyed, setText } from "./dom.js";
import { bytes, localTime, now, rate } from "./format.js";
import { GAP, LENGTH } from "./history.js";

/** @typedef {import("./history.js").Point} Point */
/** @typedef {"http" | "tftp" | "received"} Key */
/** @typedef {(value: number) => number} Scale */

/** @type {{ key: Key, label: string, colour: string }[]} */
const SERIES = [
  { key: "http", label: "sent over HTTP", colour: "plot-http" },
  { key: "tftp", label: "sent over TFTP", colour: "plot-tftp" },
  { key: "received", label: "received from origins", colour: "plot-received" },
];
/** Margins, in pixels. */
const LEFT = 68;
const BOTTOM = 22;
const TOP = 10;
/** Horizontal lines above the axis. */
const LINES = 4;
/** The shortest time shown, in milliseconds. */
const MIN_LENGTH = 2 * 60_000;

export class Plot {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {HTMLElement} legend
   * @param {import("./history.js").History} history
   */
  constructor(canvas, legend, history) {
    this.canvas = canvas;
    this.legend = legend;
    this.history = history;
    this.context = context2d(canvas);
    this.width = 0;
    this.height = 0;
    /** The time shown, in milliseconds. */
    this.length = MIN_LENGTH;
    /**
     * Where the pointer is, or `null`.
     *
     * @type {number | null}
     */
    this.pointer = null;
    /** The pending animation frame, or 0. */
    this.due = 0;
    new ResizeObserver(([entry]) => {
      if (!entry) return;
      this.width = entry.contentRect.width;
      this.height = entry.contentRect.height;
      this.draw();
    }).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

  /** @param {number | null} x */
  point(x) {
    this.pointer = x;
    this.due ||= requestAnimationFrame(() => {
      this.due = 0;
      this.draw();
    });
  }

  draw() {
    const points = this.history.points;
    const end = Math.max(now(), points.at(-1)?.at ?? 0);
    const shown = this.pointed(points, end);
    const legend = keyed(this.legend, SERIES, (one) => one.key, legendItem);
    for (const { key } of SERIES) legend.get(key)?.setValue(rate(shown[key]));
    if (this.width < 40) return;

    const { width, height, context } = this;
    const scale = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const paint = colours();
    const peak = points.reduce((most, point) => Math.max(most, point.http + point.tftp, point.received), 0);
    const top = axisEnd(peak * 1.08);
    const length = (this.length = timeShown(points, end));
    /** @type {Scale} */
    const x = (at) => LEFT + (1 - (end - at) / length) * (width - LEFT - 2);
    /** @type {Scale} */
    const y = (value) => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);

    this.grid(paint, top, end, x, y);
    for (const run of runs(points)) {
      const total = run.map((point) => ({ ...point, tftp: point.http + point.tftp }));
      this.area(total, "tftp", paint["plot-tftp"] ?? "", x, y, 0.26);
      this.area(run, "http", paint["plot-http"] ?? "", x, y, 0.2);
      this.line(run, "received", paint["plot-received"] ?? "", x, y);
    }
    if (this.pointer !== null && shown.at) {
      context.fillStyle = paint["ink-3"];
      context.fillRect(Math.round(x(shown.at)), TOP, 1, height - BOTTOM - TOP);
    }
    const label = `Throughput of the last minutes. Now ${SERIES.map((one) => `${one.label} ${rate(this.history.newest[one.key])}`).join(", ")}. Peak ${rate(peak)}.`;
    attribute(this.canvas, "aria-label", label);
  }

  /**
   * The point under the pointer, or the newest with `at` 0.
   *
   * @param {Point[]} points
   * @param {number} end
   */
  pointed(points, end) {
    if (this.pointer === null || points.length === 0)
      return { ...this.history.newest, at: 0 };
    const at = end - (1 - (this.pointer - LEFT) / (this.width - LEFT - 2)) * this.length;
    return points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
  }

  /**
   * @param {Record<string, string>} paint
   * @param {number} top
   * @param {number} end
   * @param {Scale} x
   * @param {Scale} y
   */
  grid(paint, top, end, x, y) {
    const { context, width, height } = this;
    context.font = `11px ${paint.font}`;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (let at = 0; at <= LINES; at += 1) {
      const value = (top / LINES) * at;
      const line = Math.round(y(value)) + 0.5;
      context.fillStyle = at === 0 ? paint.line : paint["line-soft"];
      context.fillRect(LEFT, line - 0.5, width - LEFT, 1);
      context.fillStyle = paint["ink-3"];
      context.fillText(at === 0 ? "0" : `${short(value)}/s`, LEFT - 8, line);
    }
    context.textAlign = "center";
    const maxLabels = Math.max(2, Math.floor((width - LEFT) / 90));
    const step =
      [15_000, 30_000, 60_000, 120_000, 180_000, 300_000].find((one) => this.length / one <= maxLabels) ?? 300_000;
    for (let at = Math.ceil((end - this.length) / step) * step; at <= end; at += step) {
      const place = x(at);
      if (place < LEFT + 20 || place > width - 22) continue;
      context.fillText(localTime(new Date(at).toISOString()).slice(-8, step < 60_000 ? undefined : -3), place, height - 8);
    }
  }

  /**
   * Makes the curve the current path.
   *
   * @param {Point[]} run
   * @param {Key} key
   * @param {Scale} x
   * @param {Scale} y
   */
  trace(run, key, x, y) {
    const { context } = this;
    context.beginPath();
    const [first] = run;
    if (first) context.moveTo(x(first.since), y(first[key]));
    for (const point of run) context.lineTo(x(point.at), y(point[key]));
  }

  /**
   * @param {Point[]} run
   * @param {Key} key
   * @param {string} colour
   * @param {Scale} x
   * @param {Scale} y
   */
  line(run, key, colour, x, y) {
    const { context } = this;
    this.trace(run, key, x, y);
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.stroke();
  }

  /**
   * @param {Point[]} run
   * @param {Key} key
   * @param {string} colour
   * @param {Scale} x
   * @param {Scale} y
   * @param {number} opacity
   */
  area(run, key, colour, x, y, opacity) {
    const { context } = this;
    this.line(run, key, colour, x, y);
    context.lineTo(x(run.at(-1)?.at ?? 0), y(0));
    context.lineTo(x(run[0]?.since ?? 0), y(0));
    context.globalAlpha = opacity;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}

/** @param {(typeof SERIES)[number]} series */
function legendItem({ label, colour }) {
  const value = el("b");
  const node = el("li", {}, el("i", { class: `swatch ${colour}`, "aria-hidden": "true" }), `${label} `, value);
  return {
    node,
    update() {},
    /** @param {string} text */
    setValue: (text) => setText(value, text),
  };
}

/**
 * The time shown, in milliseconds: as much as is known, within limits.
 *
 * @param {Point[]} points
 * @param {number} end
 */
export function timeShown(points, end) {
  const known = points[0] ? end - points[0].since : 0;
  return Math.min(LENGTH, Math.max(MIN_LENGTH, known));
}

/**
 * Splits the points at gaps.
 *
 * @param {Point[]} points
 */
export function runs(points) {
  /** @type {Point[][]} */
  const found = [];
  for (const point of points) {
    const last = found.at(-1);
    const before = last?.at(-1)?.at ?? -Infinity;
    if (last && point.since - before < GAP && point.at - point.since < GAP) last.push(point);
    else found.push([point]);
  }
  return found;
}

/**
 * The end of an axis that holds `value`: a round number of its unit, for four divisions.
 *
 * @param {number} value
 */
export function axisEnd(value) {
  let unit = 2 ** 20;
  while (value > unit * 1000) unit *= 1024;
  const rounds = [1, 2, 4, 8, 12, 16, 20, 40, 60, 80, 100, 120, 160, 200, 240, 320, 400, 600, 800, 1024];
  return (rounds.find((round) => round * unit >= value) ?? 1024) * unit;
}

/** @param {number} value */
function short(value) {
  return bytes(value).replace(/\.0 /, " ");
}
