// The admin API: requests with the operator's token, and answers or problems (RFC 9457). It draws nothing.

const ROOT = "/api/v1/";
const KEY = "bootdepot.token";

/** What this session may do: `unknown`, `viewer` or `operator`. */
export const session = {
  get token() {
    return sessionStorage.getItem(KEY);
  },
  set token(token) {
    if (token) sessionStorage.setItem(KEY, token);
    else sessionStorage.removeItem(KEY);
    session.role = "unknown";
  },
  role: "unknown",
  /** Called when the server wants a token, or another one; with the problem. */
  refused: () => {},
  /** Called when the role becomes known. */
  changed: () => {},
};

/** An answer that says what is wrong. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `the server answered ${status}`);
    this.status = status;
    this.title = document.title ?? "";
    this.errors = document.errors ?? [];
  }
}

/** A name as a path takes it. */
export function inPath(name) {
  return name.split("/").map(encodeURIComponent).join("/");
}

/** Sends a request; the response, or a `Problem` or `TypeError` (no connection). */
export async function send(method, path, { body, signal, headers = {} } = {}) {
  const fields = { ...headers };
  const token = session.token;
  if (token) fields.Authorization = `Bearer ${token}`;
  if (body !== undefined) fields["Content-Type"] = "application/json";
  const response = await fetch(ROOT + path, {
    method,
    headers: fields,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (response.ok) {
    if (token === session.token) setRole(response.headers.get("Bootdepot-Access") ?? session.role);
    return response;
  }
  const problem = new Problem(response.status, await response.json().catch(() => ({})));
  // Another token may have been given while this request was on its way.
  if (token === session.token) judge(method, problem);
  throw problem;
}

/** What is against a look at anything is against the session; what is against a change is told where it was wanted. */
function judge(method, problem) {
  if (problem.status === 401 || (problem.status === 403 && method === "GET")) session.refused(problem);
}

function setRole(role) {
  if (session.role === role) return;
  session.role = role;
  session.changed();
}

export async function get(path, options) {
  return (await send("GET", path, options)).json();
}

export async function post(path, body) {
  const answer = await (await send("POST", path, { body })).text();
  return answer ? JSON.parse(answer) : null;
}

export async function remove(path) {
  return (await send("DELETE", path)).json();
}
