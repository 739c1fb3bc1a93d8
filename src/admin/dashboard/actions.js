// What operators do, each by a button that says whether this token may; what destroys or costs much is asked about first.

import { inPath, post, Problem, remove, session } from "./api.js";
import { confirmed, toast } from "./dialogs.js";
import { attribute, byId, el } from "./dom.js";
import { setAsset, store } from "./store.js";
import { bytes, count, many } from "./words.js";

const buttons = new Set();

/** A button for something that takes an operator. */
export function actionButton(label, run, { grave = false, primary = false, name = null } = {}) {
  const button = el(
    "button",
    { type: "button", class: primary ? "primary" : grave ? "grave" : null, "aria-label": name },
    label,
  );
  let busy = false;
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    if (session.role === "viewer") return toast(byId("viewer-reason").textContent, "warn");
    if (busy) return undefined;
    busy = true;
    attribute(button, "aria-busy", "true");
    try {
      await run();
    } catch (error) {
      tellError(error);
    }
    busy = false;
    attribute(button, "aria-busy", null);
    return undefined;
  });
  buttons.add(new WeakRef(button));
  allow(button);
  return button;
}

/** Not `disabled`: who reaches it by keyboard shall hear why it does nothing. */
function allow(button) {
  const viewer = session.role === "viewer";
  attribute(button, "aria-disabled", viewer ? "true" : null);
  attribute(button, "aria-describedby", viewer ? "viewer-reason" : null);
  attribute(button, "title", viewer ? byId("viewer-reason").textContent : null);
}

/** The role has become known. */
export function allowActions() {
  for (const reference of buttons) {
    const button = reference.deref();
    if (button) allow(button);
    else buttons.delete(reference);
  }
}

/** Says what is wrong, all of it. */
export function tellError(error) {
  if (error instanceof Problem) {
    toast([error.message, ...error.errors].join("\n"), "bad");
  } else {
    toast("The server does not answer.", "bad");
  }
}

function begun(job) {
  toast(`Job ${job.id} has begun: ${job.kind} ${job.what}`);
  location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
}

export async function pin(name) {
  setAsset(await post(`assets/${inPath(name)}/pin`));
  toast(`${name} is pinned.`);
}

export async function unpin(name) {
  setAsset(await post(`assets/${inPath(name)}/unpin`));
  toast(`${name} is no longer pinned.`);
}

export async function preloadAsset(name) {
  const job = await post(`assets/${inPath(name)}/preload`);
  toast(`Job ${job.id} fetches ${name}.`);
}

export async function verify(name) {
  const job = await post(`assets/${inPath(name)}/verify`);
  toast(`Job ${job.id} hashes ${name} again.`);
}

export async function evict(asset) {
  const sure = await confirmed({
    title: `Evict ${asset.name}?`,
    lines: [
      `${asset.size === null ? "Its bytes are" : `${bytes(asset.size)} are`} removed from the cache. The next machine that asks for it waits until it is fetched again.`,
      ...(asset.in_use ? ["Something reads it right now."] : []),
    ],
    verb: "Evict",
    grave: true,
  });
  if (!sure) return;
  const { freed } = await post(`assets/${inPath(asset.name)}/evict`);
  toast(`${asset.name} is out of the cache, ${bytes(freed)} are free.`);
}

export async function activate(release) {
  const before = [...store.releases.values()].find(
    (other) =>
      other.active && other.channel !== null && other.channel === release.channel && other.name !== release.name,
  );
  const missing = release.total - release.cached;
  const sure = await confirmed({
    title: `Activate ${release.name}?`,
    lines: [
      missing === 0
        ? "All of its assets are cached: new boot scripts name them from now on."
        : `${many(missing, "asset")} of ${count(release.total)} are fetched first${release.size === null ? "" : `, ${bytes(release.size - release.bytes)}`}; it goes live when the last one is cached.`,
      ...(before
        ? [
            `Until then ${before.name} stays live in the channel ${release.channel}, and after that it is kept a while for machines that began with it.`,
          ]
        : []),
    ],
    verb: "Activate",
  });
  if (!sure) return;
  const view = await post(`releases/${encodeURIComponent(release.name)}/activate`);
  toast(`${view.name} is ${view.state}.`);
}

export async function scrub() {
  const sure = await confirmed({
    title: "Hash the whole cache again?",
    lines: [
      `${bytes(store.status?.cache.cached.bytes ?? null)} are read from the disk. What is no longer what it should be is set aside and fetched again when it is asked for.`,
    ],
    verb: "Scrub",
  });
  if (sure) begun(await post("scrub"));
}

export async function reload() {
  const told = await post("reload");
  const changes = [
    `${count(told.added)} added`,
    `${count(told.changed)} changed`,
    `${count(told.removed)} removed`,
  ].join(", ");
  toast(
    [
      told.outcome === "unchanged" ? "Nothing has changed." : `The settings were loaded: ${changes}.`,
      ...(told.warnings ?? []),
    ].join("\n"),
    told.warnings?.length ? "warn" : "good",
  );
}

export async function cancel(job) {
  const sure = await confirmed({
    title: `Cancel job ${job.id}?`,
    lines: [
      `${job.kind} ${job.what}: ${count(job.assets.done)} of ${count(job.assets.total)} assets are done and stay. What only this job fetches ends here and is taken up again by the next.`,
    ],
    verb: "Cancel the job",
    grave: true,
  });
  if (sure) await remove(`jobs/${encodeURIComponent(job.id)}`);
}

/** What a selection would mean, in words. */
export function planInWords(plan) {
  const lines = [
    `${many(plan.assets, "asset")}: ${count(plan.cached.assets)} are here (${bytes(plan.cached.bytes)}), ${count(plan.missing.assets)} are missing (${bytes(plan.missing.bytes)}${plan.missing.unknown_sizes ? `, and ${many(plan.missing.unknown_sizes, "size")} nobody knows yet` : ""}).`,
  ];
  lines.push(
    plan.room.fits
      ? `There is room: ${bytes(plan.room.available)}.`
      : `There is not room for all of it: ${bytes(plan.room.available)} can be had. What does not fit fails.`,
  );
  return lines;
}

const nothing = {
  assets: [],
  releases: [],
  profiles: [],
  hosts: [],
  all: false,
  verify: false,
  keep_going: true,
  dry_run: false,
};

/** Says what it will mean, asks, and begins. */
export async function preload(selection, what) {
  const plan = await post("preload", { ...nothing, ...selection, dry_run: true });
  const sure = await confirmed({
    title: `Preload ${what}?`,
    lines: planInWords(plan),
    verb: plan.missing.assets === 0 ? "Check it" : `Fetch ${bytes(plan.missing.bytes)}`,
  });
  if (sure) begun(await post("preload", { ...nothing, ...selection }));
}

/** The dialog in which a preload is put together. */
export function composePreload(names = "") {
  const dialog = byId("preload-dialog");
  const plan = byId("preload-plan");
  byId("preload-names").value = names;
  byId("preload-all").checked = byId("preload-verify").checked = false;
  plan.replaceChildren();
  const boxes = [...store.releases.values()].map((release) => {
    const box = el("input", { type: "checkbox", value: release.name });
    return [box, el("label", {}, box, ` ${release.name}`)];
  });
  byId("preload-releases").replaceChildren(...boxes.map(([, label]) => label));
  byId("preload-releases-set").hidden = boxes.length === 0;
  const selection = () => ({
    ...nothing,
    assets: byId("preload-names").value.split(/\s+/).filter(Boolean),
    releases: boxes.filter(([box]) => box.checked).map(([box]) => box.value),
    all: byId("preload-all").checked,
    verify: byId("preload-verify").checked,
  });
  const say = (lines, tone) => plan.replaceChildren(...lines.map((line) => el("p", { "data-tone": tone }, line)));
  const ask = async (ready) => {
    const chosen = selection();
    if (!chosen.all && chosen.assets.length === 0 && chosen.releases.length === 0)
      return say(["Nothing is chosen yet."], "warn");
    try {
      return await ready(chosen);
    } catch (error) {
      return say(error instanceof Problem ? [error.message, ...error.errors] : ["The server does not answer."], "bad");
    }
  };
  byId("preload-ask").onclick = () =>
    ask(async (chosen) => say(planInWords(await post("preload", { ...chosen, dry_run: true }))));
  byId("preload-cancel").onclick = () => dialog.close();
  byId("preload-form").onsubmit = (event) => {
    event.preventDefault();
    ask(async (chosen) => {
      const job = await post("preload", chosen);
      dialog.close();
      begun(job);
    });
  };
  dialog.showModal();
  byId("preload-names").focus();
}
