/** A radar: how far several vectors lean to each of some topics. */

import { glide, svg } from "./dom.js";

const SIZE = 460;
const CENTRE = SIZE / 2;
const REACH = 128;
const RINGS = [0.25, 0.5, 0.75, 1];

/**
 * @typedef {object} Radar
 * @property {SVGElement} element
 * @property {(axes: string[], series: Record<string, number[]>) => void} show values 0..1, by series, in the order of the axes
 */

/**
 * @param {string[]} names of the series; those that come later lie above
 * @param {string} label
 * @returns {Radar}
 */
export function radar(names, label) {
  const grid = svg("g", { class: "radar-grid" });
  const texts = svg("g", { class: "radar-axes" });
  const shapes = names.map((name) => svg("polygon", { class: `radar-shape ${name}` }));
  const element = svg(
    "svg",
    { viewBox: `0 0 ${SIZE} ${SIZE - 120}`, role: "img", "aria-label": label, class: "radar" },
    svg("g", { transform: "translate(0 -60)" }, grid, ...shapes, texts),
  );
  let drawn = "";
  const show = (/** @type {string[]} */ axes, /** @type {Record<string, number[]>} */ series) => {
    if (drawn !== axes.join("\n")) {
      drawn = axes.join("\n");
      grid.replaceChildren(...rings(axes.length), ...spokes(axes.length));
      texts.replaceChildren(...axes.map((axis, place) => axisText(axis, place, axes.length)));
    }
    names.forEach((name, number) => {
      const shape = shapes[number];
      glide(shape, series[name] ?? axes.map(() => 0), (values) => shape.setAttribute("points", corners(values)));
    });
  };
  return { element, show };
}

/**
 * @param {number} place
 * @param {number} of
 * @param {number} share
 * @returns {[number, number]}
 */
function at(place, of, share) {
  const angle = (2 * Math.PI * place) / of - Math.PI / 2;
  return [CENTRE + Math.cos(angle) * REACH * share, CENTRE + Math.sin(angle) * REACH * share];
}

/** @param {number[]} values */
const corners = (values) =>
  values
    .map((value, place) => at(place, values.length, 0.02 + 0.98 * value).map((one) => one.toFixed(1)).join(","))
    .join(" ");

/** @param {number} of */
const rings = (of) => RINGS.map((share) => svg("polygon", { points: corners(Array(of).fill(share)) }));

/** @param {number} of */
function spokes(of) {
  return Array.from({ length: of }, (_, place) => {
    const [x, y] = at(place, of, 1);
    return svg("line", { x1: CENTRE, y1: CENTRE, x2: x.toFixed(1), y2: y.toFixed(1) });
  });
}

/**
 * @param {string} name
 * @param {number} place
 * @param {number} of
 */
function axisText(name, place, of) {
  const [x, y] = at(place, of, 1.1);
  const anchor = x > CENTRE + 6 ? "start" : x < CENTRE - 6 ? "end" : "middle";
  const drop = y > CENTRE + 6 ? 9 : y < CENTRE - 6 ? 0 : 4;
  return svg("text", { x: x.toFixed(1), y: (y + drop).toFixed(1), "text-anchor": anchor }, cut(name, 16));
}

/**
 * @param {string} text
 * @param {number} most characters
 */
export function cut(text, most) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, most - 1).join("")}…` : text;
}
