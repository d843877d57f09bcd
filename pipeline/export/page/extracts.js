// Extracts: start one, watch it, cancel it, download it; and the earlier ones.

import { Problem } from "./api.js";
import { $, announce, bytes, clearProblem, el, number, plural, showProblem, time } from "./dom.js";
import { sentence } from "./selection.js";

const WATCH_MS = 1000;
const PAGE = 20;
const OPEN = ["queued", "running"];
const STATES = { queued: "Waiting", running: "Running", done: "Done", failed: "Failed", cancelled: "Cancelled" };
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export class Extracts {
  #api;
  #selection;
  #columns = [];
  #items = new Map(); // id → {node, state, told, update}
  #next = null;
  #timer = 0;
  #round = 0; // grows when the tenant or the session changes: answers of before are dropped

  constructor(api, selection) {
    [this.#api, this.#selection] = [api, selection];
    $("extract-form").addEventListener("submit", (event) => { event.preventDefault(); this.#start(); });
    $("more-extracts").addEventListener("click", () => this.#list(this.#next));
    for (const radio of document.querySelectorAll('input[name="columns"]')) {
      radio.addEventListener("change", () => { $("columns-own").hidden = chosen("columns") !== "own"; });
    }
  }

  open(me, columns) {
    this.#columns = columns;
    const limits = me.limits ?? {};
    const told = [["open_extracts", (n) => `${number(n)} unfinished at a time`], ["extracts_per_day", (n) => `${number(n)} a day`],
      ["rows_per_extract", (n) => `${number(n)} events each`]].filter(([name]) => limits[name]).map(([name, text]) => text(limits[name]));
    $("limits").textContent = `${told.length ? `Your limits: ${told.join(", ")}. ` : ""}Files are kept for 7 days at most.`;
    const box = (c) => el("label", { class: "check" }, el("input", { type: "checkbox", name: "column", value: c.name, checked: c.class === "fact" }), ` ${c.name}`);
    const group = (kind, title) => el("fieldset", null, el("legend", null, title), ...columns.filter((c) => c.class === kind).map(box));
    const tick = (all) => () => { for (const one of document.querySelectorAll('input[name="column"]')) one.checked = all; };
    const ticks = el("div", { class: "actions" }, el("button", { type: "button", onclick: tick(true) }, "Choose all"),
      el("button", { type: "button", onclick: tick(false) }, "Choose none"));
    $("column-list").replaceChildren(ticks, group("fact", "Facts"), group("personal", "Personal"), group("content", "Content"));
    this.clear();
  }

  clear() {
    this.#round += 1;
    clearTimeout(this.#timer);
    this.#items.clear();
    this.#next = null;
    $("extract-list").replaceChildren();
    $("more-extracts").hidden = $("no-extracts").hidden = true;
  }

  // The view is on the screen: its list as it is now.
  async show() {
    try {
      $("extract-selection").textContent = `${sentence(this.#selection.read())}.`;
    } catch (problem) {
      $("extract-selection").textContent = `${problem.error} ${problem.whatToDo}`;
    }
    this.clear();
    await this.#list(null);
  }

  // What the form asks for beside the selection. Throws Problem.
  form() {
    const columns = { all: () => undefined, facts: () => this.#columns.filter((c) => c.class !== "content").map((c) => c.name),
      own: () => [...document.querySelectorAll('input[name="column"]:checked')].map((box) => box.value) }[chosen("columns")]();
    if (columns && !columns.length) throw new Problem(0, "No column is chosen.", "Choose at least one, or all.");
    return { format: chosen("format"), columns };
  }

  // Starts an extract with this body; it appears in the list when the list is shown.
  async begin(path, body) {
    const extract = await this.#api.post(path, body);
    announce("The extract was started.");
    return extract;
  }

  async #start() {
    clearProblem();
    try {
      const { filters, ...range } = this.#selection.read();
      const body = { ...range, filters: this.#selection.typed(filters), ...this.form(), require_complete: $("require-complete").checked };
      const extract = await this.begin("/v1/extracts", body);
      this.#put(extract, true);
      this.#watch();
    } catch (problem) {
      showProblem(problem);
    }
  }

  async #list(cursor) {
    const round = this.#round;
    try {
      const page = await this.#api.get("/v1/extracts", { tenant: this.#selection.tenant, limit: PAGE, cursor });
      if (round !== this.#round) return;
      for (const extract of page.extracts) this.#put(extract, false);
      this.#next = page.next_cursor;
      $("more-extracts").hidden = !this.#next;
      $("no-extracts").hidden = this.#items.size > 0;
      this.#watch();
    } catch (problem) {
      if (round === this.#round) showProblem(problem);
    }
  }

  #put(extract, first) {
    const known = this.#items.get(extract.id);
    if (known) return known.update(extract);
    const item = new Item(extract, this.#api);
    this.#items.set(extract.id, item);
    $("extract-list")[first ? "prepend" : "append"](item.node);
    $("no-extracts").hidden = true;
  }

  // Asks for what is not finished until it is.
  #watch() {
    clearTimeout(this.#timer);
    const round = this.#round;
    const open = [...this.#items].filter(([, item]) => OPEN.includes(item.state));
    if (!open.length) return;
    this.#timer = setTimeout(async () => {
      for (const [id, item] of open) {
        try {
          const extract = await this.#api.get(`/v1/extracts/${id}`);
          if (round === this.#round) item.update(extract);
        } catch (problem) {
          if (round !== this.#round) return;
          showProblem(problem);
        }
      }
      if (round === this.#round) this.#watch();
    }, WATCH_MS);
  }
}

// One extract in the list; its parts are changed in place, so that the focus stays where it is.
class Item {
  #api;
  #id;
  #parts;
  #told = 0;
  #files = "";

  constructor(extract, api) {
    [this.#api, this.#id] = [api, extract.id];
    const title = `extract-${extract.id}`;
    this.#parts = {
      state: el("span", { class: "badge" }), counts: el("span", { class: "sub" }),
      bar: el("progress", { max: 1, "aria-labelledby": title }), far: el("span", { class: "sub" }),
      cancel: el("button", { type: "button", "aria-describedby": title, onclick: () => this.#cancel() }, "Cancel"),
      error: el("p", { class: "problem-error" }), note: el("p", { class: "sub" }), files: el("ul", { class: "files", "aria-label": "Files" }),
    };
    const { state, counts, bar, far, cancel, error, note, files } = this.#parts;
    const progress = el("div", { class: "progress" }, bar, far, cancel);
    this.#parts.progress = progress;
    this.node = el("li", { "data-extract": extract.id },
      el("h3", { id: title }, `${sentence(extract.query)}.`),
      el("p", { class: "meta" }, state, " ", el("span", { class: "sub" }, `${extract.query.format.toUpperCase()}, ${origin(extract)} ${extract.principal} at `, time(extract.created_at), " UTC"), " ", counts),
      progress, error, note, files);
    this.update(extract);
  }

  update(extract) {
    const before = this.state;
    this.state = extract.state;
    const { state, counts, bar, far, progress, error, note } = this.#parts;
    state.textContent = STATES[extract.state] ?? extract.state;
    state.className = `badge state-${extract.state}`;
    const { rows_done: done, rows_total: total, fraction } = extract.progress;
    const open = OPEN.includes(extract.state);
    progress.hidden = !open;
    if (extract.state === "queued") bar.removeAttribute("value");
    else bar.value = fraction;
    const percent = Math.floor(fraction * 100);
    far.textContent = extract.state === "queued" ? "waits for its turn"
      : `${percent} %, ${number(done)} of ${total === null ? "…" : number(total)} events`;
    counts.textContent = extract.state === "done" ? `${plural(extract.counts.rows, "event")}, ${bytes(extract.counts.bytes)}` : "";
    error.textContent = extract.error;
    error.hidden = !extract.error;
    note.replaceChildren(...notes(extract));
    note.hidden = !note.childNodes.length;
    this.#drawFiles(extract);
    if (before && before !== extract.state) announce(`The extract is ${STATES[extract.state].toLowerCase()}. ${counts.textContent}`);
    else if (extract.state === "running" && percent >= this.#told + 25) announce(`The extract is at ${(this.#told = percent - (percent % 25))} %.`);
  }

  async #cancel() {
    clearProblem();
    try {
      this.update(await this.#api.remove(`/v1/extracts/${this.#id}`) ?? await this.#api.get(`/v1/extracts/${this.#id}`));
      this.node.querySelector("h3").tabIndex = -1;
      this.node.querySelector("h3").focus();
    } catch (problem) {
      showProblem(problem);
    }
  }

  #drawFiles(extract) {
    const files = extract.files_state === "available" ? [...extract.files, ...(extract.manifest ? [extract.manifest] : [])] : [];
    const names = files.map((file) => file.name).join();
    this.#parts.files.hidden = !files.length;
    if (names === this.#files) return;
    this.#files = names;
    this.#parts.files.replaceChildren(...files.map((file) => this.#file(file)));
  }

  #file(file) {
    const check = el("span", { class: "sub check-result" });
    const button = el("button", { type: "button", onclick: () => this.#download(file, button, check) }, `Download ${file.name}`);
    return el("li", null, button, " ", el("span", { class: "sub" }, bytes(file.bytes)), " ", check,
      el("code", { class: "digest", title: "SHA-256 of the file" }, `SHA-256 ${file.sha256}`));
  }

  async #download(file, button, check) {
    clearProblem();
    button.disabled = true;
    try {
      const path = `/v1/extracts/${this.#id}/files/${encodeURIComponent(file.name)}`;
      const blob = await this.#api.file(path, (soFar) => { check.textContent = `${Math.floor((100 * soFar) / Math.max(file.bytes, 1))} %`; });
      check.textContent = await verdict(blob, file.sha256);
      announce(`${file.name}: ${check.textContent}`);
      if (!check.textContent.startsWith("✕")) save(blob, file.name);
    } catch (problem) {
      check.textContent = "";
      showProblem(problem);
    } finally {
      button.disabled = false;
      button.focus();
    }
  }
}

const origin = ({ definition, period_start: period }) => (period ? "scheduled by" : definition ? "from a saved extract, by" : "asked for by");

// How far a finished extract is complete, and how long its files are there.
function notes(extract) {
  if (extract.state !== "done") return [];
  const whole = extract.complete ? ["✓ Complete for its range. "]
    : extract.pipeline_complete ? ["◔ Not complete: producers miss events of its range or may still send some; the manifest names them. "]
    : ["◔ Complete up to ", time(extract.complete_until), " UTC; its range ends later. "];
  const kept = extract.files_state === "expired" ? ["Its files were removed when their time was over: ask for it again."]
    : extract.expires_at ? ["Files are kept until ", time(extract.expires_at), " UTC."] : [];
  return [...whole, ...kept];
}

// Whether the bytes are those the service vouches for. Browsers hash only on HTTPS and on this machine.
async function verdict(blob, expected) {
  if (!globalThis.crypto?.subtle) return "downloaded; compare its SHA-256";
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", await blob.arrayBuffer()));
  const found = [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return found === expected ? "✓ downloaded, SHA-256 is right" : "✕ not kept: the SHA-256 differs. Download it again";
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = el("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
