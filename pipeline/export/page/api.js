// The API as this page uses it. The token lives in this object only: closing or reloading the page forgets it.

export class Problem extends Error {
  constructor(status, error, whatToDo) {
    super(error);
    Object.assign(this, { status, error, whatToDo });
  }
}

export class Api {
  #token = "";
  #signedOut;

  // signedOut() is called when the service no longer knows the token.
  constructor(signedOut) {
    this.#signedOut = signedOut;
  }

  // Resolves to who that is. Rejects with Problem; the token is kept only when it is known.
  async signIn(token) {
    const me = await this.#json("GET", "/v1/me", {}, token);
    this.#token = token;
    return me;
  }

  signOut() {
    this.#token = "";
  }

  get = (path, query, signal) => this.#json("GET", path, { query, signal });
  post = (path, body) => this.#json("POST", path, { body });
  remove = (path) => this.#json("DELETE", path, {});

  // A file's bytes; onBytes(sofar) while they arrive.
  async file(path, onBytes) {
    const answer = await this.#fetch("GET", path, {}, this.#token);
    const pieces = [];
    let received = 0;
    for (const reader = answer.body.getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) break;
      pieces.push(value);
      onBytes((received += value.byteLength));
    }
    return new Blob(pieces, { type: answer.headers.get("Content-Type") ?? "application/octet-stream" });
  }

  async #json(method, path, options, token = this.#token) {
    const answer = await this.#fetch(method, path, options, token);
    return answer.status === 204 ? null : JSON.parse(await answer.text(), exact);
  }

  async #fetch(method, path, { query, body, signal }, token) {
    const headers = { Authorization: `Bearer ${token}` };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    const search = query ? `?${parameters(query)}` : "";
    let answer;
    try {
      answer = await fetch(path + search, {
        method, headers, signal, body: body && JSON.stringify(body), cache: "no-store", credentials: "omit", redirect: "error",
      });
    } catch (exception) {
      if (exception.name === "AbortError") throw exception;
      throw new Problem(0, "The export service does not answer.", "Check the connection and try again.");
    }
    if (answer.ok) return answer;
    const problem = await problemOf(answer);
    if (answer.status === 401 && token === this.#token && token) {
      this.#token = "";
      this.#signedOut();
      problem.told = true;
    }
    throw problem;
  }
}

// Whole numbers that JavaScript would round, such as a digest, are kept as their text.
const exact = (_name, value, context) =>
  (Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value);

function parameters(query) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null && one !== "") search.append(name, one);
    }
  }
  return search;
}

async function problemOf(answer) {
  const wait = answer.headers.get("Retry-After");
  try {
    const { error, what_to_do: whatToDo } = await answer.json();
    const hint = answer.status === 429 && wait ? `${whatToDo} It can be tried again in ${wait} s.` : whatToDo;
    return new Problem(answer.status, error, hint);
  } catch {
    return new Problem(answer.status, `The service answered with status ${answer.status}.`, "Try again; if it stays so, tell an operator.");
  }
}
