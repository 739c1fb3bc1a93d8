// The page of jobs: long work with its progress; one of them asset by asset.

import { get } from "./api.js";
import { actionButton, cancel, composePreload, scrub } from "./actions.js";
import { bar, facts, opener, text, word } from "./cells.js";
import { attribute, byId, el, keyed, progressBar, setText } from "./dom.js";
import { store } from "./store.js";
import { Table } from "./table.js";
import { age, bytes, clock, count, many, natural, percent, rate, span, took, tone } from "./words.js";

const KINDS = { preload: "Preload", verify: "Verify", scrub: "Scrub" };

/** How far a job is, 0 to 1; null where nobody knows. */
function part(job) {
  if (job.state === "done") return 1;
  if (job.bytes.total) return job.bytes.done / job.bytes.total;
  return job.assets.total ? (job.assets.done + job.assets.failed) / job.assets.total : null;
}

function left(job) {
  if (job.state !== "running" || !job.rate || !job.bytes.total) return null;
  return `${span((job.bytes.total - job.bytes.done) / job.rate)} left`;
}

function inWords(job) {
  const amount = job.bytes.total ? `${bytes(job.bytes.done)} of ${bytes(job.bytes.total)}` : bytes(job.bytes.done);
  const failed = job.assets.failed > 0 ? `, ${count(job.assets.failed)} failed` : "";
  return `${count(job.assets.done)} of ${many(job.assets.total, "asset")}${failed} · ${amount}`;
}

function when(job) {
  if (job.ended) return `${clock(job.ended)}, took ${took(Date.parse(job.ended) - Date.parse(job.began))}`;
  return [rate(job.rate), left(job), `since ${span(age(job.began))}`].filter(Boolean).join(" · ");
}

export function jobs() {
  byId("jobs-actions").append(
    actionButton("Scrub…", scrub),
    actionButton("Preload…", () => composePreload(), { primary: true }),
  );

  function card(first) {
    const [title, state, amount, time] = [
      el("a", { class: "job-title cut", href: `#/jobs/${encodeURIComponent(first.id)}` }),
      el("span", { class: "note" }),
      el("span"),
      el("span", { class: "quiet" }),
    ];
    const line = progressBar(`Job ${first.id}`);
    const share = el("span", { class: "share" });
    const end = actionButton("Cancel…", () => cancel(store.jobs.get(String(first.id))), {
      name: `Cancel job ${first.id}`,
    });
    const node = el(
      "li",
      { class: "card job" },
      el("div", { class: "item-head" }, title, state, end),
      el("div", { class: "with-share" }, line.node, share),
      el("div", { class: "item-foot" }, amount, time),
    );
    return {
      node,
      update(job) {
        setText(title, `${KINDS[job.kind] ?? job.kind} ${job.what}`);
        setText(state, job.state);
        attribute(state, "data-tone", tone(job.state));
        const done = part(job);
        line.set(done, tone(job.state));
        setText(share, done === null ? "" : percent(done));
        setText(amount, inWords(job));
        setText(time, when(job));
        end.hidden = job.state !== "running";
      },
    };
  }

  return {
    id: "jobs",
    topics: ["jobs", "clock"],
    render() {
      const over = (job) => (job.ended === null ? 0 : 1);
      const all = [...store.jobs.values()].sort((a, b) => over(a) - over(b) || (a.began < b.began ? 1 : -1));
      byId("jobs-none").hidden = all.length > 0;
      keyed(byId("jobs-list"), all, (job) => job.id, card);
    },
    panel: (id) => jobPanel(id),
    select() {},
    restore: () => byId("jobs-list").querySelector(".job-title")?.focus(),
  };
}

function jobPanel(id) {
  const state = el("p", { class: "standing" });
  const line = progressBar(`Job ${id}`);
  const list = el("dl", { class: "facts" });
  const set = facts(list);
  const trouble = el("p", { class: "none", hidden: true });
  const end = actionButton("Cancel…", () => cancel(store.jobs.get(id)), { grave: true });
  const box = el("div", { class: "job-items" });
  const node = el(
    "div",
    { class: "job-panel" },
    state,
    line.node,
    list,
    el("div", { class: "actions" }, end),
    trouble,
    box,
  );
  const items = new Map();
  const table = new Table(box, {
    label: "Assets of this job",
    key: (item) => item.name,
    open: (item) => {
      location.hash = `#/cache/${encodeURIComponent(item.name)}`;
    },
    sort: { by: "state", way: 1 },
    tone: (item) => (item.state === "failed" ? "bad" : null),
    empty: () => "It has no assets.",
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
        label: "Here",
        class: "c-here",
        make: bar("Here", (item) => [
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

  function take(item) {
    item.sortKey = natural(item.name);
    items.set(item.name, item);
  }

  async function ask() {
    try {
      const job = await get(`jobs/${encodeURIComponent(id)}`);
      (job.items ?? []).forEach(take);
      store.jobs.set(id, { ...job, items: undefined });
    } catch (error) {
      setText(trouble, error.message);
      trouble.hidden = false;
    }
    draw();
    table.show([...items.values()], true);
  }

  function draw() {
    const job = store.jobs.get(id);
    if (!job) return;
    attribute(state, "data-tone", tone(job.state));
    setText(state, `${job.state}: ${inWords(job)}`);
    line.set(part(job), tone(job.state));
    set([
      ["What", `${job.kind} ${job.what}`],
      ["Began", clock(job.began)],
      ["Ended", job.ended ? clock(job.ended) : null],
      ["Rate", job.state === "running" ? [rate(job.rate), left(job)].filter(Boolean).join(", ") : null],
    ]);
    end.hidden = job.state !== "running";
  }

  let wasRunning = true;
  let timer = 0;
  ask();
  return {
    kind: "Job",
    title: `Job ${id}`,
    node,
    render(topics) {
      draw();
      const own = store.jobItems.filter(({ job }) => String(job) === id);
      if (own.length > 0) {
        own.forEach(({ item }) => take(item));
        table.show([...items.values()]);
      }
      const running = store.jobs.get(id)?.state === "running";
      // Bytes within an item are told by the job alone; its end tells how each ended.
      if ((running && topics.has("clock") && ++timer % 2 === 0) || (wasRunning && !running && topics.has("jobs")))
        ask();
      wasRunning = running;
    },
  };
}
