// What the selection finds: counts, plot, the events page by page, one event in full.

import { $, announce, clearProblem, el, moment, number, outcome, plural, showProblem, time } from "./dom.js";
import { draw, legend, parts, table } from "./plot.js";

const PAGE = 25;
const COLUMNS = ["event_id", "occurred_at", "processed_ingested_at", "event_type", "outcome", "actor_id", "actor_name",
  "human_principal_id", "agent_id", "agent_name", "tool_name"];
const NOTHING = "No event fits the selection. A longer range, or fewer filters, may find some.";
const START = { cursor: "", first: 0 }; // of a page: its cursor, and how many events are before it
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export class Events {
  #api;
  #columns = [];
  #shown = null; // the selection that is on the screen
  #counts = null;
  #pages = [START]; // those so far; the last is the shown one
  #next = null;
  #asking = null;

  constructor(api) {
    this.#api = api;
    for (const radio of document.querySelectorAll('input[name="by"]')) radio.addEventListener("change", () => this.#drawPlot());
    for (const radio of document.querySelectorAll('input[name="order"]')) radio.addEventListener("change", () => this.#page([START]));
    $("next").addEventListener("click", () => this.#page([...this.#pages, this.#next]));
    $("previous").addEventListener("click", () => this.#page(this.#pages.slice(0, -1)));
    new ResizeObserver(() => this.#drawPlot()).observe($("plot"));
  }

  open(columns) {
    this.#columns = columns;
    this.clear();
  }

  // Forgets what is on the screen.
  clear() {
    this.#asking?.abort();
    [this.#shown, this.#counts, this.#pages, this.#next] = [null, null, [START], null];
    for (const id of ["completeness", "overview", "events"]) $(id).hidden = true;
    for (const id of ["plot", "plot-table", "legend", "totals", "events-table"]) $(id).replaceChildren();
    if ($("detail").open) $("detail").close();
  }

  // Asks for a selection and shows it. Resolves to the event types there are, or null where it was refused or overtaken.
  async show(selection) {
    this.clear();
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const query = asked(selection);
    $("overview").hidden = $("events").hidden = false;
    $("plot-details").hidden = true;
    for (const id of ["plot", "events-table"]) $(id).replaceChildren(el("p", { class: "empty" }, "Asking for the events…"));
    $("page-number").textContent = "";
    this.#busy(true);
    try {
      const { tenant, from, to } = selection;
      const [counts, page, types] = await Promise.all([
        this.#api.get("/v1/counts", query, signal),
        this.#read(selection, START, signal),
        this.#api.get("/v1/event-types", { tenant, from, to }, signal),
      ]);
      [this.#shown, this.#counts] = [selection, counts];
      this.#drawCounts();
      this.#drawPage(page, [START]);
      announce(`${plural(counts.total, "event")}. ${$("completeness").textContent}`);
      return types.event_types;
    } catch (problem) {
      if (problem.name === "AbortError") return null;
      this.clear();
      showProblem(problem);
      return null;
    } finally {
      if (!signal.aborted) this.#busy(false);
    }
  }

  #busy(busy) {
    for (const id of ["overview", "events"]) $(id).setAttribute("aria-busy", busy);
    $("next").disabled = busy || !this.#next;
    $("previous").disabled = busy || this.#pages.length < 2;
  }

  #drawCounts() {
    const [counts, selection] = [this.#counts, this.#shown];
    completeness(counts, selection);
    const of = (name) => counts.series.filter((s) => s.outcome === name).reduce((sum, s) => sum + s.total, 0);
    const types = new Set(counts.series.map((s) => s.event_type)).size;
    const totals = [["Events", counts.total], ["Event types", types], ["Denied", of("denied")], ["Failed", of("failure") + of("error")]];
    $("totals").replaceChildren(...totals.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, number(value)))));
    this.#drawPlot();
  }

  #drawPlot() {
    const width = Math.floor($("plot").clientWidth);
    if (!this.#counts || !width) return;
    const shown = parts(this.#counts, chosen("by"));
    if (!this.#counts.total) {
      $("plot").replaceChildren(el("p", { class: "empty" }, NOTHING));
      $("legend").replaceChildren();
    } else {
      $("plot").replaceChildren(draw(this.#counts, shown, this.#shown, width));
      $("legend").replaceChildren(...legend(shown));
    }
    $("plot-details").hidden = !this.#counts.total;
    $("plot-table").replaceChildren(table(this.#counts, shown, this.#shown));
  }

  // One page. The service may answer with an empty one that has a next one, where events are far apart.
  async #read(selection, { cursor }, signal) {
    const query = { ...asked(selection), columns: COLUMNS.join(","), order: chosen("order"), limit: PAGE };
    for (let at = cursor; ;) {
      const page = await this.#api.get("/v1/events", { ...query, cursor: at }, signal);
      if (page.events.length || !page.next_cursor) return page;
      at = page.next_cursor;
    }
  }

  async #page(pages) {
    if (!this.#shown) return;
    this.#busy(true);
    clearProblem();
    const { signal } = this.#asking;
    try {
      this.#drawPage(await this.#read(this.#shown, pages.at(-1), signal), pages);
      $("events-table").scrollTo(0, 0);
      announce($("page-number").textContent);
    } catch (problem) {
      if (problem.name !== "AbortError") showProblem(problem);
    } finally {
      if (!signal.aborted) this.#busy(false);
    }
  }

  #drawPage({ events, next_cursor: cursor }, pages) {
    const { first } = pages.at(-1);
    [this.#pages, this.#next] = [pages, cursor && { cursor, first: first + events.length }];
    $("page-number").textContent = events.length
      ? `Events ${number(first + 1)} to ${number(first + events.length)} of ${number(this.#counts.total)}, page ${number(pages.length)}`
      : "No events";
    const show = (event) => this.#detail(event);
    $("events-table").replaceChildren(events.length ? rows(events, this.#shown.time === "ingested", show)
      : el("p", { class: "empty" }, NOTHING));
    this.#busy(false);
  }

  async #detail(event) {
    clearProblem();
    try {
      const path = `/v1/events/${encodeURIComponent(event.event_id)}`;
      const found = await this.#api.get(path, { tenant: this.#shown.tenant });
      detail(found.event, found.conflicts, this.#columns);
    } catch (problem) {
      showProblem(problem);
    }
  }
}

// The table of a page. Its roles are stated, as a phone's layout shows rows as cards.
function rows(events, byIngest, show) {
  const head = [byIngest ? "Ingested (UTC)" : "Time (UTC)", "Event type", "Outcome", "Actor", "For", "Agent", "Tool"];
  const cell = (name, ...children) => el("td", { role: "cell", "data-label": name }, ...children);
  const row = (event) => el("tr", { role: "row" },
    el("th", { scope: "row", role: "rowheader" }, el("button", { type: "button", class: "link", "data-event": event.event_id, onclick: () => show(event) },
      time(byIngest ? event.processed_ingested_at : event.occurred_at), el("span", { class: "visually-hidden" }, " details"))),
    cell("Type", event.event_type), cell("Outcome", outcome(event.outcome)), cell("Actor", named(event.actor_id, event.actor_name)),
    cell("For", event.human_principal_id || null), cell("Agent", named(event.agent_id, event.agent_name)), cell("Tool", event.tool_name || null));
  return el("table", { role: "table" }, el("caption", { class: "visually-hidden" }, $("page-number").textContent),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...head.map((text) => el("th", { scope: "col", role: "columnheader" }, text)))),
    el("tbody", { role: "rowgroup" }, ...events.map(row)));
}

const asked = ({ tenant, from, to, time: kind, filters }) =>
  ({ tenant, from, to, time: kind, filter: filters.map(({ column, value }) => `${column}:${value}`) });

const named = (id, name) => (name && name !== id ? [el("span", null, name), el("span", { class: "sub" }, id)] : [id || null]);

// States plainly how far the events are complete.
function completeness(counts, selection) {
  const until = moment(counts.complete_until);
  const late = selection.time === "occurred" ? " Events that happened earlier and arrive late are added when they come." : "";
  $("completeness").textContent = counts.complete
    ? `✓ The range is complete: everything that arrived until ${until} UTC is in.${late}`
    : `◔ Complete up to ${until} UTC; the range ends later, at ${moment(selection.to)} UTC. What arrived after that may not be in yet.${late}`;
  $("completeness").className = counts.complete ? "notice complete" : "notice open";
  $("completeness").hidden = false;
}

const CLASSES = { fact: "Facts", personal: "Personal", content: "Content" };

// One event in full: what is empty is left out, the rest stands by class with the meaning of each column.
function detail(event, conflicts, columns) {
  const dialog = $("detail");
  const others = conflicts.map((other, i) => el("details", null, el("summary", null, `Other event ${i + 1} of this id`), ...fields(other, columns)));
  const parts = [
    el("div", { class: "card-head" }, el("h2", { id: "detail-title", tabindex: "-1" }, event.event_type),
      el("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    el("p", null, time(event.occurred_at), " UTC ", outcome(event.outcome)),
    conflicts.length ? el("p", { class: "notice open" }, `${plural(conflicts.length, "other event")} with other content came under this event's id.`) : null,
    ...others, ...fields(event, columns)];
  dialog.replaceChildren(...parts.filter(Boolean));
  dialog.showModal();
  $("detail-title").focus();
}

function fields(event, columns) {
  const filled = columns.filter(({ name }) => ![null, undefined, ""].includes(event[name]) && event[name].length !== 0);
  return Object.entries(CLASSES).flatMap(([kind, title]) => {
    const of = filled.filter((column) => column.class === kind);
    return of.length ? [el("h3", null, title), el("dl", { class: "fields-of" }, ...of.map((c) =>
      el("div", null, el("dt", { title: c.doc }, c.name), el("dd", null, shown(event[c.name], c.type)))))] : [];
  });
}

function shown(value, kind) {
  if (kind === "time" || kind === "time_ms") return [time(value, 23), " UTC"];
  if (!Array.isArray(value)) return [String(value)];
  return [el("ul", null, ...value.map((item) => el("li", null, item !== null && typeof item === "object" ? `${item.key}: ${item.value}` : String(item))))];
}
