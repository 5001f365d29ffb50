// Figures as people read them. Times are microseconds since 1970, and shown in UTC, as everything here prints them.

export const SECOND = 1_000_000;

const NUMBERS = new Intl.NumberFormat("en");

export const count = (number) => NUMBERS.format(number);

/** "1 label", "2 labels". */
export const many = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

/** Those that there are. */
export const sentences = (...parts) => parts.filter(Boolean).join(" ");

/** A share; only all of it is 100 %, and only none of it 0 %. */
export function percent(share, digits = 1) {
  if (share === null || share === undefined) return "–";
  const least = 10 ** -digits;
  const whole = share <= 0 || share >= 1 ? 100 * share : Math.min(Math.max(100 * share, least), 100 - least);
  return `${whole.toFixed(digits)}\u00a0%`;
}

export function probability(p) {
  if (p === null || p === undefined) return "–";
  if (p < 1e-99) return "< 1e-99";
  return p < 0.001 ? p.toExponential(0) : p.toPrecision(2);
}

/** Milliseconds out of seconds. */
export const milliseconds = (seconds) => `${(1000 * seconds).toPrecision(seconds < 0.01 ? 2 : 3)} ms`;

/** 14:02:07, or 14:02 where seconds do not matter. */
export const clock = (time, seconds = true) => iso(time).slice(11, seconds ? 19 : 16);

/** 2030-01-31 14:02:07 */
export const moment = (time) => iso(time).slice(0, 19).replace("T", " ");

/** 3 s, 12 min, 5 h, 2 days */
export function duration(microseconds) {
  const seconds = Math.max(0, Math.round(microseconds / SECOND));
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} days`;
}

const iso = (time) => new Date(time / 1000).toISOString();
