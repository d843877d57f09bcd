// Events over time as stacked bars, from the answer of /v1/counts. Colour and pattern both tell the parts apart.

import { compact, el, moment, number, svg } from "./dom.js";
import { countTicks, tickLabel, timeTicks } from "./range.js";

const MOST_PARTS = 7; // more would not be told apart
const HEIGHT = 260;
const LEFT = 48;
const BOTTOM = 26;
const TOP = 14;
const OUTCOME_ORDER = ["success", "denied", "failure", "error", ""];

// Parts of the bars: [{name, style, total, counts}] by outcome (fixed styles) or by event type (the largest, then the rest).
export function parts(counts, by) {
  const merged = new Map();
  for (const series of counts.series) {
    const held = merged.get(series[by]) ?? { key: series[by], total: 0, counts: series.counts.map(() => 0) };
    held.total += series.total;
    series.counts.forEach((n, i) => { held.counts[i] += n; });
    merged.set(series[by], held);
  }
  const all = [...merged.values()];
  if (by === "outcome") return byOutcome(all);
  all.sort((a, b) => b.total - a.total || (a.key < b.key ? -1 : 1));
  const shown = all.length > MOST_PARTS ? [...all.slice(0, MOST_PARTS - 1), rest(all.slice(MOST_PARTS - 1))] : all;
  return shown.map((part, i) => ({ ...part, name: part.name ?? part.key, style: part.name ? "part-rest" : `part-${i}` }));
}

function byOutcome(all) {
  const place = (part) => (OUTCOME_ORDER.includes(part.key) ? OUTCOME_ORDER.indexOf(part.key) : OUTCOME_ORDER.length);
  all.sort((a, b) => place(a) - place(b));
  return all.map((part) => ({
    ...part, name: part.key || "not stated", style: `outcome-${part.key && OUTCOME_ORDER.includes(part.key) ? part.key : "unknown"}`,
  }));
}

function rest(parts) {
  const counts = parts[0].counts.map((_, i) => parts.reduce((sum, part) => sum + part.counts[i], 0));
  return { name: `${parts.length} other types`, total: parts.reduce((sum, part) => sum + part.total, 0), counts };
}

// The legend's items; the pattern's sample is hidden from screen readers, name and total are text.
export const legend = (shown) => shown.map((part) => el("li", null,
  svg("svg", { class: "sample", viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, ...block(part.style, 0, 0, 16, 16)),
  el("span", { class: "legend-name" }, part.name), " ", el("span", { class: "legend-total" }, number(part.total))));

// One block in its colour with its pattern on it.
function block(style, x, y, width, height) {
  const place = { x, y, width, height };
  return [svg("rect", { class: `fill ${style}`, ...place }), svg("rect", { class: "pattern", fill: `url(#pattern-${style})`, ...place })];
}

// What the patterns are made of: lines and dots in the colour of the ground.
const PATTERNS = {
  "part-1": "M0 8L8 0M-2 2L2 -2M6 10L10 6", "part-2": "M0 4H8", "part-3": "M4 0V8", "part-4": "M0 0L8 8M-2 6L2 10M6 -2L10 2",
  "part-5": "M0 4H8M4 0V8", "part-6": "M3 4H5", "part-rest": "M0 0L8 8M0 8L8 0",
  "outcome-denied": "M0 8L8 0M-2 2L2 -2M6 10L10 6", "outcome-failure": "M0 0L8 8M0 8L8 0", "outcome-error": "M0 4H8",
  "outcome-unknown": "M3 4H5",
};

const patterns = () => svg("defs", null, ...Object.entries(PATTERNS).map(([style, path]) =>
  svg("pattern", { id: `pattern-${style}`, width: 8, height: 8, patternUnits: "userSpaceOnUse" },
    svg("path", { class: "pattern-line", d: path }))));

// The plot `width` pixels wide. `selection` has from and to of what `counts` counts.
export function draw(counts, shown, selection, width) {
  const [start, end] = [Date.parse(selection.from), Date.parse(selection.to)];
  const buckets = counts.series[0]?.counts.length ?? 0;
  const sums = Array.from({ length: buckets }, (_, i) => shown.reduce((sum, part) => sum + part.counts[i], 0));
  const ticks = countTicks(Math.max(0, ...sums));
  const frame = {
    start, end, width, step: counts.step_seconds * 1000, highest: ticks.at(-1),
    x: (at) => LEFT + ((at - start) / (end - start)) * (width - LEFT - 8),
    y: (count) => HEIGHT - BOTTOM - (count / ticks.at(-1)) * (HEIGHT - BOTTOM - TOP),
  };
  const text = `Stacked bars: ${number(counts.total)} events from ${moment(selection.from)} to ${moment(selection.to)} UTC`
    + (buckets ? `, at most ${number(Math.max(...sums))} in ${span(counts.step_seconds)}` : "");
  return svg("svg", { role: "img", "aria-label": `${text}. The table below has the numbers.`, viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT },
    patterns(), ...countAxis(frame, ticks), ...timeAxis(frame), ...incomplete(frame, counts),
    ...sums.flatMap((_, i) => bar(frame, shown, i)));
}

function bar(frame, shown, index) {
  const from = frame.start + index * frame.step;
  const [left, right] = [frame.x(from), frame.x(Math.min(from + frame.step, frame.end))];
  const gap = right - left > 4 ? 1 : 0;
  let below = 0;
  const blocks = shown.filter((part) => part.counts[index]).flatMap((part) => {
    const [low, high] = [frame.y(below), frame.y((below += part.counts[index]))];
    return block(part.style, left + gap / 2, high, Math.max(right - left - gap, 0.5), low - high);
  });
  const lines = shown.filter((part) => part.counts[index]).map((part) => `${part.name}: ${number(part.counts[index])}`);
  return blocks.length ? [svg("g", { class: "bar-of" }, svg("title", null, [moment(new Date(from).toISOString(), 16), ...lines].join("\n")), ...blocks)] : [];
}

const countAxis = (frame, ticks) => ticks.flatMap((tick) => [
  svg("line", { class: tick ? "grid" : "axis", x1: LEFT, x2: frame.width - 8, y1: frame.y(tick), y2: frame.y(tick) }),
  svg("text", { class: "tick", x: LEFT - 8, y: frame.y(tick) + 4, "text-anchor": "end" }, compact(tick))]);

function timeAxis(frame) {
  const { step, ticks } = timeTicks(frame.start, frame.end, Math.max(2, Math.floor(frame.width / 64)));
  return ticks.flatMap((at) => [
    svg("line", { class: "axis", x1: frame.x(at), x2: frame.x(at), y1: frame.y(0), y2: frame.y(0) + 4 }),
    svg("text", { class: "tick", x: Math.min(Math.max(frame.x(at), LEFT + 8), frame.width - 24), y: HEIGHT - 6, "text-anchor": "middle" }, tickLabel(at, step))]);
}

// Where the events are not complete yet, the ground is marked and the border has a name.
function incomplete(frame, counts) {
  const until = Date.parse(counts.complete_until ?? "");
  if (counts.complete || Number.isNaN(until)) return [];
  const x = frame.x(Math.min(Math.max(until, frame.start), frame.end));
  const inside = x - LEFT > 120;
  return [
    svg("rect", { class: "incomplete", x, y: TOP, width: Math.max(frame.x(frame.end) - x, 0), height: frame.y(0) - TOP }),
    svg("line", { class: "until", x1: x, x2: x, y1: TOP - 4, y2: frame.y(0) }),
    svg("text", { class: "tick", x: inside ? x - 4 : x + 4, y: TOP - 4, "text-anchor": inside ? "end" : "start" }, "complete up to here")];
}

// 3600 → "1 hour".
export function span(seconds) {
  const [size, name] = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]].find(([s]) => seconds % s === 0 && seconds >= s) ?? [1, "second"];
  return seconds === size ? `one ${name}` : `${number(seconds / size)} ${name}s`;
}

// The same numbers as a table, times without any event left out.
export function table(counts, shown, selection) {
  const start = Date.parse(selection.from);
  const sums = counts.series.length ? counts.series[0].counts.map((_, i) => shown.reduce((sum, part) => sum + part.counts[i], 0)) : [];
  const head = ["From (UTC)", ...shown.map((part) => part.name), "All"];
  const rows = sums.flatMap((sum, i) => (sum ? [el("tr", null,
    el("th", { scope: "row" }, moment(new Date(start + i * counts.step_seconds * 1000).toISOString(), counts.step_seconds % 60 ? 19 : 16)),
    ...shown.map((part) => el("td", { class: "number" }, number(part.counts[i]))), el("td", { class: "number" }, number(sum)))] : []));
  return el("table", null,
    el("caption", null, `Events for each ${span(counts.step_seconds).replace("one ", "")}; times without events are left out`),
    el("thead", null, el("tr", null, ...head.map((text, i) => el("th", { scope: "col", class: i ? "number" : null }, text)))),
    el("tbody", null, ...rows));
}
