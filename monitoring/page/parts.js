// What several charts are made of.

import { draw, element, legend } from "./elements.js";

/** One chart with its title and what it says in words. */
export function card(name, note, ...parts) {
  return element(
    "section",
    { class: "card" },
    element("h2", {}, name),
    element("p", { class: "note" }, note),
    ...parts,
  );
}

export function versionsLegend(figures, colour) {
  return figures.versions.length > 1
    ? legend(figures.versions.map((version) => [colour(version.name), version.name]))
    : null;
}

/** Bars of the versions on each other, by period. */
export function stacks(figures, frame, at, size, kind) {
  const base = new Map(),
    total = totals(figures);
  return figures.steps.map((step) => {
    const from = base.get(step.since) ?? 0,
      to = from + size(step, total.get(step.since)),
      x = frame.x(step.since);
    base.set(step.since, to);
    const width = Math.max(1, frame.x(Math.min(step.since + figures.period, frame.until)) - x - 1);
    return draw("rect", { class: `bar ${kind(step)}`, x, y: at(to), width, height: at(from) - at(to) });
  });
}

export function totals(figures) {
  const found = new Map();
  for (const step of figures.steps) found.set(step.since, (found.get(step.since) ?? 0) + step.predictions);
  return found;
}

export const during = (figures, time) =>
  figures.steps.filter((step) => step.since <= time && time < step.since + figures.period);

export function nearest(list, field, time) {
  return list.reduce(
    (best, one) => (best && Math.abs(best[field] - time) <= Math.abs(one[field] - time) ? best : one),
    null,
  );
}

export function sum(list, field) {
  return list.reduce((total, one) => total + (field ? one[field] : one), 0);
}
