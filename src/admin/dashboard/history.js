// The throughput of the last 15 minutes, computed from the totals of successive statuses. It survives a reload of the page.

const KEY = "bootdepot.history";
/** How far back the history goes, in milliseconds. */
export const LENGTH = 15 * 60_000;
/** Points further apart than this, in milliseconds, have a gap between them: nothing is known about that time. */
export const GAP = 10_000;
const SAVE_EVERY = 10_000;
/** Statuses closer together than this, in milliseconds, are skipped: their rates would be noise. */
const MIN_STEP = 500;

/**
 * The rates in bytes per second from `since` to `at`, both in the server's milliseconds since 1970.
 *
 * @typedef {{ at: number, since: number, http: number, tftp: number, received: number }} Point
 */

export class History {
  constructor() {
    /**
     * When the server started: its totals begin there.
     *
     * @type {Api.Time | null}
     */
    this.started = null;
    /**
     * The last totals.
     *
     * @type {{ at: number, http: number, tftp: number, received: number } | null}
     */
    this.last = null;
    /** @type {Point[]} */
    this.points = [];
    this.savedAt = 0;
  }

  /**
   * Adds a point from a new status.
   *
   * @param {Pick<Api.Status, "started" | "now" | "totals">} status
   */
  add(status) {
    if (this.started !== status.started) this.begin(status.started);
    const { sent, received } = status.totals;
    const next = { at: Date.parse(status.now), http: sent.http, tftp: sent.tftp, received };
    const last = this.last;
    if (last && next.at - last.at < MIN_STEP) return;
    this.last = next;
    if (!last) return;
    const seconds = (next.at - last.at) / 1000;
    this.points.push({
      at: next.at,
      since: last.at,
      http: Math.max(0, (next.http - last.http) / seconds),
      tftp: Math.max(0, (next.tftp - last.tftp) / seconds),
      received: Math.max(0, (next.received - last.received) / seconds),
    });
    const oldest = next.at - LENGTH;
    this.points.splice(
      0,
      this.points.findIndex((point) => point.at >= oldest),
    );
    if (Date.now() - this.savedAt > SAVE_EVERY) this.save();
  }

  /** The newest point; zeros if there is none. */
  get newest() {
    return this.points.at(-1) ?? { at: 0, since: 0, http: 0, tftp: 0, received: 0 };
  }

  /**
   * Begins the history of a server process: with the saved points if they are of the same process, else empty.
   *
   * @param {Api.Time} started
   */
  begin(started) {
    this.started = started;
    this.last = null;
    this.points = [];
    try {
      /** @type {{ started: Api.Time, points: number[][] } | null} */
      const saved = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
      if (saved?.started === started)
        this.points = saved.points.map(([at = 0, since = 0, http = 0, tftp = 0, received = 0]) => ({
          at,
          since,
          http,
          tftp,
          received,
        }));
    } catch {
      // Another version of the dashboard saved it in another form: start empty.
    }
  }

  save() {
    this.savedAt = Date.now();
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
      // The storage is full or forbidden: after a reload the history starts empty.
    }
  }
}
