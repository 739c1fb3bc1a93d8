// The throughput of the last quarter of an hour on a canvas: what went out over HTTP and TFTP, one on the other, and what came in
// from the origins as a line.

import { el, keyed, setText } from "./dom.js";
import { GAP, LENGTH } from "./history.js";
import { colours } from "./colours.js";
import { bytes, clock, now, rate } from "./words.js";

const SERIES = [
  { key: "http", label: "sent over HTTP", colour: "plot-http" },
  { key: "tftp", label: "sent over TFTP", colour: "plot-tftp" },
  { key: "received", label: "received from origins", colour: "plot-received" },
];
const LEFT = 68;
const BOTTOM = 22;
const TOP = 10;
const LINES = 4;
/** The least time that is shown, in milliseconds. */
const SHORTEST = 2 * 60_000;

export class Plot {
  constructor(canvas, legend, history) {
    Object.assign(this, { canvas, legend, history });
    this.context = canvas.getContext("2d");
    this.width = 0;
    new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.height = entry.contentRect.height;
      this.draw();
    }).observe(canvas);
    canvas.addEventListener("pointermove", (event) => this.point(event.offsetX));
    canvas.addEventListener("pointerleave", () => this.point(null));
  }

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
    keyed(this.legend, SERIES, (one) => one.key, legendItem);
    for (const one of SERIES) this.legend.nodes_.get(one.key).value(rate(shown[one.key]));
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
    const top = nice(peak * 1.08);
    const length = (this.length = window(points, end));
    const x = (at) => LEFT + (1 - (end - at) / length) * (width - LEFT - 2);
    const y = (value) => height - BOTTOM - (value / top) * (height - BOTTOM - TOP);

    this.grid(paint, top, end, x, y);
    for (const run of runs(points)) {
      const total = run.map((point) => ({ ...point, tftp: point.http + point.tftp }));
      this.area(total, "tftp", paint["plot-tftp"], x, y, 0.26);
      this.area(run, "http", paint["plot-http"], x, y, 0.2);
      this.line(run, "received", paint["plot-received"], x, y);
    }
    if (this.pointer !== null && this.pointer !== undefined && shown.at) {
      context.fillStyle = paint["ink-3"];
      context.fillRect(Math.round(x(shown.at)), TOP, 1, height - BOTTOM - TOP);
    }
    const words = `Throughput of the last minutes. Now ${SERIES.map((one) => `${one.label} ${rate(this.history.newest[one.key])}`).join(", ")}. Peak ${rate(peak)}.`;
    if (this.words !== words) this.canvas.setAttribute("aria-label", (this.words = words));
  }

  /** The figures under the pointer, or the newest. */
  pointed(points, end) {
    if (this.pointer === null || this.pointer === undefined || points.length === 0)
      return { ...this.history.newest, at: 0 };
    const at = end - (1 - (this.pointer - LEFT) / (this.width - LEFT - 2)) * this.length;
    return points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
  }

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
    const most = Math.max(2, Math.floor((width - LEFT) / 90));
    const step =
      [15_000, 30_000, 60_000, 120_000, 180_000, 300_000].find((step) => this.length / step <= most) ?? 300_000;
    for (let at = Math.ceil((end - this.length) / step) * step; at <= end; at += step) {
      const place = x(at);
      if (place < LEFT + 20 || place > width - 22) continue;
      context.fillText(clock(new Date(at).toISOString()).slice(-8, step < 60_000 ? undefined : -3), place, height - 8);
    }
  }

  trace(run, key, x, y) {
    const { context } = this;
    context.beginPath();
    context.moveTo(x(run[0].since), y(run[0][key]));
    for (const point of run) context.lineTo(x(point.at), y(point[key]));
  }

  line(run, key, colour, x, y) {
    const { context } = this;
    this.trace(run, key, x, y);
    context.strokeStyle = colour;
    context.lineWidth = 1.6;
    context.lineJoin = "round";
    context.stroke();
  }

  area(run, key, colour, x, y, strength) {
    const { context } = this;
    this.line(run, key, colour, x, y);
    context.lineTo(x(run.at(-1).at), y(0));
    context.lineTo(x(run[0].since), y(0));
    context.globalAlpha = strength;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }
}

function legendItem(one) {
  const value = el("b");
  const node = el("li", {}, el("i", { class: `swatch ${one.colour}`, "aria-hidden": "true" }), `${one.label} `, value);
  return { node, update() {}, value: (text) => setText(value, text) };
}

/** How much time is shown: as much as is known, up to all of it. */
function window(points, end) {
  const known = points.length > 0 ? end - points[0].since : 0;
  return Math.min(LENGTH, Math.max(SHORTEST, known));
}

/** The points without the gaps among them. */
function runs(points) {
  const found = [];
  for (const point of points) {
    const last = found.at(-1);
    if (last && point.since - last.at(-1).at < GAP && point.at - point.since < GAP) last.push(point);
    else found.push([point]);
  }
  return found;
}

/** The end of an axis that holds `value`: a round number of its unit that four divide well. */
function nice(value) {
  let unit = 2 ** 20;
  while (value > unit * 1000) unit *= 1024;
  const rounds = [1, 2, 4, 8, 12, 16, 20, 40, 60, 80, 100, 120, 160, 200, 240, 320, 400, 600, 800, 1024];
  return (rounds.find((round) => round * unit >= value) ?? 1024) * unit;
}

function short(value) {
  return bytes(value).replace(/\.0 /, " ");
}
