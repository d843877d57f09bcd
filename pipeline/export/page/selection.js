// The form that says which events: tenant, range, kind of time, filters. Read by every view.

import { Problem } from "./api.js";
import { $, el, moment } from "./dom.js";
import { ofField, preset, toField } from "./range.js";

const FIRST = ["event_type", "outcome", "actor_id", "agent_id", "tool_name"];
const NAMES = { event_type: "Event type", outcome: "Outcome", actor_id: "Actor", agent_id: "Agent", tool_name: "Tool" };
const OUTCOMES = ["success", "denied", "failure", "error"];

export const label = (column) => NAMES[column] ?? column;
const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;

export class Selection {
  #columns = new Map();
  #types = [];
  #filters = []; // [{column, value (text)}]
  #changed;

  // changed() is called when the tenant changes: what is known of another one does not fit any more.
  constructor(changed) {
    this.#changed = changed;
    for (const radio of document.querySelectorAll('input[name="preset"]')) radio.addEventListener("change", () => this.#fillRange());
    for (const id of ["from", "to"]) $(id).addEventListener("input", () => { document.querySelector('input[value="own"][name="preset"]').checked = true; });
    $("tenant").addEventListener("change", () => { this.eventTypes([]); this.#changed(); });
    $("filter-column").addEventListener("change", () => this.#valueField());
    $("filter-add").addEventListener("click", () => this.#add());
  }

  // A new session: who it is, and the columns there are.
  open(me, columns) {
    this.#columns = new Map(columns.map((column) => [column.name, column]));
    this.#filters = [];
    this.#types = [];
    $("tenant").replaceChildren(...me.tenants.map((tenant) => el("option", { value: tenant }, tenant)));
    const option = (name) => el("option", { value: name }, label(name));
    const more = columns.filter((c) => c.filterable && !FIRST.includes(c.name) && c.type !== "unsigned").map((c) => option(c.name));
    $("filter-column").replaceChildren(...FIRST.map(option), el("optgroup", { label: "More columns" }, ...more));
    this.#fillRange();
    this.#valueField();
    this.#drawFilters();
  }

  get tenant() { return $("tenant").value; }

  // A preset's range ends now from here on.
  renew() { this.#fillRange(); }

  // What is asked for, as the fields say. Throws Problem where it cannot be asked for.
  read() {
    const [from, to] = [ofField($("from").value), ofField($("to").value)];
    if (!from || !to) throw new Problem(0, "The range is not complete.", "Give both its ends, with date and time in UTC.");
    if (from >= to) throw new Problem(0, "The range ends before it begins.", "Give a later end, or an earlier begin.");
    return { tenant: this.tenant, from, to, time: chosen("time"), filters: this.#filters.map((f) => ({ ...f })) };
  }

  // Filters as the extract's request has them: column → values of the column's kind.
  typed(filters) {
    const typed = {};
    for (const { column, value } of filters) (typed[column] ??= []).push(this.#typedValue(column, value));
    return typed;
  }

  // Event types there are, for the choice of values: [{event_type, events}].
  eventTypes(types) {
    this.#types = types;
    if ($("filter-column").value === "event_type") this.#valueField();
  }

  #typedValue(column, value) {
    const kind = this.#columns.get(column)?.type;
    if (kind === "boolean") return value === "true";
    return kind === "integer" || kind === "number" ? Number(value) : value;
  }

  #fillRange() {
    const range = preset(chosen("preset"), Date.now());
    if (range === null) return;
    $("from").value = toField(range.from);
    $("to").value = toField(range.to);
  }

  #valueField() {
    const column = $("filter-column").value;
    const kind = this.#columns.get(column)?.type;
    const options = column === "event_type" ? this.#types.map((t) => t.event_type)
      : column === "outcome" ? OUTCOMES : kind === "boolean" ? ["true", "false"] : null;
    const keep = $("filter-value")?.value ?? "";
    const field = kind === "boolean" || column === "outcome"
      ? el("select", { id: "filter-value" }, ...options.map((o) => el("option", { value: o }, o)))
      : el("input", { id: "filter-value", type: kind === "integer" || kind === "number" ? "number" : "text", step: "any",
        maxlength: 1024, autocomplete: "off", list: options ? "filter-values" : null,
        onkeydown: (event) => { if (event.key === "Enter") { event.preventDefault(); this.#add(); } } });
    if (column === "event_type" && field.tagName === "INPUT") field.value = options.includes(keep) ? keep : "";
    const list = options && field.tagName === "INPUT"
      ? el("datalist", { id: "filter-values" }, ...options.map((o) => el("option", { value: o }))) : null;
    $("filter-value-place").replaceChildren(field, ...(list ? [list] : []));
  }

  #add() {
    const field = $("filter-value");
    const filter = { column: $("filter-column").value, value: field.value };
    const kind = this.#columns.get(filter.column)?.type;
    if ((kind === "integer" || kind === "number") && filter.value === "") return field.focus();
    if (!this.#filters.some((f) => f.column === filter.column && f.value === filter.value)) this.#filters.push(filter);
    if (field.tagName === "INPUT") field.value = "";
    this.#drawFilters();
    field.focus();
  }

  #drawFilters() {
    const chip = (filter, index) => el("li", { class: "chip" }, filterText(filter),
      el("button", { type: "button", "aria-label": `Remove the filter ${filterText(filter)}`, onclick: () => this.#remove(index) }, "×"));
    const none = el("li", { class: "hint" }, "None: every event of the range.");
    $("filter-list").replaceChildren(...(this.#filters.length ? this.#filters.map(chip) : [none]));
  }

  #remove(index) {
    this.#filters.splice(index, 1);
    this.#drawFilters();
    $("filter-column").focus();
  }
}

const filterText = ({ column, value }) => `${label(column)}: ${value === "" ? "(empty)" : value}`;

// A selection, or the query of an extract, in one sentence.
export function sentence({ tenant, from, to, time, filters }) {
  const listed = Array.isArray(filters) ? filters : Object.entries(filters ?? {}).flatMap(([column, values]) =>
    [values].flat().map((value) => ({ column, value: String(value) })));
  const by = time === "ingested" ? "ingested" : "that happened";
  const where = listed.length ? `, with ${listed.map(filterText).join("; ")}` : "";
  const range = from ? ` ${by} from ${moment(from)} to ${moment(to)} UTC` : ` by the time of ${time === "ingested" ? "ingest" : "the event"}`;
  return `Events of ${tenant}${range}${where}`;
}
