// The page of one set of figures. It is drawn anew with the next, and what a person opened or chose stays.

import { Frame } from "./charts.js";
import { mix, precision, recall } from "./classes.js";
import { element } from "./elements.js";
import { accuracy, errors, evidences } from "./evidence.js";
import { alerts, latency, traffic } from "./operation.js";
import { pictures } from "./pictures.js";
import { byClass, confidence, shares } from "./totals.js";
import { SECOND, clock, count, duration, many, moment, percent, probability } from "./words.js";

const COLOURS = 8;

const at = (id) => document.getElementById(id);
const colours = new Map(); // of versions: the same as long as the page is open

let figures = null;
let chosen = null; // by a person; else the version that answered last
let drawn = 0; // the width for which it was

/** Show figures. */
export function show(next) {
  figures = next;
  for (const { name } of figures.versions.toReversed()) {
    if (!colours.has(name)) colours.set(name, `v${colours.size % COLOURS}`);
  }
  render();
}

/** What is wrong with monitoring itself, or with the page; nothing hides it. */
export function warn(words) {
  if (at("warning").textContent !== words) at("warning").textContent = words;
}

new ResizeObserver(() => figures && inner(at("time")) !== drawn && render()).observe(at("time"));

function render() {
  const focused = document.activeElement?.dataset.key;
  const open = new Set(Array.from(document.querySelectorAll("details[open]"), (details) => details.dataset.fold));
  const name = figures.versions.some((version) => version.name === chosen) ? chosen : figures.versions[0]?.name;
  const version = figures.versions.find((one) => one.name === name);
  at("stage").textContent = figures.stage;
  at("looked").replaceChildren(...looked());
  warn(trouble());
  at("versions").replaceChildren(...figures.versions.map((one) => choice(one, one === version)));
  at("standing").replaceChildren(...(version ? standing(version) : []));

  drawn = inner(at("time"));
  const bands = figures.alerts
    .filter((alert) => alert.version === name)
    .map((alert) => [alert.since, alert.resolved ?? figures.now]);
  const marks = figures.changes.map(([time, words]) => [time, words]);
  const frame = new Frame({ since: figures.since, until: figures.now, width: drawn, marks, bands: joined(bands) });
  const view = { figures, frame, chosen: name, colour: (one) => colours.get(one) ?? "v0" };
  at("time").replaceChildren(
    ...[alerts, accuracy, evidences, errors, traffic, latency, mix, recall, precision].map((chart) => chart(view)),
  );
  frame.restore();
  const whole = version && { version, width: third(drawn), edges: figures.edges };
  at("whole").replaceChildren(...(whole ? [shares, confidence, byClass].map((chart) => chart(whole)) : []));
  at("pictures").replaceChildren(pictures(view));

  for (const details of document.querySelectorAll("details")) details.open = open.has(details.dataset.fold);
  if (focused) document.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  document.body.classList.add("shown");
}

function trouble() {
  const { time, error, every } = figures.looked,
    late = figures.now - (time ?? 0);
  if (error) return `Monitoring fails: ${error}. What it found is of ${time ? `${moment(time)} UTC` : "no time yet"}.`;
  if (time && every && late > 5 * every * SECOND + 10 * SECOND)
    return `Monitoring has not looked for ${duration(late)}.`;
  if (!figures.newest) return "The log has no prediction yet. Draw a digit on the service's page, or send some.";
  return figures.versions.some((version) => version.predictions)
    ? ""
    : `No predictions in this time; the newest is of ${moment(figures.newest)} UTC.`;
}

function looked() {
  const { time, until, late, late_labels: lateLabels } = figures.looked;
  return [
    `${moment(figures.now)} UTC`,
    time
      ? `looked ${duration(figures.now - time)} ago${until ? `, judged what came until ${clock(until)}` : ""}`
      : "monitoring has not looked yet",
    late ? `${many(late, "prediction")} dated too late to be judged` : "",
    lateLabels ? `${many(lateLabels, "label")} dated too late to be counted` : "",
    figures.read_since > figures.since
      ? `only the newest predictions are read, since ${moment(figures.read_since)}`
      : "",
  ]
    .filter(Boolean)
    .map((words) => element("span", {}, words));
}

function choice({ name, predictions, labelled, right }, checked) {
  const input = element("input", {
    type: "radio",
    name: "version",
    "data-key": `version ${name}`,
    checked: checked ? "" : null,
  });
  input.addEventListener("change", () => {
    chosen = name;
    render();
  });
  const said = predictions
    ? `${count(predictions)}${labelled ? `, ${percent(right / labelled)} right` : ""}`
    : "no predictions";
  return element(
    "label",
    { title: name },
    input,
    element("span", { class: `dot ${colours.get(name)}` }),
    element("b", {}, name),
    element("span", { class: "quiet" }, said),
  );
}

function standing({ name, detectors }) {
  const windows = figures.windows.filter((window) => window.version === name);
  const newest = (detector) => windows.findLast((window) => detector in window.p_values);
  const tested = (detector) => figures.labels.findLast((test) => test.version === name && test.detector === detector);
  const { label_window: apart, accuracy: asked, accuracy_window: together, cusum } = figures.thresholds;
  const enough = { "label shift": [apart, "prediction"], accuracy: [together, "label"] };
  const said = {
    "data drift": () => [
      newest("data drift"),
      (window) => `p = ${probability(window.p_values["data drift"])}, ${many(window.n, "prediction")}`,
    ],
    "label shift": () => [
      newest("label shift"),
      (window) => `p = ${probability(window.p_values["label shift"])}`,
      "not tested yet",
    ],
    "concept drift": () => [
      tested("concept drift"),
      (test) => `evidence ${test.statistic.toFixed(1)} of ${cusum}, ${many(test.n, "label")}`,
      "needs true labels",
    ],
    accuracy: () => [
      tested("accuracy"),
      (test) => `${percent(test.effect)} of ${many(test.n, "label")}, ${percent(asked, 0)} asked for`,
      "needs true labels",
    ],
  };
  return Object.entries(detectors).map(([detector, { level, time, counted }]) => {
    const [found, words, without = "no window judged yet"] = said[detector]();
    const firing = figures.alerts.find(
      (alert) => alert.version === name && alert.detector === detector && alert.resolved === null,
    );
    return element(
      "li",
      { class: firing ? "alert" : level.replaceAll(" ", "-") },
      element("h2", {}, detector),
      element("strong", {}, firing ? "alert" : level),
      firing
        ? element(
            "p",
            {},
            `alert ${firing.number} since ${clock(firing.since)}${level === "alert" ? "" : `, now ${level}`}`,
          )
        : null,
      element("p", {}, found ? words(found) : without),
      element("p", {}, time ? `${duration(figures.now - time)} ago` : "never"),
      detector in enough
        ? element("p", {}, `next: ${count(counted)} of ${many(...enough[detector])}`)
        : null,
    );
  });
}

function joined(bands) {
  const made = [];
  for (const [since, until] of bands.toSorted((one, other) => one[0] - other[0])) {
    if (made.length && since <= made.at(-1)[1]) made.at(-1)[1] = Math.max(made.at(-1)[1], until);
    else made.push([since, until]);
  }
  return made;
}

function inner(section) {
  const style = getComputedStyle(document.body);
  return Math.max(240, section.clientWidth - 2 * parseFloat(style.getPropertyValue("--inset")));
}

function third(width) {
  const inset = parseFloat(getComputedStyle(document.body).getPropertyValue("--inset"));
  return matchMedia("(min-width: 1020px)").matches ? Math.floor((width + 2 * inset - 32) / 3 - 2 * inset) : width;
}
