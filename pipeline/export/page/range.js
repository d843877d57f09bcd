// Ranges of time, half-open and in UTC.

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

const iso = (milliseconds) => new Date(milliseconds).toISOString().replace(/\.\d+Z$/, "Z");

// The range of a preset at `now` (milliseconds since 1970) as ISO texts; null for "own".
export function preset(name, now) {
  const today = new Date(now);
  const month = (offset) => Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + offset, 1);
  const end = Math.ceil(now / 1000) * 1000;
  switch (name) {
    case "day": return { from: iso(end - DAY), to: iso(end) };
    case "week": return { from: iso(end - 7 * DAY), to: iso(end) };
    case "month": return { from: iso(month(0)), to: iso(month(1)) };
    case "last-month": return { from: iso(month(-1)), to: iso(month(0)) };
    default: return null;
  }
}

// ISO text ↔ value of a datetime-local field, both UTC.
export const toField = (text) => text.slice(0, 19);
export const ofField = (value) => (value ? `${value.length === 16 ? `${value}:00` : value}Z` : "");

const STEPS = [60e3, 300e3, 900e3, 1800e3, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 91 * DAY, 365 * DAY];

// Moments (milliseconds) for the labels of a time axis, at most `most` of them, and the step between them.
export function timeTicks(start, end, most) {
  const step = STEPS.find((one) => (end - start) / one <= most) ?? 3650 * DAY;
  const ticks = [];
  for (let at = Math.ceil(start / step) * step; at < end; at += step) ticks.push(at);
  return { step, ticks };
}

// A label for the axis: the time of day where steps are shorter than a day, with the date at midnight.
export function tickLabel(at, step) {
  const date = new Date(at);
  const day = date.toLocaleDateString("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
  if (step >= 300 * DAY) return String(date.getUTCFullYear());
  if (step >= 28 * DAY) return date.toLocaleDateString("en-GB", { month: "short", year: "numeric", timeZone: "UTC" });
  return step >= DAY || at % DAY === 0 ? day : date.toISOString().slice(11, 16);
}

// Numbers for the labels of a count axis from 0 to at least `highest`.
export function countTicks(highest, most = 4) {
  const rough = Math.max(highest, 1) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 5, 10].map((f) => f * power).find((s) => s >= rough));
  return Array.from({ length: Math.ceil(Math.max(highest, 1) / step) + 1 }, (_, i) => i * step);
}
