// Small helpers around the document. Whatever comes from data goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

export const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
export const svg = (tag, attributes, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

// Says something to screen readers. The text is emptied first, so that the same sentence is said twice.
export function announce(text) {
  const live = $("live");
  live.textContent = "";
  requestAnimationFrame(() => { live.textContent = text; });
}

// Shows what went wrong and what to do about it; once, where somebody has told it already.
export function showProblem(problem) {
  if (problem.told) return;
  const place = $("problem");
  place.replaceChildren(
    el("p", { class: "problem-error" }, problem.error ?? `The page made a mistake: ${problem}`),
    ...(problem.whatToDo ? [el("p", null, problem.whatToDo)] : []),
    el("button", { type: "button", class: "quiet", onclick: clearProblem }, "Dismiss"),
  );
  place.hidden = false;
}

export function clearProblem() {
  $("problem").hidden = true;
  $("problem").replaceChildren();
}

// Asks before what cannot be undone; resolves to true or false.
export function confirmed(question, verb) {
  const dialog = $("confirm");
  const answered = (yes) => () => dialog.close(yes ? "yes" : "no");
  dialog.replaceChildren(
    el("h2", { id: "confirm-title" }, question),
    el("div", { class: "actions" },
      el("button", { type: "button", onclick: answered(false) }, "Keep it"),
      el("button", { type: "button", class: "danger", onclick: answered(true) }, verb)),
  );
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const number = (value) => whole.format(value);
export const compact = (value) => short.format(value);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  const step = value < 1000 ? 0 : Math.min(Math.floor(Math.log10(value) / 3), units.length - 1);
  return `${(value / 1000 ** step).toLocaleString("en", { maximumFractionDigits: step ? 1 : 0 })} ${units[step]}`;
}

// "2026-11-02T10:11:12.345678Z" → "2026-11-02 10:11:12" (UTC); the whole text where it is no such time.
export function moment(text, length = 19) {
  if (!text) return "";
  const parsed = new Date(text);
  return Number.isNaN(parsed.getTime()) ? String(text) : parsed.toISOString().replace("T", " ").slice(0, length);
}

export const time = (text, length) => el("time", { datetime: text, title: `${text} (UTC)` }, moment(text, length));

const OUTCOMES = { success: "✓", denied: "⊘", failure: "✕", error: "!" };

// An outcome as symbol and word, so that it does not hang on colour.
export function outcome(value) {
  const kind = value in OUTCOMES ? value : "unknown";
  return el("span", { class: `badge ${kind}` },
    el("span", { "aria-hidden": "true" }, `${OUTCOMES[kind] ?? "?"} `), value || "not stated");
}
