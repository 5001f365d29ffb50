// Requests to the service, and what it says where it can't answer.

const PATIENCE = 15_000; // milliseconds; the service gives up earlier

/** No answer: `status` is HTTP's, 0 where none came; `seconds` after which the service would be asked again. */
export class Refusal extends Error {
  constructor(status, message, seconds = 0) {
    super(message);
    Object.assign(this, { status, seconds });
  }
}

/** Which version answers, and for which stage. */
export function ready() {
  return answer("/readyz");
}

/** What a picture shows: `version` and `predictions`, of which there is one. */
export function predict(picture) {
  return answer("/v1/predict", { method: "POST", headers: { "content-type": picture.type }, body: picture });
}

/** Record a true label; `correct` replaces one that is there. */
export function label(id, digit, correct, token) {
  const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
  const body = JSON.stringify({ id, label: digit, source: "page", correct });
  return answer("/v1/feedback", { method: "POST", headers, body });
}

async function answer(path, options = {}) {
  let response, content;
  try {
    response = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE) });
    content = await response.json();
  } catch (error) {
    if (error.name === "TimeoutError") throw new Refusal(0, "it takes too long");
    if (error.name !== "SyntaxError") throw new Refusal(0, "the service can't be reached");
  }
  if (response.ok && content) return content;
  const { detail, reason } = content ?? {}; // without JSON it is not the service that speaks, but a proxy perhaps
  const said = (Array.isArray(detail) ? detail[0]?.msg : detail) ?? reason;
  const seconds = Number(response.headers.get("retry-after")) || 0;
  throw new Refusal(response.status, said ?? `an answer with status ${response.status}`, seconds);
}
