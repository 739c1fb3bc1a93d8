// Client of the admin API: sends requests with the operator's token; returns the data, or throws a problem (RFC 9457).

const ROOT = "/api/v1/";
const TOKEN_KEY = "bootdepot.token";

/** @typedef {{ body?: unknown, signal?: AbortSignal, headers?: Record<string, string> }} RequestOptions */

/** The token of this tab, and what the server allows with it. */
export const session = {
  /** @returns {string | null} */
  get token() {
    return sessionStorage.getItem(TOKEN_KEY);
  },
  /** @param {string | null} token */
  set token(token) {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
    session.role = "unknown";
  },
  /** @type {"unknown" | "viewer" | "operator"} */
  role: "unknown",
  /**
   * Called when the server requires a token, or refuses the current one.
   *
   * @type {(problem: Problem) => void}
   */
  refused: () => {},
  /** Called when the role changes. */
  changed: () => {},
};

/** An error response. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {Api.Problem} document
   */
  constructor(status, document) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.title = document.title ?? "";
    this.errors = document.errors ?? [];
  }

  /** Whether the token is missing, unknown or not sufficient. */
  get unauthorized() {
    return this.status === 401 || this.status === 403;
  }
}

/**
 * The message of anything thrown.
 *
 * @param {unknown} error
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Encodes a name for a path; slashes stay.
 *
 * @param {string} name
 */
export function inPath(name) {
  return name.split("/").map(encodeURIComponent).join("/");
}

/**
 * Sends a request and returns a successful response. Throws a `Problem`, or a `TypeError` if there is no connection.
 *
 * @param {"GET" | "POST" | "DELETE"} method
 * @param {string} path
 * @param {RequestOptions} [options]
 */
export async function send(method, path, { body, signal, headers = {} } = {}) {
  const fields = { ...headers };
  const token = session.token;
  if (token) fields.Authorization = `Bearer ${token}`;
  if (body !== undefined) fields["Content-Type"] = "application/json";
  const response = await fetch(ROOT + path, {
    method,
    headers: fields,
    body: body === undefined ? null : JSON.stringify(body),
    signal: signal ?? null,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  // While a request is in flight the operator may enter another token; the response then says nothing about that one.
  if (response.ok) {
    if (token === session.token) setRole(response.headers.get("Bootdepot-Access"));
    return response;
  }
  const problem = new Problem(response.status, await response.json().catch(() => ({})));
  // A viewer's change is refused with 403 as well; the action reports that.
  const refused = problem.status === 401 || (problem.status === 403 && method === "GET");
  if (refused && token === session.token) session.refused(problem);
  throw problem;
}

/** @param {string | null} role */
function setRole(role) {
  if ((role !== "viewer" && role !== "operator") || session.role === role) return;
  session.role = role;
  session.changed();
}

/**
 * @template {keyof Api.Resources} P
 * @param {P} path
 * @param {RequestOptions} [options]
 * @returns {Promise<Api.Resources[P]>}
 */
export async function get(path, options) {
  return (await send("GET", path, options)).json();
}

/**
 * @template {keyof Api.Actions} P
 * @param {P} path
 * @param {unknown} [body]
 * @returns {Promise<Api.Actions[P]>}
 */
export async function post(path, body) {
  return (await send("POST", path, { body })).json();
}

/** @param {string} path */
export async function remove(path) {
  await (await send("DELETE", path)).body?.cancel();
}
