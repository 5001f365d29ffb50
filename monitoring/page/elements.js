// Elements of a page and of a picture in it. What others wrote, versions' names say, only ever becomes text.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element with attributes and children; a string becomes text, what is null or undefined is left out. */
export function element(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same in SVG. */
export function draw(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

/** A list of what colours and signs mean: pairs of class and words. */
export function legend(entries) {
  const sign = (kind) =>
    draw("svg", { class: `sign ${kind}`, width: 14, height: 14, "aria-hidden": "true" }, mark(kind));
  return element("ul", { class: "legend" }, ...entries.map(([kind, words]) => element("li", {}, sign(kind), words)));
}

/** A table, built once it is opened. `table()` gives `head`, `rows` and perhaps words `above` it. */
export function folded(key, table) {
  const body = element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Figures: ${key}` });
  const summary = element("summary", { "data-key": key }, "Figures");
  const details = element("details", { class: "folded", "data-fold": key }, summary, body);
  details.addEventListener("toggle", () => {
    if (!details.open || body.firstChild) return;
    const { head, rows } = table();
    const line = (kind, cells) => element("tr", {}, ...cells.map((cell) => element(kind, {}, String(cell))));
    const titles = element("tr", {}, ...head.map((cell) => element("th", { scope: "col" }, cell)));
    body.append(
      element("table", {}, element("thead", {}, titles), element("tbody", {}, ...rows.map((row) => line("td", row)))),
    );
    if (!rows.length) body.append(element("p", { class: "quiet" }, "None."));
  });
  return details;
}

function mark(kind) {
  return kind.includes("line")
    ? draw("line", { x1: 0, x2: 14, y1: 7, y2: 7 })
    : kind.includes("box")
      ? draw("rect", { x: 1, y: 1, width: 12, height: 12, rx: 3 })
      : draw("circle", { cx: 7, cy: 7, r: kind.includes("small") ? 2.5 : 4.5 });
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}
