// The colours of the style sheet for what is drawn on canvases.

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

let known = null;

/** The colours by their names, and the font. */
export function colours() {
  if (known) return known;
  const probe = document.createElement("i");
  probe.hidden = true;
  document.body.append(probe);
  known = { font: getComputedStyle(document.body).fontFamily };
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    known[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return known;
}

/** The theme has changed. */
export function forgetColours() {
  known = null;
}
