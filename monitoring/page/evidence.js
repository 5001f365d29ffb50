// Charts over time of what monitoring found: accuracy by labels, p-values, the evidence of concept drift.

import { dots, evidence, limit, linear, path } from "./charts.js";
import { draw, element, folded, legend } from "./elements.js";
import { card, during, nearest, stacks, sum, versionsLegend } from "./parts.js";
import { count, many, moment, percent, probability, sentences } from "./words.js";

const FLOOR = 1e-10; // of p-values: less is drawn there
const THINNED = "Of what is older than 15 minutes, the highest of each period is kept.";
const TESTS = [
  ["data drift", "joint line", "data drift, all three together"],
  ["softmax outputs", "softmax small", "softmax outputs"],
  ["image statistics", "statistics small", "image statistics"],
  ["tail count", "tail small", "tail count"],
  ["label shift", "shift", "label shift"],
  ["accuracy", "correct", "accuracy"],
];

export function accuracy({ figures, frame, colour }) {
  const steps = figures.steps.filter((step) => step.labelled);
  const labelled = sum(figures.versions, "labelled"),
    all = sum(figures.versions, "predictions"),
    right = sum(figures.versions, "right");
  const note = labelled
    ? sentences(
        `${percent(right / labelled)} of ${many(labelled, "labelled prediction")} right,`,
        "dots with 95 % intervals (Wilson) by when the prediction was made.",
        `${percent(labelled / all)} of predictions have a label; they are taken for a random sample.`,
      )
    : all
      ? `No true labels: none of ${many(all, "prediction")} has one yet, so nobody knows.`
      : "No predictions in this time.";
  const least = Math.min(figures.thresholds.accuracy, ...steps.map((step) => step.right / step.labelled));
  const low = [0.95, 0.9, 0.8, 0.5].find((bound) => bound < least) ?? 0;
  const middle = (step) => frame.x(step.since + figures.period / 2);
  const plot = frame.chart({
    name: `Accuracy over time. ${note}`,
    height: 150,
    y: linear(low, 1, (share) => `${Math.round(100 * share)} %`, low === 0.95 ? 5 : 4),
    fill: (at) => [
      ...figures.versions.flatMap((version) => {
        const own = steps.filter((step) => step.version === version.name);
        const place = (step) => [middle(step), at(step.right / step.labelled)];
        const whisker = (step) => `M${middle(step)} ${at(step.accuracy_95[0])}V${at(step.accuracy_95[1])}`;
        const next = (index) => own[index].since - own[index - 1].since <= figures.period;
        return [
          draw("path", { class: `whiskers ${colour(version.name)}`, d: own.map(whisker).join("") }),
          path(own.map(place), colour(version.name), next),
          dots(own.map(place), 3, colour(version.name)),
        ];
      }),
      ...limit(frame, at(figures.thresholds.accuracy), `${percent(figures.thresholds.accuracy, 0)} asked for`),
    ],
    read: (time) =>
      during(figures, time)
        .filter((step) => step.labelled)
        .map((step) => {
          const ends = step.accuracy_95.map((end) => percent(end)).join(" to ");
          const share = percent(step.right / step.labelled);
          return [`${step.version}: ${share} of ${count(step.labelled)}, ${ends}`, colour(step.version)];
        }),
  });
  const covered = frame.chart({
    name: "Share of predictions with a true label over time",
    height: 40,
    y: linear(0, 1, (share) => `${100 * share} %`, 1),
    fill: (at) =>
      stacks(
        figures,
        frame,
        at,
        (step, total) => step.labelled / total,
        () => "covered",
      ),
    read: (time) => {
      const here = during(figures, time);
      return here.length ? [[`${percent(sum(here, "labelled") / sum(here, "predictions"))} with a label`, ""]] : [];
    },
  });
  const table = () => ({
    head: ["from", "version", "predictions", "with a label", "right", "accuracy", "95 % interval"],
    rows: figures.steps
      .toReversed()
      .map((step) => [
        moment(step.since),
        step.version,
        count(step.predictions),
        count(step.labelled),
        count(step.right),
        percent(step.labelled ? step.right / step.labelled : null),
        step.accuracy_95 ? step.accuracy_95.map((end) => percent(end)).join(" to ") : "–",
      ]),
  });
  const title = element("h3", {}, "Label coverage");
  return card("Accuracy", note, versionsLegend(figures, colour), plot, title, covered, folded("accuracy", table));
}

export function evidences({ figures, frame, chosen }) {
  const windows = figures.windows.filter((window) => window.version === chosen);
  const tests = figures.labels.filter((test) => test.version === chosen && test.p_value !== null);
  const { warn, alert } = figures.thresholds;
  const points = (name) =>
    name === "accuracy"
      ? tests.map((test) => [test.time, test.p_value])
      : windows.filter((window) => name in window.p_values).map((window) => [window.until, window.p_values[name]]);
  const unknown = windows.filter((window) => window.note);
  const judged = windows.length - unknown.length;
  const note =
    windows.length || tests.length
      ? sentences(
          `${many(judged, "window")} of ${chosen} judged, each by what is usual for its version;`,
          "higher is harder to explain by chance.",
          unknown.length && `${many(unknown.length, "window")} not judged: ${unknown.at(-1).note}.`,
          tests.length && "Of accuracy's older ones, the lowest of each period are kept.",
          figures.kept_since > figures.since && `Windows older than of ${moment(figures.kept_since)} are not kept.`,
        )
      : `No window of ${chosen ?? "any version"} is over yet in this time: too little data.`;
  const near = (time, point) => Math.abs(point - time) < (frame.until - frame.since) / 60;
  const plot = frame.chart({
    name: `P-values over windows. ${note}`,
    height: 190,
    y: evidence(FLOOR),
    fill: (at, { top }) => [
      draw("rect", {
        class: "zone",
        x: frame.x(frame.since),
        y: top,
        width: frame.x(frame.until) - frame.x(frame.since),
        height: at(alert) - top,
      }),
      ...limit(frame, at(warn), `WARN ${warn}`, "warn"),
      ...limit(frame, at(alert), `ALERT ${alert}`, "alert"),
      ...TESTS.toReversed().flatMap(([name, kind]) => {
        const places = points(name).map(([time, p]) => [frame.x(time), at(p)]);
        const next = (place) => places[place][0] - places[place - 1][0] < frame.width / 15; // no gap in traffic
        return [
          kind.includes("line") ? path(places, kind, next) : null,
          dots(places, kind.includes("small") ? 1.8 : 3, kind),
        ];
      }),
    ],
    read: (time) => {
      const window = nearest(windows, "until", time);
      const test = nearest(tests, "time", time);
      const of = (name) => TESTS.find(([known]) => known === name)?.[1] ?? "";
      return [
        ...(window && near(time, window.until)
          ? [
              [`${many(window.n, "prediction")}${window.feature && `, most unusual: ${window.feature}`}`, ""],
              ...(window.note ? [[window.note, ""]] : []),
              ...Object.entries(window.p_values).map(([name, p]) => [`${name}: p = ${probability(p)}`, of(name)]),
            ]
          : []),
        ...(test && near(time, test.time) ? [[`accuracy: p = ${probability(test.p_value)}`, "correct"]] : []),
      ];
    },
  });
  const table = () => ({
    head: ["to", "predictions", "ended by", "level", ...TESTS.map(([name]) => name), "note"],
    rows: [
      ...windows.map((window) => [
        window.until,
        window.n,
        window.end,
        window.level,
        ...TESTS.map(([name]) => probability(window.p_values[name])),
        window.note,
      ]),
      ...tests.map((test) => [
        test.time,
        test.n,
        "labels",
        "",
        ...TESTS.map(([name]) => (name === "accuracy" ? probability(test.p_value) : "–")),
        "",
      ]),
    ]
      .sort((one, other) => other[0] - one[0])
      .map(([time, ...others]) => [moment(time), ...others]),
  });
  const signs = legend(TESTS.map(([, kind, words]) => [kind, words]));
  return card("P-values", note, signs, plot, folded("evidence", table));
}

export function errors({ figures, frame, colour }) {
  const tests = figures.labels.filter((test) => test.detector === "concept drift"),
    { cusum } = figures.thresholds;
  const last = tests.at(-1);
  const note = last
    ? `Evidence that errors have become frequent, by labels as they come; at ${cusum} it is an alert. ${THINNED}`
    : "No true labels have come in this time: too little data.";
  const plot = frame.chart({
    name: `Evidence of more errors over time. ${note}`,
    height: 70,
    y: linear(0, cusum * 1.25, String, 2),
    fill: (at) => [
      ...limit(frame, at(cusum), `ALERT ${cusum}`, "alert"),
      ...figures.versions.flatMap((version) => {
        const places = tests
          .filter((test) => test.version === version.name)
          .map((test) => [frame.x(test.time), at(test.statistic)]);
        return [path(places, colour(version.name)), dots(places, 2, colour(version.name))];
      }),
    ],
    read: (time) => {
      const test = nearest(tests, "time", time);
      return test
        ? [[`${test.version}: ${test.statistic.toFixed(1)} after ${many(test.n, "label")}`, colour(test.version)]]
        : [];
    },
  });
  const table = () => ({
    head: ["time", "version", "evidence", "labels so far", "error rate since it was nil"],
    rows: tests
      .toReversed()
      .map((test) => [moment(test.time), test.version, test.statistic.toFixed(2), count(test.n), percent(test.effect)]),
  });
  return card("Concept drift", note, plot, folded("errors", table));
}
