// The images that alerts and windows name.

import { element } from "./elements.js";
import { card } from "./parts.js";
import { many, moment, percent } from "./words.js";

/** A card with each group of images. */
export function pictures({ figures }) {
  const { groups } = figures;
  const note = groups.length
    ? "As they were scored, the most unusual first."
    : "No window has been judged yet.";
  return card("Most unusual images", note, ...groups.map(group));
}

function group({ version, detector, time, alert, firing, why, pictures: found, gone }) {
  const what =
    alert === null
      ? `Newest window of ${version}`
      : `Alert ${alert}, ${detector} of ${version}${firing ? "" : ", over"}`;
  const left = gone ? `; ${many(gone, "image")} no longer in the log` : "";
  const figures = found.map(figure);
  return element(
    "div",
    { class: "group" },
    element("h3", {}, what),
    element("p", { class: "note" }, `${moment(time)} UTC: ${why}${left}.`),
    element("ul", { class: "images" }, ...figures),
  );
}

function figure({ id, time, pixels, label, confidence, truth }) {
  const words = `read as ${label}, ${percent(confidence)}`;
  const grey = Uint8Array.from(atob(pixels), (letter) => letter.charCodeAt(0));
  const side = Math.sqrt(grey.length);
  const canvas = element("canvas", { width: side, height: side, role: "img", "aria-label": `Image ${words}` });
  const image = new ImageData(side, side);
  grey.forEach((value, place) => image.data.set([value, value, value, 255], 4 * place));
  canvas.getContext("2d").putImageData(image, 0, 0);
  const wrong = truth !== null && truth !== label;
  return element(
    "li",
    { title: `${id}, ${moment(time)} UTC` },
    canvas,
    element("b", {}, String(label), element("span", { class: "quiet" }, ` ${percent(confidence)}`)),
    truth === null ? null : element("span", { class: wrong ? "wrong" : "right" }, wrong ? `is a ${truth}` : "right"),
  );
}
