// The operator's actions: a button for each, which explains itself if the token is read-only. Destructive and expensive actions
// are confirmed first.

import { Problem, inPath, post, remove, session } from "./api.js";
import { confirmed, toast } from "./dialogs.js";
import { attribute, byId, el, inputById } from "./dom.js";
import { bytes, count, plural } from "./format.js";
import { setAsset, store } from "./store.js";

/**
 * All buttons that need an operator token.
 *
 * @type {Set<WeakRef<HTMLButtonElement>>}
 */
const buttons = new Set();

/**
 * Creates a button for an action that needs an operator token.
 *
 * @param {string} label
 * @param {() => Promise<void> | void} run
 * @param {{ grave?: boolean, primary?: boolean, name?: string }} [options] `name` is the name for assistive technology, if the
 *   label alone is not enough.
 */
export function actionButton(label, run, { grave = false, primary = false, name } = {}) {
  const button = el(
    "button",
    { type: "button", class: primary ? "primary" : grave ? "grave" : null, "aria-label": name },
    label,
  );
  let busy = false;
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    if (session.role === "viewer") {
      toast(viewerReason(), "warn");
      return;
    }
    if (busy) return;
    busy = true;
    attribute(button, "aria-busy", "true");
    try {
      await run();
    } catch (error) {
      toast(errorLines(error).join("\n"), "bad");
    }
    busy = false;
    attribute(button, "aria-busy", null);
  });
  buttons.add(new WeakRef(button));
  allow(button);
  return button;
}

function viewerReason() {
  return byId("viewer-reason").textContent ?? "";
}

/**
 * Enables or disables a button by the role. It sets `aria-disabled`, not `disabled`: the button stays reachable by the keyboard,
 * and explains why it does nothing.
 *
 * @param {HTMLButtonElement} button
 */
function allow(button) {
  const viewer = session.role === "viewer";
  attribute(button, "aria-disabled", viewer ? "true" : null);
  attribute(button, "aria-describedby", viewer ? "viewer-reason" : null);
  attribute(button, "title", viewer ? viewerReason() : null);
}

/** Updates all buttons, after the role changed. */
export function allowActions() {
  for (const reference of buttons) {
    const button = reference.deref();
    if (button) allow(button);
    else buttons.delete(reference);
  }
}

/**
 * What went wrong, in lines.
 *
 * @param {unknown} error
 */
function errorLines(error) {
  return error instanceof Problem ? [error.message, ...error.errors] : ["The server does not answer."];
}

/** @param {Api.Job} job */
function showStarted(job) {
  toast(`Job ${job.id} started: ${job.kind} ${job.what}`);
  location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
}

/** @param {string} name */
export async function pin(name) {
  setAsset(await post(`assets/${inPath(name)}/pin`));
  toast(`${name} is pinned.`);
}

/** @param {string} name */
export async function unpin(name) {
  setAsset(await post(`assets/${inPath(name)}/unpin`));
  toast(`${name} is no longer pinned.`);
}

/** @param {string} name */
export async function preloadAsset(name) {
  const job = await post(`assets/${inPath(name)}/preload`);
  toast(`Job ${job.id} started: preload ${name}`);
}

/** @param {string} name */
export async function verify(name) {
  const job = await post(`assets/${inPath(name)}/verify`);
  toast(`Job ${job.id} started: verify ${name}`);
}

/** @param {Api.Asset} asset */
export async function evict(asset) {
  const size = asset.size === null ? "" : ` (${bytes(asset.size)})`;
  const sure = await confirmed({
    title: `Evict ${asset.name}?`,
    lines: [
      `Removes the file${size} from the cache. The next client that requests it waits for a new fill.`,
      ...(asset.in_use ? ["A client is reading it now."] : []),
    ],
    verb: "Evict",
    grave: true,
  });
  if (!sure) return;
  const { freed } = await post(`assets/${inPath(asset.name)}/evict`);
  toast(`${asset.name} was evicted; ${bytes(freed)} freed.`);
}

/** @param {Api.Release} release */
export async function activate(release) {
  const before = [...store.releases.values()].find(
    (other) =>
      other.active && other.channel !== null && other.channel === release.channel && other.name !== release.name,
  );
  const missing = release.total - release.cached;
  const size = release.size === null ? "" : ` (${bytes(release.size - release.bytes)})`;
  const sure = await confirmed({
    title: `Activate ${release.name}?`,
    lines: [
      missing === 0
        ? "All its assets are cached. New boot scripts use it immediately."
        : `${count(missing)} of ${plural(release.total, "asset")} must be fetched first${size}. The release goes live when all assets are cached.`,
      ...(before
        ? [
            `Until then, ${before.name} stays live in the channel ${release.channel}. Its assets stay cached for a while after that, for hosts that are still booting from it.`,
          ]
        : []),
    ],
    verb: "Activate",
  });
  if (!sure) return;
  const { name, state } = await post(`releases/${encodeURIComponent(release.name)}/activate`);
  toast(`${name} is ${state}.`);
}

/** @param {string} key The name, MAC or address of a host. */
export async function forget(key) {
  const sure = await confirmed({
    title: `Forget ${key}?`,
    lines: ["Removes its boots. For a machine that was switched off or removed: it is recorded again when it boots."],
    verb: "Forget",
    grave: true,
  });
  if (!sure) return;
  await remove(`hosts/${encodeURIComponent(key)}`);
  toast(`${key} was forgotten.`);
  location.hash = "#/hosts";
}

export async function scrub() {
  const sure = await confirmed({
    title: "Verify the whole cache?",
    lines: [
      `Reads ${bytes(store.status?.cache.cached.bytes)} from the disk and checks every digest. Corrupt files are quarantined, and fetched again at the next request.`,
    ],
    verb: "Scrub",
  });
  if (sure) showStarted(await post("scrub"));
}

export async function reload() {
  const { outcome, added, changed, removed, warnings } = await post("reload");
  const changes = `${count(added)} added, ${count(changed)} changed, ${count(removed)} removed`;
  const result =
    outcome === "unchanged" ? "Configuration reloaded: no changes." : `Configuration reloaded. Assets: ${changes}.`;
  toast([result, ...warnings].join("\n"), warnings.length > 0 ? "warn" : "good");
}

/** @param {Api.Job} job */
export async function cancel(job) {
  const sure = await confirmed({
    title: `Cancel job ${job.id}?`,
    lines: [
      `${job.kind} ${job.what}: ${count(job.assets.done)} of ${plural(job.assets.total, "asset")} done. Cached assets stay. Partial downloads stop, and resume with the next request.`,
    ],
    verb: "Cancel the job",
    grave: true,
  });
  if (sure) await remove(`jobs/${encodeURIComponent(job.id)}`);
}

/**
 * Describes the plan of a preload.
 *
 * @param {Api.Plan} plan
 */
export function planInWords({ assets, cached, unverified, missing, room }) {
  const unknown = missing.unknown_sizes
    ? `, plus ${plural(missing.unknown_sizes, "asset")} of unknown size`
    : "";
  const hashed = unverified.assets
    ? `, ${count(unverified.assets)} to be hashed (${bytes(unverified.bytes)})`
    : "";
  return [
    `${plural(assets, "asset")}: ${count(cached.assets)} cached (${bytes(cached.bytes)})${hashed}, ${count(missing.assets)} missing (${bytes(missing.bytes)}${unknown}).`,
    room.fits
      ? `They fit: ${bytes(room.available)} available.`
      : `Not enough space: ${bytes(room.available)} available. Assets that do not fit will fail.`,
  ];
}

/** @type {Api.PreloadOrder} */
const EMPTY_ORDER = {
  assets: [],
  releases: [],
  profiles: [],
  hosts: [],
  all: false,
  verify: false,
  keep_going: true,
  dry_run: false,
};

/**
 * Asks the server for the plan of a preload.
 *
 * @param {Api.PreloadOrder} order
 */
async function planOf(order) {
  return /** @type {Api.Plan} */ (await post("preload", { ...order, dry_run: true }));
}

/**
 * Starts a preload.
 *
 * @param {Api.PreloadOrder} order
 */
async function start(order) {
  showStarted(/** @type {Api.Job} */ (await post("preload", order)));
}

/**
 * Shows the plan of a preload, and starts it if the operator confirms.
 *
 * @param {Partial<Api.PreloadOrder>} selection
 * @param {string} what The selection in words.
 */
export async function preload(selection, what) {
  const order = { ...EMPTY_ORDER, ...selection };
  const plan = await planOf(order);
  const sure = await confirmed({
    title: `Preload ${what}?`,
    lines: planInWords(plan),
    verb: plan.missing.assets === 0 ? "Preload" : `Fetch ${bytes(plan.missing.bytes)}`,
  });
  if (sure) await start(order);
}

/** Opens the dialog that composes a preload. */
export function composePreload() {
  const dialog = byId("preload-dialog", HTMLDialogElement);
  const plan = byId("preload-plan");
  const names = byId("preload-names", HTMLTextAreaElement);
  const all = inputById("preload-all");
  const rehash = inputById("preload-verify");
  names.value = "";
  all.checked = rehash.checked = false;
  plan.replaceChildren();
  const boxes = [...store.releases.values()].map((release) => {
    const box = el("input", { type: "checkbox", value: release.name });
    return { box, label: el("label", {}, box, ` ${release.name}`) };
  });
  byId("preload-releases").replaceChildren(...boxes.map(({ label }) => label));
  byId("preload-releases-set").hidden = boxes.length === 0;

  /**
   * @param {string[]} lines
   * @param {Ui.Tone} [tone]
   */
  const show = (lines, tone) => plan.replaceChildren(...lines.map((line) => el("p", { "data-tone": tone }, line)));

  /**
   * Calls `use` with the selection, and shows its error.
   *
   * @param {(order: Api.PreloadOrder) => Promise<void>} use
   */
  const submit = async (use) => {
    const order = {
      ...EMPTY_ORDER,
      assets: names.value.split(/\s+/).filter(Boolean),
      releases: boxes.filter(({ box }) => box.checked).map(({ box }) => box.value),
      all: all.checked,
      verify: rehash.checked,
    };
    if (!order.all && order.assets.length === 0 && order.releases.length === 0) {
      show(["Select something to preload."], "warn");
      return;
    }
    try {
      await use(order);
    } catch (error) {
      show(errorLines(error), "bad");
    }
  };
  byId("preload-ask").onclick = () => submit(async (order) => show(planInWords(await planOf(order))));
  byId("preload-cancel").onclick = () => dialog.close();
  byId("preload-form").onsubmit = (event) => {
    event.preventDefault();
    submit(async (order) => {
      await start(order);
      dialog.close();
    });
  };
  dialog.showModal();
  names.focus();
}
