// The page of a running service: asks it again and again, unless a person pauses it or looks elsewhere.

import { show, warn } from "./view.js";

const INTERVAL = 5000; // milliseconds; the service gathers figures less often where that takes it long
const PATIENCE = 30_000;

const at = (id) => document.getElementById(id);

let token = null; // in memory alone
let timer = 0;
let asking = null;

async function refresh() {
  clearTimeout(timer);
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const span = new FormData(at("spans")).get("span");
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(PATIENCE)]);
    const response = await fetch(`/dashboard.json?span=${span}`, { headers, signal });
    if (response.status === 401) return ask();
    const content = await response.json().catch(() => ({}));
    if (!response.ok) throw new Error(content.detail ?? `an answer with status ${response.status}`);
    show(content);
  } catch (error) {
    if (mine.signal.aborted) return; // another has been asked meanwhile
    const words =
      error.name === "TimeoutError"
        ? "it takes too long"
        : error instanceof TypeError
          ? "the service can't be reached"
          : error.message;
    warn(`Not up to date: ${words}. Trying again …`);
  }
  if (at("pause").getAttribute("aria-pressed") === "false" && !document.hidden) timer = setTimeout(refresh, INTERVAL);
}

function ask() {
  at("refused").textContent = token ? "That token was not accepted." : "";
  at("token").value = "";
  if (!at("token-dialog").open) at("token-dialog").showModal();
}

at("token-dialog").addEventListener("close", () => {
  token = at("token").value;
  at("token").value = "";
  if (at("token-dialog").returnValue === "send" && token) refresh();
  else warn("What users sent is shown to those who have the service's token. Reload the page to be asked again.");
});

at("cancel").addEventListener("click", () => at("token-dialog").close("cancel"));

at("spans").addEventListener("change", refresh);

at("pause").addEventListener("click", () => {
  const paused = at("pause").getAttribute("aria-pressed") === "false";
  at("pause").setAttribute("aria-pressed", String(paused));
  if (paused) clearTimeout(timer);
  else refresh();
});

document.addEventListener(
  "visibilitychange",
  () => !document.hidden && at("pause").getAttribute("aria-pressed") === "false" && refresh(),
);

refresh();
