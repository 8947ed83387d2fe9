/** Numbers and times as people read them. */

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** @param {number} value */
export const count = (value) => (Math.abs(value) < 100_000 ? whole.format(Math.round(value)) : short.format(value));

/** @param {number} share 0..1 */
export const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)}%`;

/** @param {number | null | undefined} perSecond */
export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "–";
  return perSecond === 0 ? "0" : perSecond < 10 ? perSecond.toFixed(1) : count(perSecond);
}

/** @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.001) return `${Math.round(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`;
  return `${count(seconds / 86_400)} days`;
}

/**
 * @param {number} ms
 * @param {number} nowMs
 */
export function ago(ms, nowMs) {
  const seconds = Math.max(0, (nowMs - ms) / 1000);
  if (seconds < 1.5) return "just now";
  if (seconds < 10) return `${Math.round(seconds)} s ago`;
  if (seconds < 365 * 86_400) return `${duration(Math.round(seconds))} ago`;
  return `on ${new Date(ms).toISOString().slice(0, 10)}`;
}

/** @param {number | null | undefined} size */
export function bytes(size) {
  if (size === null || size === undefined) return "–";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let at = 0;
  let left = size;
  while (left >= 1000 && at < units.length - 1) [left, at] = [left / 1000, at + 1];
  return `${left < 10 && at ? left.toFixed(1) : Math.round(left)} ${units[at]}`;
}
