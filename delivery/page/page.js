// The page: asks the service while a person draws, shows what it answers, and sends what the person says to that.

import { Refusal, label, predict, ready } from "/client.js";
import { Pad } from "/pad.js";

const INTERVAL = 250; // milliseconds before each reading while the pen is down: every one of them is logged
const READS_ALONG = "The model reads along while you draw.";
const SLOW = 1500; // milliseconds after which a person is told that the answer is late

const at = (id) => document.getElementById(id);
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const named = (digit) => (digit === 8 ? "an 8" : `a ${digit}`);
const bars = Array.from({ length: 10 }, (_, digit) => bar(digit));

let drawing = 0; // counts its changes
let begun = 0; // `drawing` when it last lost something: older answers are of no use
let reading = null; // the answer that is shown, and of which `drawing`
let asking = false;
let failures = 0; // in a row
let stage = null;
let token = null; // in memory alone

const pad = new Pad(at("pad"), changed);

function changed(lost = false) {
  if (pad.drawing || lost) drawing += 1;
  if (lost) begun = drawing;
  at("invitation").hidden = !pad.empty;
  at("undo").disabled = at("clear").disabled = pad.empty;
  if (pad.empty) show(null);
  settle();
  ask();
}

const wanted = () => stage === null || (!pad.empty && reading?.drawing !== drawing);

// One request at a time, and the next one is about the drawing as it is by then.
async function ask() {
  if (asking) return;
  asking = true;
  try {
    while (wanted()) await next();
  } finally {
    asking = false;
    notice("");
  }
}

async function next() {
  if (pad.drawing) await pause(INTERVAL);
  if (!wanted()) return; // cleared meanwhile
  const late = setTimeout(notice, SLOW, "Still waiting for an answer …");
  try {
    await (stage === null ? learn() : read());
    failures = 0;
    notice("");
  } catch (error) {
    await refused(error);
  } finally {
    clearTimeout(late);
  }
}

async function learn() {
  const answer = await ready();
  at("stage").textContent = stage = answer.stage;
  at("version").textContent = answer.version;
}

async function read() {
  const asked = drawing;
  const { version, predictions } = await predict(await pad.picture());
  if (asked < begun) return;
  show({ ...predictions[0], version, drawing: asked });
  settle();
}

async function refused(error) {
  if (!(error instanceof Refusal)) throw error;
  failures += 1;
  notice(`No answer yet: ${error.message}. Trying again …`);
  const seconds = Math.max(error.seconds, Math.min(2 ** (failures - 2), 8));
  await pause(1000 * seconds * (1 + Math.random() / 4)); // not all pages at the same moment
}

function notice(text) {
  if (at("notice").textContent !== text) at("notice").textContent = text;
}

function show(answer) {
  reading = answer;
  const best = answer && answer.probabilities[answer.label];
  at("digit").textContent = answer ? answer.label : "?";
  at("sure").textContent = answer ? `${percent(best, 1)} %` : "–";
  if (answer) at("version").textContent = answer.version;
  document.body.classList.toggle("read", answer !== null);
  bars.forEach((button, digit) => {
    const probability = answer?.probabilities[digit] ?? 0;
    button.style.setProperty("--share", probability);
    button.classList.toggle("best", answer?.label === digit);
    button.querySelector(".percent").textContent = probability < 0.01 ? "" : percent(probability, 0);
  });
  paint(answer?.image);
}

// Rounded down, so that what is almost certain does not become certain.
function percent(probability, digits) {
  const parts = 10 ** digits;
  return (Math.floor(100 * parts * probability) / parts).toFixed(digits);
}

function paint(rows) {
  const seen = at("seen"), context = seen.getContext("2d");
  if (rows) seen.width = seen.height = rows.length;
  const picture = context.createImageData(seen.width, seen.height);
  rows?.flat().forEach((level, index) => picture.data.set([255, 255, 255, level], 4 * index));
  context.putImageData(picture, 0, 0);
}

// What can be said to a reading, once it is of the whole drawing and the pen is up.
function settle() {
  const settled = reading?.drawing === drawing && !pad.drawing;
  if (settled === !at("digits").disabled) return;
  at("digits").disabled = !settled;
  question(settled ? `Is it ${named(reading.label)}? If not, choose the right digit.` : READS_ALONG, settled);
  press(null);
}

function question(text, open) {
  at("question").textContent = text;
  at("right").classList.toggle("away", !open);
}

function press(digit) {
  bars.forEach((button, index) => button.setAttribute("aria-pressed", index === digit));
}

async function say(digit) {
  const answer = reading;
  if (!answer || at("digits").disabled || answer.saying) return;
  answer.saying = true;
  const told = await record(answer, digit);
  answer.saying = false;
  if (reading !== answer || at("digits").disabled) return; // the person draws on
  if (told.stored) press(digit);
  question(told.text, !told.stored && !answer.labelled);
}

async function record(answer, digit) {
  for (;;) {
    try {
      await label(answer.id, digit, Boolean(answer.labelled), token);
      answer.labelled = true; // to choose another digit replaces it
      return { stored: true, text: `Thank you. Recorded as ${named(digit)}.` };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.status !== 401) return { text: explained(answer, error) };
      token = await askToken(token === null ? "" : "That token was not accepted.");
      if (token === null) return { text: "Not recorded: it needs the token." };
    }
  }
}

function explained(answer, error) {
  if (error.status === 404) return "Not recorded: this reading is no longer in the log. Draw it again.";
  if (error.status !== 409) return `Not recorded: ${error.message}.`;
  answer.labelled = true;
  return "Another digit is on record for it. Choose again to replace that.";
}

function askToken(message) {
  const dialog = at("token-dialog");
  at("refused").textContent = message;
  at("token").value = dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      resolve(dialog.returnValue === "send" ? at("token").value : null);
      at("token").value = "";
    }, { once: true });
  });
}

function bar(digit) {
  const button = Object.assign(document.createElement("button"), { type: "button" });
  const says = { intro: `It is ${named(digit).split(" ")[0]}`, name: digit, percent: "", unit: "%", bar: "" };
  for (const [className, textContent] of Object.entries(says)) {
    button.append(Object.assign(document.createElement("span"), { className, textContent }));
  }
  button.addEventListener("click", () => say(digit));
  at("digits").append(button);
  return button;
}

at("right").addEventListener("click", () => say(reading.label));
at("undo").addEventListener("click", () => pad.undo());
at("clear").addEventListener("click", () => pad.clear());
at("cancel").addEventListener("click", () => at("token-dialog").close());
document.addEventListener("keydown", (event) => {
  if (at("token-dialog").open) return;
  if (event.key === "Escape") pad.clear();
  if (event.key === "z" && (event.ctrlKey || event.metaKey)) pad.undo();
});
show(null);
press(null);
question(READS_ALONG, false);
ask();
