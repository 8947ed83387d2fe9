/** A line of the last values, small enough to stand in a row of a table. */

import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 28;
const MOST = 60;

/**
 * @returns {{ element: SVGElement, add: (value: number) => void, set: (values: number[]) => void }}
 */
export function sparkline() {
  /** @type {number[]} */
  let values = [];
  const area = svg("path", { class: "spark-area" });
  const line = svg("path", { class: "spark-line" });
  const end = svg("path", { class: "spark-end" });
  const element = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "spark", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line, end);
  const add = (/** @type {number} */ value) => set([...values, value].slice(-MOST));
  const set = (/** @type {number[]} */ all) => {
    values = all;
    const points = placed(values);
    const path = points.map(([x, y], place) => `${place ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
    line.setAttribute("d", path);
    area.setAttribute("d", `${path}L${points[points.length - 1][0].toFixed(1)} ${HEIGHT}L${points[0][0].toFixed(1)} ${HEIGHT}Z`);
    end.setAttribute("d", `M${points[points.length - 1].map((one) => one.toFixed(1)).join(" ")}h0`);
  };
  return { element, add, set };
}

/**
 * The newest at the right; a line that stays level lies in the middle.
 * @param {number[]} values
 * @returns {[number, number][]}
 */
function placed(values) {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const drawn = values.length > 1 ? values : [values[0], values[0]];
  const room = WIDTH - 6;
  const step = Math.max(room / Math.max(drawn.length - 1, 1), 0);
  return drawn.map((value, place) => [
    3 + place * step,
    high > low ? HEIGHT - 4 - ((value - low) / (high - low)) * (HEIGHT - 8) : HEIGHT / 2,
  ]);
}
