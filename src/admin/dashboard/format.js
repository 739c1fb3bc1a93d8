// Formats numbers, times and states for display, with the words and units that the commands print.

const integers = new Intl.NumberFormat("en");
const times = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** Shown in place of a value that is missing. */
export const NONE = "–";

/** @param {number | null | undefined} number */
export function count(number) {
  return number === null || number === undefined ? NONE : integers.format(number);
}

/**
 * A number with its noun: `1 asset`, `3 assets`.
 *
 * @param {number | null | undefined} number
 * @param {string} one
 */
export function plural(number, one, several = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : several}`;
}

/** @type {[number, string][]} */
const UNITS = [
  [2 ** 40, "TiB"],
  [2 ** 30, "GiB"],
  [2 ** 20, "MiB"],
  [2 ** 10, "KiB"],
];

/**
 * A number of bytes: `48.2 MiB`. Tenths are cut, not rounded, so that an incomplete file never shows its full size.
 *
 * @param {number | null | undefined} number
 */
export function bytes(number) {
  if (number === null || number === undefined) return NONE;
  for (const [unit, name] of UNITS) {
    if (number >= unit) {
      const tenths = Math.floor((number / unit) * 10);
      return `${integers.format(Math.floor(tenths / 10))}.${tenths % 10} ${name}`;
    }
  }
  return `${Math.floor(number)} B`;
}

/**
 * Bytes per second: `1.0 MiB/s`.
 *
 * @param {number | null | undefined} number
 */
export function rate(number) {
  return number === null || number === undefined ? NONE : `${bytes(number)}/s`;
}

/**
 * A fraction, 0 to 1, in percent: `42 %`. `100 %` is shown only if it is complete, `0 %` only if it is 0.
 *
 * @param {number} part
 */
export function percent(part) {
  if (part > 0 && part < 0.01) return "<1 %";
  return `${part >= 1 ? 100 : Math.min(99, Math.floor(part * 100))} %`;
}

/**
 * A duration in its largest unit alone: `4 min`. Below two days it is in hours.
 *
 * @param {number} seconds
 */
export function roughDuration(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/**
 * A duration: `12 ms`, `3.4 s`, `2 min 5 s`.
 *
 * @param {number} milliseconds
 */
export function duration(milliseconds) {
  if (milliseconds < 1) return "<1 ms";
  if (milliseconds < 1000) return `${Math.floor(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(Math.floor(milliseconds / 100) / 10).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  if (minutes >= 60) return roughDuration(milliseconds / 1000);
  return `${minutes} min ${Math.floor((milliseconds % 60_000) / 1000)} s`;
}

/** The server's clock minus the browser's, in milliseconds. */
let skew = 0;

/**
 * Sets the server's current time. Ages are computed by the server's clock, not the browser's.
 *
 * @param {Api.Time} time
 */
export function setServerTime(time) {
  skew = Date.parse(time) - Date.now();
}

/** The current time by the server's clock, in milliseconds since 1970. */
export function now() {
  return Date.now() + skew;
}

/**
 * The seconds since a time of the server. `null` gives `NaN`.
 *
 * @param {Api.Time | null} time
 */
export function age(time) {
  return time === null ? NaN : (now() - Date.parse(time)) / 1000;
}

/**
 * The age of a time: `3 min ago`.
 *
 * @param {Api.Time | null | undefined} time
 */
export function ago(time) {
  if (!time) return NONE;
  const seconds = age(time);
  return seconds < 3 ? "now" : `${roughDuration(seconds)} ago`;
}

/**
 * The time of day in the browser's time zone, with the date unless it is today. The last eight characters are the time.
 *
 * @param {Api.Time | null | undefined} time
 */
export function localTime(time) {
  if (!time) return NONE;
  const date = new Date(time);
  const today = new Date(now());
  const day =
    date.toDateString() === today.toDateString()
      ? ""
      : `${date.getFullYear()}-${twoDigits(date.getMonth() + 1)}-${twoDigits(date.getDate())} `;
  return day + times.format(date);
}

/** @param {number} number */
function twoDigits(number) {
  return String(number).padStart(2, "0");
}

/**
 * A key that sorts names in natural order: `node-2` before `node-10`.
 *
 * @param {string} name
 */
export function naturalKey(name) {
  return name.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, "0"));
}

/** @type {Record<string, Ui.Tone>} */
const TONES = {
  // Hosts
  stuck: "warn",
  failed: "bad",
  booting: "busy",
  waiting: "wait",
  quiet: "calm",
  done: "good",
  unseen: "none",
  // Assets and fills
  cached: "good",
  unverified: "wait",
  filling: "busy",
  proving: "busy",
  missing: "none",
  // Releases
  live: "good",
  fetching: "busy",
  idle: "none",
  // Jobs and their assets
  running: "busy",
  cancelled: "calm",
  queued: "none",
  // Outcomes
  complete: "good",
  probe: "calm",
  aborted: "calm",
  timeout: "warn",
  "digest-mismatch": "bad",
  "origin-failed": "bad",
  "render-failed": "bad",
  refused: "warn",
  "not-found": "calm",
  "no-space": "bad",
  changed: "warn",
  // Checks and reloads
  ok: "good",
  unchanged: "calm",
};

/**
 * The colour of a state or outcome: how serious it is. The style sheet has a rule for each.
 *
 * @param {string} word
 */
export function tone(word) {
  return TONES[word] ?? "calm";
}
