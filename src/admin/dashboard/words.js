// Amounts, times and states as people read them; the same words and units as the commands print.

const counts = new Intl.NumberFormat("en");
const clocks = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** What stands where there is nothing to say. */
export const NONE = "–";

export function count(number) {
  return number === null || number === undefined ? NONE : counts.format(number);
}

/** `one` or `many` after the number: `1 asset`, `3 assets`. */
export function many(number, one, several = one + "s") {
  return `${count(number)} ${number === 1 ? one : several}`;
}

const UNITS = [
  [2 ** 40, "TiB"],
  [2 ** 30, "GiB"],
  [2 ** 20, "MiB"],
  [2 ** 10, "KiB"],
];

/** A number of bytes: `48.2 MiB`. Tenths are cut, not rounded: what is shown is there. */
export function bytes(number) {
  if (number === null || number === undefined) return NONE;
  for (const [unit, name] of UNITS) {
    if (number >= unit) {
      const tenths = Math.floor((number / unit) * 10);
      return `${counts.format(Math.floor(tenths / 10))}.${tenths % 10} ${name}`;
    }
  }
  return `${Math.floor(number)} B`;
}

/** Bytes a second. */
export function rate(number) {
  return number === null || number === undefined ? NONE : `${bytes(number)}/s`;
}

/** A share: `42 %`. 100 is kept for what is whole, and 0 for nothing. */
export function percent(part) {
  if (part > 0 && part < 0.01) return "<1 %";
  return `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`;
}

/** A time span in its greatest unit: `4 min`. */
export function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** How long something took: `12 ms`, `3.4 s`, `2 min 5 s`. */
export function took(milliseconds) {
  if (milliseconds < 1) return "<1 ms";
  if (milliseconds < 1000) return `${Math.floor(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(Math.floor(milliseconds / 100) / 10).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return minutes < 60 ? `${minutes} min ${Math.floor((milliseconds % 60_000) / 1000)} s` : span(milliseconds / 1000);
}

let skew = 0;

/** The server's clock said `text` just now; ages are told by it, not by the browser's. */
export function setServerTime(text) {
  skew = Date.parse(text) - Date.now();
}

/** Now, by the server's clock, in milliseconds since 1970. */
export function now() {
  return Date.now() + skew;
}

/** Seconds since a time of the server. */
export function age(time) {
  return (now() - Date.parse(time)) / 1000;
}

/** How long ago: `3 min ago`. */
export function ago(time) {
  if (!time) return NONE;
  const seconds = age(time);
  return seconds < 3 ? "now" : `${span(seconds)} ago`;
}

/** The time of day in the operator's time zone, with the date where it is not today's. */
export function clock(time) {
  if (!time) return NONE;
  const date = new Date(time);
  const today = new Date(now());
  const day =
    date.toDateString() === today.toDateString()
      ? ""
      : `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `;
  return day + clocks.format(date);
}

function two(number) {
  return String(number).padStart(2, "0");
}

/** A text by which names sort as people count: `node-2` before `node-10`. */
export function natural(name) {
  return name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
}

/** How grave a state is: `good`, `busy`, `warn`, `bad`, `calm` or `none`. The style sheet has a colour for each. */
export const TONES = {
  // hosts
  stuck: "warn",
  failed: "bad",
  booting: "busy",
  waiting: "wait",
  quiet: "calm",
  done: "good",
  unseen: "none",
  // assets and fills
  cached: "good",
  filling: "busy",
  proving: "busy",
  missing: "none",
  // releases
  live: "good",
  fetching: "busy",
  idle: "none",
  // jobs and their items
  running: "busy",
  cancelled: "calm",
  queued: "none",
  // outcomes
  complete: "good",
  probe: "calm",
  aborted: "calm",
  timeout: "warn",
  "digest-mismatch": "bad",
  "origin-failed": "bad",
  refused: "warn",
  "not-found": "calm",
  "no-space": "bad",
  changed: "warn",
  // reloads
  ok: "good",
  unchanged: "calm",
};

export function tone(word) {
  return TONES[word] ?? "calm";
}
