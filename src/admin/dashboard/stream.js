// Client of the event stream (`GET events`): reconnects with exponential backoff and resumes at the last event.
//
// EventSource cannot send a token in a header, so the stream is parsed here (HTML Living Standard, 9.2.6).

import { Problem, send } from "./api.js";

/** Backoff between attempts, in milliseconds. */
const FIRST_BACKOFF = 1_000;
const MAX_BACKOFF = 30_000;
/** The server sends an event or a comment every two seconds; after this many milliseconds of silence the connection is dead. */
const IDLE_TIMEOUT = 12_000;

/**
 * @typedef {object} StreamHooks
 * @property {(resumed: boolean) => Promise<void>} open Awaited when a connection is open, before its first event. `resumed`:
 *   the connection continues after the last event received.
 * @property {(name: string, data: string) => void} event Called with each event.
 * @property {(error: unknown, backoff: number) => void} lost Called when a connection ends; the next attempt follows after
 *   `backoff` milliseconds.
 */

/** The event stream, from `start()` to `stop()`. */
export class Stream {
  /** @param {StreamHooks} hooks */
  constructor(hooks) {
    this.hooks = hooks;
    this.lastId = "";
    /** Attempts that failed since the last event. */
    this.failures = 0;
    /** The number of the current run; 0 if stopped. */
    this.current = 0;
    this.runs = 0;
    /** @type {AbortController | null} */
    this.abort = null;
    /**
     * Ends the current backoff.
     *
     * @type {(() => void) | null}
     */
    this.wake = null;
  }

  get running() {
    return this.current !== 0;
  }

  start() {
    this.stop();
    this.current = ++this.runs;
    this.run(this.current);
  }

  /** Starts from scratch: forgets the last event, so that the snapshots are loaded again. */
  restart() {
    this.lastId = "";
    this.start();
  }

  stop() {
    this.current = 0;
    this.abort?.abort();
    this.wake?.();
  }

  /** Ends the backoff, if one is running. */
  retry() {
    this.wake?.();
  }

  /**
   * Connects again and again, while `number` is the current run.
   *
   * @param {number} number
   */
  async run(number) {
    while (this.current === number) {
      /** @type {unknown} */
      let error = null;
      try {
        await this.follow();
      } catch (caught) {
        error = caught;
      }
      if (this.current !== number) return;
      // The token dialog starts the stream again.
      if (error instanceof Problem && error.unauthorized) {
        this.current = 0;
        return;
      }
      const backoff = Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** this.failures) * (0.8 + 0.4 * Math.random());
      this.failures += 1;
      this.hooks.lost(error, backoff);
      await new Promise((resolve) => {
        this.wake = () => resolve(null);
        setTimeout(resolve, backoff);
      });
      this.wake = null;
    }
  }

  /** Reads one connection to its end. */
  async follow() {
    const abort = (this.abort = new AbortController());
    let timeout = 0;
    const resetTimeout = () => {
      clearTimeout(timeout);
      timeout = setTimeout(() => abort.abort(), IDLE_TIMEOUT);
    };
    resetTimeout();
    try {
      /** @type {Record<string, string>} */
      const headers = { Accept: "text/event-stream" };
      if (this.lastId) headers["Last-Event-ID"] = this.lastId;
      const response = await send("GET", "events", { headers, signal: abort.signal });
      await this.hooks.open(this.lastId !== "");
      if (!response.body) return;
      const parser = new Parser((id, name, data) => {
        // After a stop, events are dropped: the next run receives them again.
        if (abort.signal.aborted) return;
        if (id !== null) this.lastId = id;
        this.hooks.event(name, data);
      });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        resetTimeout();
        this.failures = 0;
        parser.push(value);
      }
    } finally {
      clearTimeout(timeout);
      abort.abort();
    }
  }
}

/** Parses the text of an event stream, in chunks of any size. */
export class Parser {
  /** @param {(id: string | null, name: string, data: string) => void} emit Called with each event. */
  constructor(emit) {
    this.emit = emit;
    /** The beginning of a line whose end has not arrived. */
    this.rest = "";
    // The fields of the current event.
    /** @type {string | null} */
    this.id = null;
    this.name = "message";
    /** @type {string[]} */
    this.data = [];
  }

  /** Starts a new event. */
  reset() {
    this.id = null;
    this.name = "message";
    this.data = [];
  }

  /** @param {string} chunk */
  push(chunk) {
    const lines = (this.rest + chunk).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  /** @param {string} line */
  line(line) {
    if (line === "") {
      if (this.data.length > 0) this.emit(this.id, this.name, this.data.join("\n"));
      this.reset();
      return;
    }
    const colon = line.indexOf(":");
    // A comment, sent to keep the connection alive.
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.data.push(value);
    else if (field === "event") this.name = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
