// The server's events: one endless answer of GET events, read as it comes, taken up again where it broke off.
//
// EventSource cannot send a token in a header, so the stream is read here (HTML Living Standard, 9.2.6).

import { Problem, send } from "./api.js";

const FIRST_PAUSE = 1_000;
const LONGEST_PAUSE = 30_000;
/** The server says something every two seconds; silence for this long is a connection that is gone. */
const SILENCE = 12_000;

/**
 * Follows the events until `stop()`.
 *
 * `hooks.open(resumed)` is awaited when a connection stands, before its first event is told; `resumed` says whether it goes on
 * where the last one ended. `hooks.event(name, data)` has each event, `hooks.lost(error, pause)` each end.
 */
export class Stream {
  constructor(hooks) {
    this.hooks = hooks;
    this.lastId = "";
    this.failures = 0;
    /** Which start is the current one; 0: it is stopped. */
    this.current = 0;
    this.starts = 0;
  }

  get running() {
    return this.current !== 0;
  }

  start() {
    this.stop();
    this.current = ++this.starts;
    this.run(this.current);
  }

  /** Begins anew: what was told so far counts for nothing. */
  restart() {
    this.lastId = "";
    this.start();
  }

  stop() {
    this.current = 0;
    this.abort?.abort();
    this.wake?.();
  }

  /** Tries again now, if it waits. */
  retry() {
    this.wake?.();
  }

  async run(mine) {
    while (this.current === mine) {
      let error = null;
      try {
        await this.follow();
      } catch (caught) {
        error = caught;
      }
      if (this.current !== mine) return;
      // The token is asked for; it starts the stream again.
      if (error instanceof Problem && (error.status === 401 || error.status === 403)) {
        this.current = 0;
        return;
      }
      const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.failures) * (0.8 + 0.4 * Math.random());
      this.failures += 1;
      this.hooks.lost(error, pause);
      await new Promise((resolve) => {
        this.wake = resolve;
        setTimeout(resolve, pause);
      });
      this.wake = null;
    }
  }

  async follow() {
    const abort = (this.abort = new AbortController());
    let watch;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => abort.abort(), SILENCE);
    };
    heard();
    try {
      const headers = this.lastId
        ? { Accept: "text/event-stream", "Last-Event-ID": this.lastId }
        : { Accept: "text/event-stream" };
      const response = await send("GET", "events", { headers, signal: abort.signal });
      await this.hooks.open(this.lastId !== "");
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new Parser((id, name, data) => {
        // What comes after a stop is what a new start is told as well.
        if (abort.signal.aborted) return;
        if (id !== null) this.lastId = id;
        this.hooks.event(name, data);
      });
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        heard();
        this.failures = 0;
        parser.take(value);
      }
    } finally {
      clearTimeout(watch);
      abort.abort();
    }
  }
}

/** Cuts a text of events into events. */
export class Parser {
  constructor(tell) {
    this.tell = tell;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.id = null;
    this.name = "message";
    this.data = [];
  }

  take(text) {
    const lines = (this.rest + text).split("\n");
    // The last line is not over yet.
    this.rest = lines.pop();
    for (const line of lines) this.line(line.endsWith("\r") ? line.slice(0, -1) : line);
  }

  line(line) {
    if (line === "") {
      if (this.data.length > 0) this.tell(this.id, this.name, this.data.join("\n"));
      this.clear();
      return;
    }
    const colon = line.indexOf(":");
    // A comment, which keeps the connection alive.
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") this.data.push(value);
    else if (field === "event") this.name = value;
    else if (field === "id" && !value.includes("\0")) this.id = value;
  }
}
