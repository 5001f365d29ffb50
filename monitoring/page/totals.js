// Charts of the whole span: classes and their precision and recall, and how sure the model was.

import { linear } from "./charts.js";
import { DIGITS } from "./classes.js";
import { draw, folded, legend } from "./elements.js";
import { card, sum } from "./parts.js";
import { count, many, percent, sentences } from "./words.js";

const LEFT = 46,
  RIGHT = 10,
  TOP = 8;

/** How often each class was predicted, beside the reference. */
export function shares({ version, width }) {
  const total = version.predictions,
    size = version.reference && sum(version.reference);
  const beside = size ? `lines: of ${count(size)} images of its reference` : version.note;
  const note = total
    ? `Of ${many(total, "prediction")} of ${version.name}; ${beside}.`
    : `${version.name} predicted nothing in this time.`;
  const ours = DIGITS.map((digit) => (total ? version.predicted[digit] / total : 0));
  const usual = size ? DIGITS.map((digit) => version.reference[digit] / size) : null;
  const table = sharesTable("class", DIGITS, version.predicted, total ? ours : null, usual);
  return card(
    "Predicted classes, in all",
    note,
    bars("Share of each predicted class", width, DIGITS, ours, usual),
    folded("shares", table),
  );
}

/** The same figures as a table: how many, which share, and which share of the reference. */
function sharesTable(what, names, counts, ours, usual) {
  return () => ({
    head: [what, "predictions", "share", "reference"],
    rows: names.map((name, place) => [
      name,
      count(counts[place] ?? 0),
      percent(ours ? ours[place] : null),
      usual ? percent(usual[place]) : "–",
    ]),
  });
}

/** How sure the model said it was, beside the reference. */
export function confidence({ version, width, edges }) {
  const total = sum(version.sure),
    size = version.reference_sure && sum(version.reference_sure);
  const names = edges.map((edge) => `≤ ${100 * edge} %`).concat(`> ${100 * edges.at(-1)} %`);
  const beside = size ? "; lines: of the reference" : "";
  const note = sentences(
    total && `Highest probability of each of the newest ${many(total, "prediction")}${beside}.`,
    "No estimate of accuracy: under drift a model can stay sure and be wrong.",
  );
  const ours = names.map((_, part) => (total ? version.sure[part] / total : 0));
  const usual = size ? version.reference_sure.map((number) => number / size) : null;
  const table = sharesTable("confidence", names, version.sure, total ? ours : null, usual);
  return card(
    "Confidence",
    note,
    bars("Share of predictions by confidence", width, names, ours, usual),
    folded("confidence", table),
  );
}

/** Precision and recall of each class, with intervals. */
export function byClass({ version, width }) {
  const known = version.labelled > 0;
  const note = known
    ? `By ${many(version.labelled, "label")} of ${version.name}, with 95 % intervals (Wilson).`
    : `No true label for ${version.name} in this time: nobody knows.`;
  const row = 24,
    height = row * DIGITS.length,
    right = (one, of) => (of ? one.right / of : null);
  const figures = version.classes
    .flatMap((one) => [right(one, one.predicted), right(one, one.actual)])
    .filter((share) => share !== null);
  const low = [0.9, 0.8, 0.5, 0].find((bound) => bound <= Math.min(1, ...figures) - 0.02) ?? 0;
  const x = (share) => LEFT + (width - LEFT - RIGHT) * Math.min(Math.max((share - low) / (1 - low), 0), 1);
  const dot = (share, interval, y, kind) =>
    share === null
      ? []
      : [
          draw("line", { class: `whiskers ${kind}`, x1: x(interval[0]), x2: x(interval[1]), y1: y, y2: y }),
          draw("circle", { class: `dots ${kind}`, cx: x(share), cy: y, r: 3.5 }),
        ];
  const scale = linear(low, 1, (share) => `${Math.round(100 * share)} %`, 4);
  const picture = draw(
    "svg",
    {
      class: "chart",
      width,
      height: TOP + height + 22,
      role: "img",
      "aria-label": `Precision and recall by class. ${note}`,
    },
    ...scale.ticks.flatMap(({ value, words }) => [
      draw("line", { class: "grid", x1: x(value), x2: x(value), y1: TOP, y2: TOP + height }),
      draw(
        "text",
        { class: "tick", x: x(value), y: TOP + height + 16, "text-anchor": value > 0.99 ? "end" : "middle" },
        words,
      ),
    ]),
    ...DIGITS.flatMap((digit) => {
      const one = version.classes[digit],
        y = TOP + row * (digit + 0.5);
      return [
        draw("text", { class: "tick", x: LEFT - 12, y: y + 4, "text-anchor": "end" }, String(digit)),
        ...dot(right(one, one.predicted), one.precision_95, y - 4, "precision"),
        ...dot(right(one, one.actual), one.recall_95, y + 4, "recall"),
      ];
    }),
  );
  const ends = (interval) => (interval ? interval.map((end) => percent(end)).join(" to ") : "–");
  const table = () => ({
    head: ["class", "labels", "read as it", "right", "precision", "95 % interval", "recall", "95 % interval"],
    rows: version.classes.map((one, digit) => [
      digit,
      one.actual,
      one.predicted,
      one.right,
      percent(right(one, one.predicted)),
      ends(one.precision_95),
      percent(right(one, one.actual)),
      ends(one.recall_95),
    ]),
  });
  return card(
    "Precision and recall, in all",
    note,
    known
      ? legend([
          ["precision", "precision"],
          ["recall", "recall"],
        ])
      : null,
    known ? picture : null,
    folded("classes", table),
  );
}

/** Upright bars, each with its name, and a line across where it would usually end. */
function bars(name, width, names, ours, usual) {
  const height = 150,
    most = Math.max(0.05, ...ours, ...(usual ?? [])),
    y = linear(0, most, (share) => `${Number((100 * share).toFixed(1))} %`, 3);
  const at = (share) => TOP + height * (1 - y.place(share)),
    wide = (width - LEFT - RIGHT) / names.length;
  const slanted = wide < 52 && String(names[0]).length > 2;
  const below = slanted ? 58 : 22;
  return draw(
    "svg",
    { class: "chart", width, height: TOP + height + below, role: "img", "aria-label": name },
    ...y.ticks.flatMap(({ value, words }) => [
      draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: at(value), y2: at(value) }),
      draw("text", { class: "tick", x: LEFT - 8, y: at(value) + 4, "text-anchor": "end" }, words),
    ]),
    ...names.flatMap((words, place) => {
      const x = LEFT + wide * place,
        middle = x + wide / 2,
        bottom = TOP + height;
      const turned = slanted
        ? { "text-anchor": "end", transform: `rotate(-50 ${middle + 4} ${bottom + 12})`, x: middle + 4, y: bottom + 12 }
        : { "text-anchor": "middle", x: middle, y: bottom + 16 };
      const title = draw(
        "title",
        {},
        `${words}: ${percent(ours[place])}${usual ? `, usually ${percent(usual[place])}` : ""}`,
      );
      return [
        draw(
          "rect",
          {
            class: "bar ours",
            x: x + wide * 0.14,
            y: at(ours[place]),
            width: wide * 0.72,
            height: bottom - at(ours[place]),
          },
          title,
        ),
        usual
          ? draw("line", {
              class: "usual",
              x1: x + wide * 0.06,
              x2: x + wide * 0.94,
              y1: at(usual[place]),
              y2: at(usual[place]),
            })
          : null,
        draw("text", { class: "tick", ...turned }, String(words)),
      ];
    }),
  );
}
