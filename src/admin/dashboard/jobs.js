// The page "Jobs": jobs with their progress; the panel shows one job asset by asset.

import { actionButton, cancel, composePreload, scrub } from "./actions.js";
import { get, messageOf } from "./api.js";
import { bar, facts, opener, text, word } from "./cells.js";
import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { age, bytes, count, duration, localTime, naturalKey, percent, plural, rate, roughDuration, tone } from "./format.js";
import { store } from "./store.js";
import { Table } from "./table.js";

const KINDS = { preload: "Preload", verify: "Verify", scrub: "Scrub", check: "Check" };

/**
 * The progress of a job, 0 to 1; `null` if it is unknown.
 *
 * @param {Api.Job} job
 */
export function jobPart({ state, bytes: { total, done }, assets }) {
  if (state === "done") return 1;
  if (total) return done / total;
  return assets.total ? (assets.done + assets.failed) / assets.total : null;
}

/**
 * The estimated time left, for a running job.
 *
 * @param {Api.Job} job
 */
function timeLeft({ state, rate: speed, bytes: { total, done } }) {
  if (state !== "running" || !speed || !total) return null;
  return `${roughDuration((total - done) / speed)} left`;
}

/** @param {Api.Job} job */
function progressText({ assets, bytes: { total, done } }) {
  const amount = total ? `${bytes(done)} of ${bytes(total)}` : bytes(done);
  const failed = assets.failed > 0 ? `, ${count(assets.failed)} failed` : "";
  return `${count(assets.done)} of ${plural(assets.total, "asset")}${failed} · ${amount}`;
}

/** @param {Api.Job} job */
function timeText(job) {
  if (job.ended) return `${localTime(job.ended)}, took ${duration(Date.parse(job.ended) - Date.parse(job.began))}`;
  const running = `running for ${roughDuration(age(job.began))}`;
  return [rate(job.rate), timeLeft(job), running].filter(Boolean).join(" · ");
}

/**
 * Cancels a job that the store still has.
 *
 * @param {string} id
 */
async function cancelById(id) {
  const job = store.jobs.get(id);
  if (job) await cancel(job);
}

/**
 * What a check has found: a line for each row, and below it what is wrong and what to do.
 *
 * @param {Api.CheckRow[]} rows
 */
export function checkRows(rows) {
  return rows.map((row) =>
    el(
      "li",
      { class: "check-row" },
      el("span", { class: "note", "data-tone": tone(row.result) }, row.result),
      ` ${row.check} ${row.where}: ${row.found}`,
      row.findings
        .filter((finding) => finding.trouble !== null)
        .map((finding) => el("p", {}, `${finding.what}: ${finding.found}. ${finding.do ?? ""}`)),
    ),
  );
}

/** @returns {Ui.Page} */
export function jobs() {
  byId("jobs-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Preload…", composePreload, { primary: true }),
  );

  /** @param {Api.Job} first */
  function card(first) {
    const [title, state, amount, time] = [
      el("a", { class: "job-title cut", href: `#/jobs/${encodeURIComponent(first.id)}` }),
      el("span", { class: "note" }),
      el("span"),
      el("span", { class: "quiet" }),
    ];
    const line = progressBar(`Job ${first.id}`);
    const share = el("span", { class: "share" });
    const cancelButton = actionButton("Cancel…", () => cancelById(String(first.id)), {
      name: `Cancel job ${first.id}`,
    });
    const node = el(
      "li",
      { class: "card job" },
      el("div", { class: "item-head" }, title, state, cancelButton),
      el("div", { class: "with-share" }, line.node, share),
      el("div", { class: "item-foot" }, amount, time),
    );
    return {
      node,
      /** @param {Api.Job} job */
      update(job) {
        setText(title, `${KINDS[job.kind] ?? job.kind} ${job.what}`);
        setText(state, job.state);
        attribute(state, "data-tone", tone(job.state));
        const done = jobPart(job);
        line.set(done, tone(job.state));
        setText(share, done === null ? "" : percent(done));
        setText(amount, progressText(job));
        setText(time, timeText(job));
        cancelButton.hidden = job.state !== "running";
      },
    };
  }

  return {
    id: "jobs",
    topics: ["jobs", "clock"],
    render() {
      /** @param {Api.Job} job */
      const ended = (job) => Number(job.ended !== null);
      const all = [...store.jobs.values()].sort((a, b) => ended(a) - ended(b) || (a.began < b.began ? 1 : -1));
      byId("jobs-none").hidden = all.length > 0;
      keyed(byId("jobs-list"), all, (job) => job.id, card);
    },
    panel: jobPanel,
    restore() {
      /** @type {HTMLElement | null} */
      const first = byId("jobs-list").querySelector(".job-title");
      first?.focus();
    },
  };
}

/**
 * @param {string} id
 * @returns {Ui.Panel}
 */
function jobPanel(id) {
  const state = el("p", { class: "standing" });
  const line = progressBar(`Job ${id}`);
  const list = el("dl", { class: "facts" });
  const setFacts = facts(list);
  const failure = el("p", { class: "none", hidden: true });
  const cancelButton = actionButton("Cancel…", () => cancelById(id), { grave: true });
  const box = el("div", { class: "job-items" });
  const checks = el("ul", { class: "job-checks", hidden: true });
  const node = el(
    "div",
    { class: "job-panel" },
    state,
    line.node,
    list,
    el("div", { class: "actions" }, cancelButton),
    failure,
    checks,
    box,
  );
  /**
   * By name.
   *
   * @type {Map<string, Api.JobItem>}
   */
  const items = new Map();
  /** @type {Table<Api.JobItem>} */
  const table = new Table(box, {
    label: "Assets of this job",
    key: (item) => item.name,
    open: (item) => {
      location.hash = `#/cache/${encodeURIComponent(item.name)}`;
    },
    sort: { by: "state", way: 1 },
    tone: (item) => (item.state === "failed" ? "bad" : null),
    empty: () => "This job has no assets.",
    columns: [
      {
        key: "name",
        label: "Asset",
        class: "c-name mono",
        sort: (item) => item.sortKey,
        make: opener(
          (item) => item.name,
          (item) => item.error,
        ),
      },
      {
        key: "state",
        label: "State",
        class: "c-state",
        sort: (item) => ["failed", "running", "waiting", "cancelled", "done"].indexOf(item.state),
        make: word((item) => [item.state === "waiting" ? "queued" : item.state, item.state]),
      },
      {
        key: "bytes",
        label: "Progress",
        class: "c-cached",
        make: bar("Progress", (item) => [
          item.state === "done" ? 1 : item.size ? item.bytes / item.size : item.bytes ? null : 0,
          tone(item.state),
        ]),
      },
      {
        key: "size",
        label: "Size",
        class: "c-size num",
        first: -1,
        sort: (item) => item.size,
        make: text((item) => bytes(item.size)),
      },
    ],
  });

  /** @param {Api.JobItem} item */
  function add(item) {
    item.sortKey = naturalKey(item.name);
    items.set(item.name, item);
  }

  async function load() {
    try {
      const { items: loaded = [], checks: rows = [], ...job } = await get(`jobs/${encodeURIComponent(id)}`);
      loaded.forEach(add);
      checks.replaceChildren(...checkRows(rows));
      checks.hidden = job.kind !== "check";
      box.hidden = job.kind === "check";
      store.jobs.set(id, job);
    } catch (error) {
      setText(failure, messageOf(error));
      failure.hidden = false;
    }
    render();
    table.show([...items.values()], true);
  }

  function render() {
    const job = store.jobs.get(id);
    if (!job) return;
    attribute(state, "data-tone", tone(job.state));
    setText(state, `${job.state}: ${progressText(job)}`);
    line.set(jobPart(job), tone(job.state));
    setFacts([
      ["Task", `${job.kind} ${job.what}`],
      ["Started", localTime(job.began)],
      ["Ended", job.ended ? localTime(job.ended) : null],
      ["Rate", job.state === "running" ? [rate(job.rate), timeLeft(job)].filter(Boolean).join(", ") : null],
    ]);
    cancelButton.hidden = job.state !== "running";
  }

  let wasRunning = true;
  let seconds = 0;
  load();
  return {
    kind: "Job",
    title: `Job ${id}`,
    node,
    render(topics) {
      render();
      const changes = store.jobItems.filter(({ job }) => String(job) === id);
      if (changes.length > 0) {
        changes.forEach(({ item }) => add(item));
        table.show([...items.values()]);
      }
      const running = store.jobs.get(id)?.state === "running";
      // Events report the state of an item, not its bytes: a running job is loaded every two seconds, and once when it ends.
      const due = running && topics.has("clock") && ++seconds % 2 === 0;
      if (due || (wasRunning && !running && topics.has("jobs"))) load();
      wasRunning = running;
    },
  };
}
