// Throughput of the last quarter of an hour, from the totals of one status after the other. Kept over a reload of the page.

const KEY = "bootdepot.history";
/** How far back it goes, in milliseconds. */
export const LENGTH = 15 * 60_000;
/** A gap longer than this is a time of which nothing is known. */
export const GAP = 10_000;
const SAVED_EVERY = 10_000;

export class History {
  constructor() {
    this.started = null;
    this.last = null;
    /** `{at, http, tftp, received}`: bytes a second until `at`, in the server's milliseconds since 1970. */
    this.points = [];
    this.saved = 0;
    addEventListener("pagehide", () => this.save());
  }

  take(status) {
    if (this.started !== status.started) this.begin(status.started);
    const { sent, received } = status.totals;
    const at = Date.parse(status.now);
    const last = this.last;
    if (last && at - last.at < 500) return;
    this.last = { at, http: sent.http, tftp: sent.tftp, received };
    if (!last) return;
    const seconds = (at - last.at) / 1000;
    const a = (name) => Math.max(0, (this.last[name] - last[name]) / seconds);
    this.points.push({ at, since: last.at, http: a("http"), tftp: a("tftp"), received: a("received") });
    const oldest = at - LENGTH;
    while (this.points.length > 0 && this.points[0].at < oldest) this.points.shift();
    if (Date.now() - this.saved > SAVED_EVERY) this.save();
  }

  /** The newest point; zeros before there is one. */
  get newest() {
    return this.points.at(-1) ?? { at: 0, since: 0, http: 0, tftp: 0, received: 0 };
  }

  begin(started) {
    this.started = started;
    this.last = null;
    this.points = [];
    try {
      const kept = JSON.parse(sessionStorage.getItem(KEY));
      if (kept?.started === started)
        this.points = kept.points.map(([at, since, http, tftp, received]) => ({ at, since, http, tftp, received }));
    } catch {
      // What another version left is of no use.
    }
  }

  save() {
    this.saved = Date.now();
    const points = this.points.map(({ at, since, http, tftp, received }) => [
      at,
      since,
      Math.round(http),
      Math.round(tftp),
      Math.round(received),
    ]);
    try {
      sessionStorage.setItem(KEY, JSON.stringify({ started: this.started, points }));
    } catch {
      // Full or forbidden: then the plot begins anew after a reload.
    }
  }
}
