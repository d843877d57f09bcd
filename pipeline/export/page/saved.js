// Saved extracts: what to extract, kept under a name, started by hand or by a schedule.

import { Problem } from "./api.js";
import { $, announce, clearProblem, confirmed, el, plural, showProblem, time } from "./dom.js";
import { sentence } from "./selection.js";

const EVERY = { day: "Every day, for the day before", week: "Every week, for the week before", month: "Every month, for the month before" };

export class Saved {
  #api;
  #selection;
  #extracts;
  #round = 0;

  constructor(api, selection, extracts) {
    [this.#api, this.#selection, this.#extracts] = [api, selection, extracts];
    $("save-definition").addEventListener("click", () => this.#save());
    $("definition-name").addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); this.#save(); }
    });
  }

  clear() {
    this.#round += 1;
    $("saved-list").replaceChildren();
    $("no-saved").hidden = true;
  }

  async show() {
    this.clear();
    const round = this.#round;
    try {
      const { from, to } = this.#selection.read();
      $("saved-range").replaceChildren("“Run now” takes the range of the selection: from ", time(from), " to ", time(to), " UTC.");
    } catch (problem) {
      $("saved-range").textContent = `${problem.error} ${problem.whatToDo}`;
    }
    try {
      const mine = await this.#ofTenant(this.#selection.tenant);
      if (round !== this.#round) return;
      $("saved-list").replaceChildren(...mine.map((one) => this.#item(one)));
      $("no-saved").hidden = mine.length > 0;
    } catch (problem) {
      if (round === this.#round) showProblem(problem);
    }
  }

  async #ofTenant(tenant) {
    const found = [];
    for (let cursor = null, first = true; cursor || first; first = false) {
      const page = await this.#api.get("/v1/definitions", { limit: 100, cursor });
      found.push(...page.definitions.filter((one) => one.tenant === tenant));
      cursor = page.next_cursor;
    }
    return found;
  }

  async #save() {
    clearProblem();
    const name = $("definition-name").value.trim();
    if (!name) {
      $("definition-name").focus();
      return showProblem(new Problem(0, "The saved extract has no name.", "Give it one, such as “Denied calls for the auditor”."));
    }
    try {
      const { tenant, time: kind, filters } = this.#selection.read();
      const every = $("schedule").value;
      const body = { name, tenant, time: kind, filters: this.#selection.typed(filters), ...this.#extracts.form(), schedule: every ? { every } : null };
      await this.#api.post("/v1/definitions", body);
      $("definition-name").value = "";
      location.hash = "#saved";
      announce(`${name} was saved.`);
    } catch (problem) {
      showProblem(problem);
    }
  }

  #item(one) {
    const title = `definition-${one.id}`;
    const { query, schedule } = one;
    const when = schedule ? EVERY[schedule.every] : "No schedule";
    return el("li", { "data-definition": one.id },
      el("h3", { id: title }, one.name),
      el("p", null, `${sentence({ ...query, tenant: one.tenant })}.`),
      el("p", { class: "sub" }, `${when} · ${query.format.toUpperCase()}, ${plural(query.columns.length, "column")} · saved by ${one.principal} at `, time(one.created_at), " UTC"),
      schedule?.stopped ? el("p", { class: "problem-error" }, `The schedule has ended: ${schedule.stopped}`) : null,
      el("div", { class: "actions" },
        el("button", { type: "button", "aria-describedby": title, onclick: () => this.#run(one) }, "Run now"),
        el("button", { type: "button", class: "danger", "aria-describedby": title, onclick: () => this.#delete(one) }, "Delete…")));
  }

  async #run(one) {
    clearProblem();
    try {
      const { from, to } = this.#selection.read();
      await this.#extracts.begin(`/v1/definitions/${encodeURIComponent(one.id)}/extracts`, { from, to });
      location.hash = "#extracts";
    } catch (problem) {
      showProblem(problem);
    }
  }

  async #delete(one) {
    clearProblem();
    if (!await confirmed(`Delete “${one.name}”? Its extracts stay.`, "Delete")) return;
    try {
      await this.#api.remove(`/v1/definitions/${encodeURIComponent(one.id)}`);
      await this.show();
      announce(`${one.name} was deleted.`);
      $("title").focus();
    } catch (problem) {
      showProblem(problem);
    }
  }
}
