// The event log of this page: notable events as sentences, the newest first.

import { bytes, duration, plural } from "./format.js";

/** The most entries that are kept. */
const MAX_ENTRIES = 2000;

/** @typedef {"host" | "fill" | "transfer" | "job" | "release" | "asset" | "reload" | "server"} Kind */

/**
 * `href` is the address of the page with the details.
 *
 * @typedef {{ id: number, at: Api.Time, kind: Kind, tone: Ui.Tone, text: string, href: string | null, sortKey: string }} Entry
 */

/**
 * What the server knows when the page is opened.
 *
 * @typedef {object} Snapshot
 * @property {Api.Status | null} status
 * @property {Map<string, Api.Fill>} fills
 * @property {Api.PastFill[]} pastFills
 * @property {Api.PastTransfer[]} pastTransfers
 * @property {Map<string, Api.Job>} jobs
 */

/** Most methods take one event, and return whether they added an entry. */
export class Journal {
  constructor() {
    /** @type {Entry[]} */
    this.entries = [];
    this.nextId = 1;
  }

  /**
   * Adds an entry.
   *
   * @param {Kind} kind
   * @param {Ui.Tone} tone
   * @param {string} text
   * @param {string | null} href
   */
  add(kind, tone, text, href = null, at = new Date().toISOString()) {
    const id = this.nextId++;
    this.entries.unshift({ id, at, kind, tone, text, href, sortKey: String(id) });
    if (this.entries.length > MAX_ENTRIES) this.entries.length = MAX_ENTRIES;
    return true;
  }

  /**
   * Adds what started or ended before the page was opened.
   *
   * @param {Snapshot} snapshot
   */
  begin({ status, fills, pastFills, pastTransfers, jobs }) {
    /** @type {[Api.Time, () => void][]} */
    const past = [];
    for (const fill of fills.values()) past.push([fill.began, () => this.fill(fill)]);
    for (const fill of pastFills) past.push([fill.ended, () => this.fillEnded(fill)]);
    for (const transfer of pastTransfers) past.push([transfer.ended, () => this.transfer(transfer)]);
    for (const job of jobs.values()) if (job.ended) past.push([job.ended, () => this.job(undefined, job)]);
    past.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, add] of past) add();
    const reload = status?.catalog.last_reload;
    if (reload?.outcome === "failed") this.reload(reload);
  }

  /**
   * @param {Api.Host | undefined} old
   * @param {Api.Host} host
   */
  host(old, host) {
    // The same state as before is no event.
    if (!host.state || old?.state === host.state) return false;
    const name = host.name ?? host.mac ?? host.address ?? "?";
    const href = `#/hosts/${encodeURIComponent(name)}`;
    switch (host.state) {
      case "booting": {
        const profile = host.profile ? `, profile ${host.profile}` : "";
        return this.add("host", "busy", `${name} is booting${profile}`, href, host.seen ?? undefined);
      }
      case "done":
        return this.add("host", "good", `${name} is done: ${host.note}`, href);
      case "stuck":
        return this.add("host", "warn", `${name} is stuck: ${host.note}`, href);
      case "failed":
        return this.add("host", "bad", `${name} failed: ${host.note}`, href);
      default:
        return this.add("host", "calm", `${name} is ${host.state}: ${host.note}`, href);
    }
  }

  /** @param {Api.PastTransfer} transfer */
  transfer(transfer) {
    const { outcome, name, host, peer, protocol, sent, ended } = transfer;
    // Successful transfers are in the list of transfers only.
    if (outcome === "complete" || outcome === "probe") return false;
    const serious = ["digest-mismatch", "origin-failed", "render-failed"].includes(outcome);
    const tone = serious ? "bad" : outcome === "not-found" ? "calm" : "warn";
    const text = `${protocol.toUpperCase()} ${name} to ${host ?? peer}: ${outcome} after ${bytes(sent)}`;
    return this.add("transfer", tone, text, "#/traffic", ended);
  }

  /** @param {Api.Fill} fill */
  fill({ name, size, began }) {
    return this.add("fill", "busy", `${name}: fill started${size ? `, ${bytes(size)}` : ""}`, assetHref(name), began);
  }

  /** @param {Api.PastFill} fill */
  fillEnded({ name, outcome, received, seconds, detail, ended }) {
    const complete = outcome === "complete";
    const text = complete
      ? `${name} is cached: ${bytes(received)} in ${duration(seconds * 1000)}`
      : `${name}: fill failed, ${outcome}${detail ? `: ${detail}` : ""}`;
    const tone = complete ? "good" : outcome === "cancelled" ? "calm" : "bad";
    return this.add("fill", tone, outcome === "cancelled" ? `${name}: fill cancelled` : text, assetHref(name), ended);
  }

  /**
   * @param {Api.Job | undefined} old
   * @param {Api.Job} job
   */
  job(old, job) {
    if (old?.state === job.state) return false;
    const tone = /** @type {const} */ ({ running: "busy", done: "good", failed: "bad", cancelled: "calm" })[job.state];
    const failed = job.assets.failed > 0 ? `, ${plural(job.assets.failed, "asset")} failed` : "";
    const state = job.state === "running" ? "started" : job.state;
    const text = `job ${job.id} ${state}: ${job.kind} ${job.what}${failed}`;
    return this.add("job", tone, text, `#/jobs/${encodeURIComponent(job.id)}`, job.ended ?? job.began);
  }

  /**
   * @param {Api.Release | undefined} old
   * @param {Api.Release} release
   */
  release(old, release) {
    if (!old || (old.state === release.state && old.reason === release.reason)) return false;
    const tone = /** @type {const} */ ({ live: "good", failed: "bad", fetching: "busy", idle: "calm" })[release.state];
    const reason = release.state === "failed" && release.reason ? `: ${release.reason}` : "";
    return this.add("release", tone, `release ${release.name} is ${release.state}${reason}`, "#/releases");
  }

  /**
   * @param {Api.Asset | undefined} old
   * @param {Api.Asset} asset
   */
  asset(old, asset) {
    if (!old || old.pinned === asset.pinned) return false;
    const text = `${asset.name} is ${asset.pinned ? "pinned" : "no longer pinned"}`;
    return this.add("asset", "calm", text, assetHref(asset.name));
  }

  /** @param {Api.LastReload} reload */
  reload({ outcome, trigger, errors, at }) {
    if (outcome === "failed") {
      const text = `reload failed (${trigger}), the previous configuration stays active: ${errors.join("; ")}`;
      return this.add("reload", "bad", text, "#/system", at);
    }
    const text = outcome === "ok" ? "configuration reloaded" : "reload: no changes";
    return this.add("reload", "good", `${text} (${trigger})`, "#/system", at);
  }
}

/** @param {string} name */
function assetHref(name) {
  return `#/cache/${encodeURIComponent(name)}`;
}
