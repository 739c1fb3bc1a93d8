// The colours of the style sheet, for drawing on a canvas.

const NAMES = [
  "ground",
  "surface",
  "well",
  "line",
  "line-soft",
  "ink",
  "ink-2",
  "ink-3",
  "busy",
  "good",
  "warn",
  "bad",
  "wait",
  "calm",
  "plot-http",
  "plot-tftp",
  "plot-received",
];

/** @type {Record<string, string> | null} */
let known = null;

/** Returns the colours by name, and the `font` family. */
export function colours() {
  if (known) return known;
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  /** @type {Record<string, string>} */
  const found = { font: getComputedStyle(document.body).fontFamily };
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    found[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return (known = found);
}

/** Discards the colours, after the theme changed. */
export function forgetColours() {
  known = null;
}
