// Charts over time of the service: alerts, traffic, latency.

import { dots, linear, path } from "./charts.js";
import { draw, folded, legend } from "./elements.js";
import { card, during, stacks, sum, totals } from "./parts.js";
import { SECOND, count, many, milliseconds, moment, sentences } from "./words.js";

const LANES = 12,
  LANE = 30; // of alerts, and pixels for one

export function alerts({ figures, frame }) {
  const shown = figures.alerts;
  const keys = [...new Set(shown.map((alert) => `${alert.detector} of ${alert.version}`))].slice(0, LANES);
  const lane = (alert) => keys.indexOf(`${alert.detector} of ${alert.version}`);
  const firing = figures.alerts.filter((alert) => alert.resolved === null).length;
  const note = firing ? `${many(firing, "alert")} firing.` : shown.length ? "None is firing." : "None in this time.";
  const plot = frame.chart({
    name: `Alerts over time: ${note}`,
    height: Math.max(1, keys.length) * LANE,
    y: { place: (row) => 1 - row / Math.max(1, keys.length), ticks: [] },
    label: true,
    plain: true,
    fill: (at) =>
      shown
        .filter((alert) => lane(alert) >= 0)
        .flatMap((alert) => {
          const from = frame.x(Math.max(alert.since, frame.since)),
            to = frame.x(alert.resolved ?? frame.until);
          const y = at(lane(alert)) + 17,
            width = Math.max(4, to - from),
            end = from > frame.width * 0.55;
          const box = draw("rect", {
            class: `span ${alert.resolved === null ? "firing" : "over"}`,
            x: from,
            y,
            width,
            height: 9,
            rx: 4,
          });
          const words = draw(
            "text",
            { class: "lane", x: end ? to : from, y: y - 4, "text-anchor": end ? "end" : "start" },
            keys[lane(alert)],
          );
          return [box, words];
        }),
    read: (time) =>
      shown
        .filter((alert) => alert.since <= time && time <= (alert.resolved ?? figures.now))
        .map((alert) => [`${alert.number}: ${alert.detector} of ${alert.version}`, ""]),
  });
  const table = () => ({
    head: ["number", "detector", "version", "raised", "over", "what"],
    rows: figures.alerts.map((alert) => [
      alert.number,
      alert.detector,
      alert.version,
      moment(alert.since),
      alert.resolved === null ? "firing" : `${moment(alert.resolved)}, ${alert.why}`,
      alert.text,
    ]),
  });
  return card("Alerts and versions", note, plot, folded("alerts", table));
}

export function traffic({ figures, frame, colour }) {
  const seconds = figures.period / SECOND,
    most = Math.max(1e-9, ...Array.from(totals(figures).values(), (total) => total / seconds));
  const rate = (number) => `${number >= 10 || number === 0 ? count(Math.round(number)) : number.toPrecision(2)} /s`;
  const others = figures.others ? `, and those of ${many(figures.others, "older version")} that are not shown` : "";
  const note = `${many(sum(figures.versions, "predictions"), "prediction")} in this time${others}.`;
  const plot = frame.chart({
    name: `Predictions a second over time. ${note}`,
    height: 80,
    y: linear(
      0,
      most,
      (number) => (number >= 10 || number === 0 ? count(number) : String(Number(number.toPrecision(2)))),
      3,
    ),
    fill: (at) =>
      stacks(
        figures,
        frame,
        at,
        (step) => step.predictions / seconds,
        (step) => colour(step.version),
      ),
    read: (time) =>
      during(figures, time).map((step) => [
        `${step.version}: ${rate(step.predictions / seconds)}`,
        colour(step.version),
      ]),
  });
  const table = () => ({
    head: ["from", "version", "predictions"],
    rows: figures.steps.toReversed().map((step) => [moment(step.since), step.version, count(step.predictions)]),
  });
  return card("Traffic, predictions a second", note, plot, folded("traffic", table));
}

export function latency({ figures, frame }) {
  if (!figures.answers) return card("Latency", "No service has measured it here: make serve does, and keeps it.");
  const { since, periods } = figures.answers,
    kinds = ["half", "tenth", "hundredth"],
    names = ["50 %", "90 %", "99 %"];
  const from = since ? ` since ${moment(Math.max(since, figures.since))}` : "";
  const note = sentences(
    `${many(sum(periods, "answers"), "answer")} of /v1/predict measured${from},`,
    `${many(sum(periods, "failed"), "failure")} (5xx), ${count(sum(periods, "refused"))} refused (4xx).`,
    "From header to answer; estimated out of the buckets of the Prometheus histogram.",
  );
  const most = 1000 * Math.max(0.001, ...periods.map((period) => period.seconds.at(-1)));
  const plot = frame.chart({
    name: `Latency over time. ${note}`,
    height: 90,
    y: linear(0, most, (number) => `${Number(number.toPrecision(3))}`, 3),
    fill: (at) =>
      kinds.flatMap((kind, index) => {
        const places = periods.map((period) => [
          frame.x(Math.min(period.since + figures.period / 2, figures.now)),
          at(1000 * period.seconds[index]),
        ]);
        const next = (place) => periods[place].since - periods[place - 1].since <= figures.period;
        return [path(places, kind, next), dots(places, 2, kind)];
      }),
    read: (time) => {
      const period = periods.find((one) => one.since <= time && time < one.since + figures.period);
      return period
        ? [
            [`${many(period.answers, "answer")}, ${count(period.failed)} failed`, ""],
            ...period.seconds.map((one, index) => [`${names[index]} within ${milliseconds(one)}`, kinds[index]]),
          ]
        : [];
    },
  });
  const table = () => ({
    head: ["from", "answers", "5xx", "4xx", ...names],
    rows: periods
      .toReversed()
      .map((period) => [
        moment(period.since),
        count(period.answers),
        period.failed,
        period.refused,
        ...period.seconds.map(milliseconds),
      ]),
  });
  return card(
    "Latency, milliseconds",
    note,
    legend(kinds.map((kind, index) => [`${kind} line`, `${names[index]} within`])),
    plot,
    folded("latency", table),
  );
}
