// Every host as a tile of one picture: its state by colour and mark, how far it has come by its filling. The table of hosts says
// the same in words.

import { attribute, byId, el, keyed, setText } from "./dom.js";
import { colours } from "./colours.js";
import { hostKey } from "./store.js";
import { count, many, span, age, TONES } from "./words.js";

/** The steps of a boot, as bars of a host show them. What is made for a host comes with what its script names. */
export const STAGES = ["dhcp", "nbp", "script", "kernel", "initrd", "asset"];

/** The states in the order of how much they want a look. */
export const STATES = ["stuck", "failed", "booting", "waiting", "quiet", "done", "unseen"];

export const STATE_WORDS = {
  stuck: "stuck",
  failed: "failed",
  booting: "booting",
  waiting: "waiting",
  quiet: "quiet",
  done: "done",
  unseen: "not seen",
};

export function stateOf(host) {
  return host.state ?? "unseen";
}

/** How far the last boot of a host has come: the stage, and how much of its current step is here (null: nobody knows). */
export function progress(host) {
  if (host.state === "done") return { stage: STAGES.length, part: 1 };
  const step = host.last_step;
  if (!step) return { stage: -1, part: 0 };
  const stage = step.role === "file" ? STAGES.length - 1 : STAGES.indexOf(step.role);
  if (step.outcome === "complete" && step.open === 0) return { stage, part: 1 };
  return { stage, part: step.size ? Math.min(1, step.bytes / step.size) : step.open > 0 ? null : 0 };
}

/** The same as one number, 0 to 1. */
export function overall(host) {
  const { stage, part } = progress(host);
  return stage < 0 ? 0 : Math.min(1, (stage + (part ?? 0)) / STAGES.length);
}

/** How many hosts are in each state. */
export function tally(hosts) {
  const found = Object.fromEntries(STATES.map((state) => [state, 0]));
  for (const host of hosts) found[stateOf(host)] += 1;
  return found;
}

const GAP = 3;

export class Rack {
  constructor(hosts) {
    this.hosts = hosts;
    this.canvas = byId("rack");
    this.context = this.canvas.getContext("2d");
    this.tip = byId("rack-tip");
    this.order = [];
    this.width = 0;
    new ResizeObserver(([entry]) => {
      this.width = entry.contentRect.width;
      this.draw();
    }).observe(byId("rack-frame"));
    this.canvas.addEventListener("click", (event) => {
      const host = this.at(event.offsetX, event.offsetY);
      if (host) location.hash = `#/hosts/${encodeURIComponent(hostKey(host))}`;
    });
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
  }

  /** Tiles as large as the number of hosts allows, as many in a line as fill it. */
  layout() {
    const total = this.order.length;
    const [least, height, style] =
      total <= 72
        ? [148, 40, "large"]
        : total <= 360
          ? [78, 20, "named"]
          : [total <= 1500 ? 19 : 11, total <= 1500 ? 11 : 7, "small"];
    const columns = Math.max(1, Math.floor((this.width + GAP) / (least + GAP)));
    const width = Math.min((this.width + GAP) / columns - GAP, least * 1.6);
    return { columns, width, height, style, lines: Math.ceil(total / columns) };
  }

  render() {
    const hosts = [...this.hosts().values()];
    if (hosts.length !== this.order.length || hosts.some((host) => !this.places?.has(hostKey(host)))) {
      hosts.sort((a, b) => (a.sortKey < b.sortKey ? -1 : 1));
      this.order = hosts.map(hostKey);
      this.places = new Set(this.order);
    }
    const found = tally(hosts);
    const present = STATES.filter((state) => found[state] > 0);
    keyed(byId("rack-legend"), present, (state) => state, legendItem);
    for (const state of present) byId("rack-legend").nodes_.get(state).value(found[state]);
    byId("rack-none").hidden = hosts.length > 0;
    byId("rack-frame").hidden = hosts.length === 0;
    const words = `${many(hosts.length, "host")}: ${present.map((state) => `${found[state]} ${STATE_WORDS[state]}`).join(", ")}`;
    attribute(this.canvas, "aria-label", words);
    this.draw();
  }

  draw() {
    if (this.width < 20 || this.order.length === 0) return;
    const { columns, width, height, style, lines } = (this.grid = this.layout());
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
    this.order.forEach((key, place) => {
      const host = hosts.get(key);
      if (!host) return;
      const left = (place % columns) * (width + GAP);
      const top = Math.floor(place / columns) * (height + GAP);
      if (style === "large") this.large(paint, host, left, top, width, height);
      else this.small(paint, host, left, top, width, height, style === "named");
    });
  }

  box(left, top, width, height, radius) {
    this.context.beginPath();
    this.context.roundRect(left, top, width, height, radius);
  }

  small(paint, host, left, top, width, height, named) {
    const { context } = this;
    const state = stateOf(host);
    const colour = paint[TONES[state]] ?? paint.calm;
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
        context.fillRect(left, top, Math.max(2, width * overall(host)), height);
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

  /** What tells stuck from failed to those who see no colour. */
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

  large(paint, host, left, top, width, height) {
    const { context } = this;
    const state = stateOf(host);
    const colour = paint[TONES[state]] ?? paint.calm;
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
    // One bar a stage.
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

  /** The text, cut to a width. */
  fit(text, width) {
    const { context } = this;
    if (context.measureText(text).width <= width) return text;
    let short = text;
    while (short.length > 1 && context.measureText(`…${short}`).width > width) short = short.slice(1);
    return `…${short}`;
  }

  at(x, y) {
    if (!this.grid) return null;
    const { columns, width, height } = this.grid;
    const column = Math.floor(x / (width + GAP));
    if (column >= columns) return null;
    const key = this.order[Math.floor(y / (height + GAP)) * columns + column];
    return key === undefined ? null : this.hosts().get(key);
  }

  point(event) {
    const host = this.at(event.offsetX, event.offsetY);
    this.tip.hidden = !host;
    if (!host) return;
    const state = stateOf(host);
    const since = host.since ? `, ${span(age(host.since))}` : "";
    setText(this.tip, `${hostKey(host)} · ${STATE_WORDS[state]}${since}${host.note ? ` · ${host.note}` : ""}`);
    const left = Math.min(event.offsetX + 12, Math.max(0, this.width - 330));
    this.tip.style.transform = `translate(${left}px, ${event.offsetY + 16}px)`;
  }
}

function legendItem(state) {
  const value = el("b");
  const link = el(
    "a",
    { href: `#/hosts?state=${state}`, class: "chip", "data-tone": TONES[state] },
    el("i", { class: "lamp", "aria-hidden": "true" }),
    `${STATE_WORDS[state]} `,
    value,
  );
  return { node: el("li", {}, link), update() {}, value: (number) => setText(value, count(number)) };
}
