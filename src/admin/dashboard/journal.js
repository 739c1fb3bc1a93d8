// The events of note, as sentences: what an operator would have written down. The newest stands first.

import { bytes, many, took } from "./words.js";

/** How many are kept. */
const MOST = 2000;

export class Journal {
  constructor() {
    this.entries = [];
    this.next = 1;
  }

  /** Notes something: of which kind, how grave, in words, and where more of it is. */
  note(kind, tone, text, href = null, at = new Date().toISOString()) {
    this.entries.unshift({ id: this.next++, at, kind, tone, text, href });
    if (this.entries.length > MOST) this.entries.length = MOST;
    return true;
  }

  /** What began or ended before this page was opened. */
  begin(store) {
    const past = [
      ...[...store.fills.values()].map((fill) => [fill.began, () => this.fill(fill)]),
      ...store.pastFills.map((fill) => [fill.ended, () => this.fillEnded(fill)]),
      ...store.pastTransfers.map((transfer) => [transfer.ended, () => this.transfer(transfer)]),
      ...[...store.jobs.values()].filter((job) => job.ended).map((job) => [job.ended, () => this.job(null, job)]),
    ];
    past.sort(([a], [b]) => (a < b ? -1 : 1));
    for (const [, tell] of past) tell();
    const reload = store.status?.catalog.last_reload;
    if (reload?.outcome === "failed") this.reload(reload);
  }

  host(old, host) {
    // A state that began long ago is no news of this moment.
    if (!host.state || old?.state === host.state) return false;
    const name = host.name ?? host.mac ?? host.address;
    const where = `#/hosts/${encodeURIComponent(name)}`;
    const at = host.state === "booting" ? (host.seen ?? undefined) : undefined;
    switch (host.state) {
      case "booting":
        return this.note("host", "busy", `${name} boots${host.profile ? `, profile ${host.profile}` : ""}`, where, at);
      case "done":
        return this.note("host", "good", `${name} has everything that its script named`, where);
      case "stuck":
        return this.note("host", "warn", `${name} is stuck: ${host.note}`, where);
      case "failed":
        return this.note("host", "bad", `${name} failed: ${host.note}`, where);
      default:
        return this.note("host", "calm", `${name} is ${host.state}: ${host.note}`, where);
    }
  }

  transfer(transfer) {
    // What went as it should is for the list of transfers.
    if (transfer.outcome === "complete" || transfer.outcome === "probe") return false;
    const who = transfer.host ?? transfer.peer;
    const tone = ["digest-mismatch", "origin-failed"].includes(transfer.outcome)
      ? "bad"
      : transfer.outcome === "not-found"
        ? "calm"
        : "warn";
    const text = `${transfer.protocol.toUpperCase()} ${transfer.name} to ${who}: ${transfer.outcome} after ${bytes(transfer.sent)}`;
    return this.note("transfer", tone, text, "#/traffic", transfer.ended);
  }

  fill(fill) {
    return this.note(
      "fill",
      "busy",
      `${fill.name} is being fetched${fill.size ? `, ${bytes(fill.size)}` : ""}`,
      assetLink(fill.name),
      fill.began,
    );
  }

  fillEnded(fill) {
    const good = fill.outcome === "complete";
    const text = good
      ? `${fill.name} is cached: ${bytes(fill.received)} in ${took(fill.seconds * 1000)}`
      : `${fill.name} was not fetched: ${fill.outcome}${fill.detail ? `, ${fill.detail}` : ""}`;
    return this.note(
      "fill",
      good ? "good" : fill.outcome === "cancelled" ? "calm" : "bad",
      text,
      assetLink(fill.name),
      fill.ended,
    );
  }

  job(old, job) {
    if (old?.state === job.state) return false;
    const tone = { running: "busy", done: "good", failed: "bad" }[job.state] ?? "calm";
    const failed = job.assets.failed > 0 ? `, ${many(job.assets.failed, "asset")} failed` : "";
    const text =
      job.state === "running"
        ? `job ${job.id} begins: ${job.kind} ${job.what}`
        : `job ${job.id} is ${job.state}: ${job.kind} ${job.what}${failed}`;
    return this.note("job", tone, text, `#/jobs/${encodeURIComponent(job.id)}`, job.ended ?? job.began);
  }

  release(old, release) {
    if (!old || (old.state === release.state && old.reason === release.reason)) return false;
    const tone = { live: "good", failed: "bad", fetching: "busy" }[release.state] ?? "calm";
    const why = release.state === "failed" && release.reason ? `: ${release.reason}` : "";
    return this.note("release", tone, `release ${release.name} is ${release.state}${why}`, "#/releases");
  }

  asset(old, asset) {
    if (!old || old.pinned === asset.pinned) return false;
    return this.note(
      "asset",
      "calm",
      `${asset.name} is ${asset.pinned ? "pinned" : "no longer pinned"}`,
      assetLink(asset.name),
    );
  }

  reload(reload) {
    if (!reload) return false;
    const failed = reload.outcome === "failed";
    const text = failed
      ? `the reload failed (${reload.trigger}), what was loaded before stays: ${reload.errors.join("; ")}`
      : `the settings were loaded again (${reload.trigger}): ${reload.outcome}`;
    return this.note("reload", failed ? "bad" : "good", text, "#/system", reload.at);
  }
}

function assetLink(name) {
  return `#/cache/${encodeURIComponent(name)}`;
}
