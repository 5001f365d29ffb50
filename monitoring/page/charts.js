// Charts over one time axis, as SVG in the width that there is. A line that follows the pointer reads all of them.

import { draw, element } from "./elements.js";
import { SECOND, clock, moment } from "./words.js";

const LEFT = 52,
  RIGHT = 10,
  TOP = 8,
  BOTTOM = 22; // pixels around what is drawn
const STEPS = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400]; // seconds
const ROOM = 70; // pixels for a time

let pointed = null; // where on which chart

/** From `low` at the bottom to `high`. */
export function linear(low, high, format, ticks = 4) {
  const rough = (high - low) / ticks,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
  const values = [];
  for (let value = Math.ceil(low / step) * step; value <= high * 1.0001; value += step) values.push(value);
  return {
    place: (value) => Math.min(Math.max((value - low) / (high - low), 0), 1),
    ticks: values.map((value) => ({ value, words: format(value) })),
  };
}

/** P-values from 1 at the bottom to `floor`: what is higher up is harder to explain by chance. */
export function evidence(floor) {
  const digits = Math.round(-Math.log10(floor)),
    step = digits > 6 ? 2 : 1;
  const ticks = [];
  for (let power = 0; power <= digits; power += step)
    ticks.push({ value: 10 ** -power, words: power ? `1e-${power}` : "1" });
  return { place: (p) => Math.min(Math.log10(Math.max(p, 1e-300)) / Math.log10(floor), 1), ticks };
}

/** One row each, from the top. */
export function rows(names) {
  return {
    size: 1 / names.length,
    place: (row) => 1 - (row + 0.5) / names.length,
    ticks: names.map((words, value) => ({ value, words, bare: true })),
  };
}

/** What the charts share. `marks` are [time, words]; `bands` are [since, until] of alerts. */
export class Frame {
  constructor({ since, until, width, marks, bands }) {
    Object.assign(this, { since, until, width, marks, bands, charts: [] });
  }

  x(time) {
    return LEFT + ((this.width - LEFT - RIGHT) * (time - this.since)) / (this.until - this.since);
  }

  within(time) {
    return time >= this.since && time <= this.until;
  }

  /**
   * A chart. `fill(at, area)` returns its elements, where `at(value)` is a height in pixels and `area` has top and
   * bottom; `read(time)` returns what is known of that time, as [words, class] each. `label` writes at the
   * marks what they mean, `plain` leaves out the bands.
   */
  chart({ name, height, y, fill, read, label = false, plain = false }) {
    const bottom = TOP + height,
      at = (value) => TOP + height * (1 - y.place(value));
    const line = draw("line", { class: "cursor", y1: TOP, y2: bottom, visibility: "hidden" });
    const picture = draw(
      "svg",
      { class: "chart", width: this.width, height: bottom + BOTTOM, role: "img", "aria-label": name },
      ...(plain ? [] : this.#bands(bottom)),
      ...y.ticks.flatMap((tick) => this.#tick(tick, at(tick.value))),
      ...this.#times(bottom),
      ...fill(at, { top: TOP, bottom }),
      ...this.#marks(bottom, label),
      line,
    );
    const tip = element("div", { class: "tip", "aria-hidden": "true", hidden: "" });
    const plot = element("div", { class: "plot" }, picture, tip);
    const place = this.charts.push({ line, tip, read }) - 1;
    for (const moved of ["pointermove", "pointerdown"]) {
      plot.addEventListener(moved, (event) => this.#point(event.clientX - plot.getBoundingClientRect().left, place));
    }
    plot.addEventListener("pointerleave", () => this.#point(null));
    return plot;
  }

  /** Where the pointer was when this was drawn anew. */
  restore() {
    if (pointed) this.#point(...pointed);
  }

  #point(x, over) {
    pointed = x === null ? null : [x, over];
    const there = x !== null && x >= LEFT && x <= this.width - RIGHT;
    const time = there && this.since + ((x - LEFT) / (this.width - LEFT - RIGHT)) * (this.until - this.since);
    for (const [place, { line, tip, read }] of this.charts.entries()) {
      line.setAttribute("visibility", there ? "visible" : "hidden");
      if (there) (line.setAttribute("x1", x), line.setAttribute("x2", x));
      const words = there && place === over ? read(time) : [];
      tip.hidden = !words.length;
      tip.replaceChildren(
        element("b", {}, moment(time || 0)),
        ...words.map(([text, kind]) => element("span", {}, kind ? element("i", { class: kind }) : null, text)),
      );
      tip.classList.toggle("left", x > this.width / 2);
      tip.style.setProperty("--x", `${x > this.width / 2 ? this.width - x : x}px`);
    }
  }

  #tick({ words, bare }, y) {
    const text = draw("text", { class: "tick", x: LEFT - 8, y: y + 4, "text-anchor": "end" }, words);
    return bare ? [text] : [draw("line", { class: "grid", x1: LEFT, x2: this.width - RIGHT, y1: y, y2: y }), text];
  }

  #times(bottom) {
    const seconds = (this.until - this.since) / SECOND,
      most = Math.max(2, (this.width - LEFT - RIGHT) / ROOM);
    const step = (STEPS.find((size) => seconds / size <= most) ?? STEPS.at(-1)) * SECOND;
    const made = [];
    for (let time = Math.ceil(this.since / step) * step; time <= this.until; time += step) {
      const x = this.x(time),
        midnight = time % (86_400 * SECOND) === 0 || step === 86_400 * SECOND;
      const words = midnight ? moment(time).slice(5, 10) : clock(time, step < 60 * SECOND);
      made.push(draw("line", { class: "grid", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      if (x > LEFT + 12 && x < this.width - 24) {
        made.push(draw("text", { class: "tick", x, y: bottom + 16, "text-anchor": "middle" }, words));
      }
    }
    return [...made, draw("line", { class: "axis", x1: LEFT, x2: this.width - RIGHT, y1: bottom, y2: bottom })];
  }

  #bands(bottom) {
    return this.bands.map(([since, until]) => {
      const x = this.x(Math.max(since, this.since));
      const width = Math.max(2, this.x(Math.min(until, this.until)) - x);
      return draw("rect", { class: "band", x, y: TOP, width, height: bottom - TOP });
    });
  }

  #marks(bottom, label) {
    let free = 0; // from there on no words are yet
    return this.marks
      .filter(([time]) => this.within(time))
      .flatMap(([time, words]) => {
        const x = this.x(time),
          end = x > this.width * 0.7,
          long = 8 * words.length;
        const line = draw(
          "line",
          { class: "change", x1: x, x2: x, y1: label ? 0 : TOP, y2: bottom },
          draw("title", {}, words),
        );
        if (!label || (end ? x - long : x) < free) return [line];
        free = end ? x : x + long;
        const text = draw(
          "text",
          { class: "change", x: end ? x - 5 : x + 5, y: TOP + 9, "text-anchor": end ? "end" : "start" },
          words,
        );
        return [line, text];
      });
  }
}

/** A circle at each [x, y], as one element. */
export function dots(places, radius, kind) {
  const circle = ([x, y]) =>
    `M${x - radius} ${y}a${radius} ${radius} 0 1 0 ${2 * radius} 0a${radius} ${radius} 0 1 0 ${-2 * radius} 0`;
  return draw("path", { class: `dots ${kind}`, d: places.map(circle).join("") });
}

/** A line through [x, y]; broken where `joined(index)` says so. */
export function path(places, kind, joined = () => true) {
  const d = places.map(([x, y], index) => `${index && joined(index) ? "L" : "M"}${x} ${y}`).join("");
  return draw("path", { class: `path ${kind}`, d });
}

/** A dashed line across, with its name. */
export function limit(frame, y, words, kind = "") {
  return [
    draw("line", { class: `limit ${kind}`, x1: LEFT, x2: frame.width - RIGHT, y1: y, y2: y }),
    draw("text", { class: `limit ${kind}`, x: LEFT + 4, y: y - 4 }, words),
  ];
}
