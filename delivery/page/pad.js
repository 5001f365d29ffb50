// The pad: strokes of mouse, finger, pen or keys, kept as points between 0 and 1, and painted at any size.

const LINE = 1 / 13; // of the pad's side: as thick as MNIST's lines, for a digit that takes most of it
const NEAR = 1 / 400; // points closer than that add nothing
const STEP = 1 / 24; // of the arrow keys
const SENT = 280, MARGIN = 20; // pixels of the picture that is sent, whatever the screen has

const ARROWS = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] };

export class Pad {
  #canvas;
  #changed;
  #strokes = [];
  #pointer = null; // id of the one that draws; "keys"; or null
  #kind = "";
  #cursor = { x: 0.5, y: 0.25 };
  #frame = 0;

  /** @param changed called after each change, with true if something was taken away, and when the pen is lifted */
  constructor(canvas, changed) {
    this.#canvas = canvas;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => event.pointerId === this.#pointer && this.#lift());
    }
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const focus of ["focus", "blur"]) canvas.addEventListener(focus, () => this.#repaint());
    canvas.addEventListener("blur", () => this.#pointer === "keys" && this.#lift());
    new ResizeObserver(() => this.#repaint()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#repaint());
  }

  get empty() {
    return !this.#strokes.length;
  }

  /** Whether the pen is down. */
  get drawing() {
    return this.#pointer !== null;
  }

  undo() {
    this.#take(this.#strokes.slice(0, -1));
  }

  clear() {
    this.#take([]);
  }

  /** The drawing as a PNG: black on white, with a margin, so that its border shows the page. */
  picture() {
    const sheet = document.createElement("canvas"), context = sheet.getContext("2d");
    sheet.width = sheet.height = SENT + 2 * MARGIN;
    context.fillStyle = "white";
    context.fillRect(0, 0, sheet.width, sheet.height);
    context.translate(MARGIN, MARGIN);
    this.#strokes.forEach((stroke) => paint(context, stroke, SENT, "black"));
    return new Promise((resolve) => sheet.toBlob(resolve, "image/png"));
  }

  #take(strokes) {
    this.#strokes = strokes;
    this.#pointer = null;
    this.#tell(true);
  }

  #tell(lost = false) {
    this.#repaint();
    this.#changed(lost);
  }

  #down(event) {
    if (event.button) return;
    const lost = this.drawing;
    if (lost) {
      if (event.pointerType !== "pen" || this.#kind === "pen") return; // a second finger
      this.#strokes.pop(); // the hand that came down before its pen
    }
    this.#pointer = event.pointerId;
    this.#kind = event.pointerType;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#strokes.push([this.#point(event)]);
    this.#tell(lost);
  }

  #move(event) {
    if (event.pointerId !== this.#pointer) return;
    const all = event.getCoalescedEvents?.() ?? []; // what the pen did since the last frame
    const grown = (all.length ? all : [event]).filter((one) => this.#add(this.#point(one)));
    if (grown.length) this.#tell();
  }

  #lift() {
    this.#pointer = null;
    this.#tell();
  }

  #add(point) {
    const stroke = this.#strokes.at(-1), last = stroke.at(-1);
    const far = Math.hypot(point.x - last.x, point.y - last.y) >= NEAR;
    if (far) stroke.push(point);
    return far;
  }

  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const width = event.pointerType === "pen" ? LINE * (0.5 + event.pressure) : LINE;
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height, width };
  }

  #key(event) {
    const point = () => ({ ...this.#cursor, width: LINE });
    if (event.ctrlKey || event.metaKey || event.altKey || (this.drawing && this.#pointer !== "keys")) return;
    if (event.key === " " && !event.repeat) {
      if (this.drawing) {
        this.#lift();
      } else {
        this.#pointer = "keys";
        this.#strokes.push([point()]);
        this.#tell();
      }
    } else if (event.key in ARROWS) {
      const [right, down] = ARROWS[event.key];
      this.#cursor = { x: inside(this.#cursor.x + right), y: inside(this.#cursor.y + down) };
      if (this.drawing && this.#add(point())) this.#tell();
      else this.#repaint();
    } else if (event.key !== " ") {
      return;
    }
    event.preventDefault(); // Space and arrows would scroll
  }

  #repaint() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      const canvas = this.#canvas, context = canvas.getContext("2d");
      const side = Math.round(canvas.clientWidth * devicePixelRatio); // the screen's pixels, not CSS'
      const { color, accentColor } = getComputedStyle(canvas);
      if (canvas.width !== side) canvas.width = canvas.height = side;
      context.clearRect(0, 0, side, side);
      this.#strokes.forEach((stroke) => paint(context, stroke, side, color));
      if (canvas.matches(":focus-visible")) paint(context, [{ ...this.#cursor, width: LINE / 2 }], side, accentColor);
    });
  }
}

/** Curves through the middles between points, each as thick as its point says. */
function paint(context, stroke, side, colour) {
  Object.assign(context, { fillStyle: colour, strokeStyle: colour, lineCap: "round" });
  let from = stroke[0];
  context.beginPath(); // a line to where it began would not be painted
  context.arc(from.x * side, from.y * side, (from.width * side) / 2, 0, 2 * Math.PI);
  context.fill();
  stroke.forEach((point, index) => {
    const next = stroke[index + 1] ?? point;
    const to = index === stroke.length - 1 ? point : { x: (point.x + next.x) / 2, y: (point.y + next.y) / 2 };
    context.lineWidth = point.width * side;
    context.beginPath();
    context.moveTo(from.x * side, from.y * side);
    context.quadraticCurveTo(point.x * side, point.y * side, to.x * side, to.y * side);
    context.stroke();
    from = to;
  });
}

function inside(place) {
  return Math.min(Math.max(place, LINE), 1 - LINE);
}
