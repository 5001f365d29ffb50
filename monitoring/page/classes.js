// Charts of the ten classes over time: how often each was predicted, and how rightly.

import { rows } from "./charts.js";
import { draw, folded, legend } from "./elements.js";
import { card, sum } from "./parts.js";
import { count, moment, percent, sentences } from "./words.js";

export const DIGITS = Array.from({ length: 10 }, (_, digit) => digit);

export function mix({ figures, frame, chosen }) {
  const version = figures.versions.find((one) => one.name === chosen);
  const reference = version?.reference,
    size = reference && sum(reference);
  const usual = (digit) => (reference[digit] + 0.5) / (size + 5);
  const score = (step, digit) => {
    const expected = usual(digit),
      n = step.predictions;
    return (step.predicted[digit] - n * expected) / Math.sqrt(n * expected * (1 - expected) * (1 + n / size));
  };
  const strength = (step, digit) => {
    if (!reference) return ["more", step.predicted[digit] / step.predictions];
    const z = score(step, digit);
    return [z > 0 ? "more" : "less", Math.abs(z) < 2 ? 0.06 : Math.abs(z) / 8];
  };
  const note = !version
    ? "No predictions in this time."
    : reference
      ? sentences(
          `Predicted classes of ${chosen} against ${count(size)} images of its reference: more often, or less;`,
          "the stronger the colour the less it is chance (from 2 standard deviations on).",
        )
      : `Predicted classes of ${chosen}: ${version.note}.`;
  const say = (step, digit) => {
    const share = `${digit}: ${percent(step.predicted[digit] / step.predictions)}`;
    return reference ? `${share}, usually ${percent(usual(digit))}` : share;
  };
  const read = (step) => DIGITS.map((digit) => [say(step, digit), ""]);
  const signs = legend([
    ["more box", "more than usual"],
    ["less box", "less than usual"],
  ]);
  const cells = (step, digit) => percent(step.predicted[digit] / step.predictions);
  return heat({ figures, frame, chosen }, "Predicted classes", note, strength, read, cells, reference ? signs : null);
}

export const recall = (view) =>
  quality(view, "recall", "Recall by class", "Share of images of a class that were read as it");
export const precision = (view) =>
  quality(view, "precision", "Precision by class", "Share of readings as a class that were it");

function quality(view, field, name, words) {
  const known = view.figures.steps.some((step) => step.version === view.chosen && step.labelled);
  const note = known
    ? `${words}, by labels of ${view.chosen}: the stronger the colour the more errors; grey where no label tells.`
    : "No true labels in this time.";
  const strength = (step, digit) =>
    step[field][digit] === null ? ["unknown", 1] : ["wrong", 0.06 + 1.9 * (1 - step[field][digit])];
  const say = (step, digit) => percent(step[field][digit]);
  const read = (step) => (step.labelled ? DIGITS.map((digit) => [`${digit}: ${say(step, digit)}`, ""]) : []);
  return heat(view, name, note, strength, read, say, null);
}

function heat({ figures, frame, chosen }, name, note, strength, read, say, signs) {
  const steps = figures.steps.filter((step) => step.version === chosen);
  const plot = frame.chart({
    name: `${name} over time. ${note}`,
    height: 150,
    plain: true,
    y: rows(DIGITS.map(String)),
    fill: (at, { top, bottom }) => {
      const tall = (bottom - top) / DIGITS.length,
        paths = new Map(); // one element for all cells of a colour
      for (const step of steps) {
        const x = frame.x(step.since),
          wide = Math.max(1.5, frame.x(Math.min(step.since + figures.period, frame.until)) - x - 0.5);
        for (const digit of DIGITS) {
          const [kind, much] = strength(step, digit),
            key = `${kind} ${Math.min(1, Math.ceil(much * 16) / 16)}`;
          paths.set(key, `${paths.get(key) ?? ""}M${x} ${at(digit) - tall / 2 + 0.5}h${wide}v${tall - 1}h${-wide}z`);
        }
      }
      return Array.from(paths, ([key, d]) =>
        draw("path", { class: `cell ${key.split(" ")[0]}`, "fill-opacity": key.split(" ")[1], d }),
      );
    },
    read: (time) => steps.filter((step) => step.since <= time && time < step.since + figures.period).flatMap(read),
  });
  const table = () => ({
    head: ["from", "predictions", "labels", ...DIGITS.map(String)],
    rows: steps
      .toReversed()
      .map((step) => [
        moment(step.since),
        count(step.predictions),
        count(step.labelled),
        ...DIGITS.map((digit) => say(step, digit)),
      ]),
  });
  return card(name, note, signs, plot, folded(name, table));
}
