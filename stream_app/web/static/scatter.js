/** The plane of items, with a user on it and where the user came from. */

import { still, svg } from "./dom.js";

const HALF = 1.06;
const TRAIL = 40;
const COLOURS = 8;

/**
 * @typedef {object} ItemMap
 * @property {number} edition
 * @property {string[]} topics
 * @property {[number, number, number, string][]} items x, y, topic, title
 */

/**
 * @typedef {object} Scatter
 * @property {HTMLElement | SVGElement} element
 * @property {(map: ItemMap) => void} showItems
 * @property {(place: [number, number] | null) => void} moveUser
 * @property {(topic: number | null) => void} light one topic, null for all
 * @property {() => [number, number][]} trail oldest first
 */

/**
 * @param {string} label
 * @param {[number, number][]} [before] of a trail that goes on
 * @param {number} [radius] of an item
 * @returns {Scatter}
 */
export function scatter(label, before = [], radius = 0.009) {
  const items = svg("g", { class: "map-items" });
  const line = svg("polyline", { class: "map-trail" });
  const steps = svg("g", { class: "map-steps" });
  const user = svg(
    "g",
    { class: "map-user", hidden: true },
    svg("circle", { r: 5.5 * radius, class: "map-halo" }),
    svg("circle", { r: 2.6 * radius, class: "map-dot" }),
  );
  const box = `${-HALF} ${-HALF} ${2 * HALF} ${2 * HALF}`;
  const element = svg("svg", { viewBox: box, class: "map", role: "img", "aria-label": label }, items, line, steps, user);
  /** @type {[number, number][]} */
  const trail = [...before];

  const showItems = (/** @type {ItemMap} */ map) => {
    const colours = colourOf(map);
    items.replaceChildren(
      ...map.items.map(([x, y, topic, title]) => {
        const dot = svg("circle", { cx: x, cy: -y, r: radius, class: `topic-${colours.get(topic) ?? "none"}` }, svg("title", {}, title));
        dot.dataset.topic = String(topic);
        return dot;
      }),
    );
  };
  const moveUser = (/** @type {[number, number] | null} */ place) => {
    user.toggleAttribute("hidden", place === null);
    if (place === null) return;
    const last = trail[trail.length - 1];
    if (!last || Math.hypot(last[0] - place[0], last[1] - place[1]) > 0.001) trail.push(place);
    if (trail.length > TRAIL) trail.shift();
    if (still()) user.style.transition = "none";
    user.style.transform = `translate(${place[0]}px, ${-place[1]}px)`;
    line.setAttribute("points", trail.map(([x, y]) => `${x},${-y}`).join(" "));
    steps.replaceChildren(
      ...trail.slice(0, -1).map(([x, y], at) => svg("circle", { cx: x, cy: -y, r: radius, opacity: ((at + 1) / trail.length).toFixed(2) })),
    );
  };
  const light = (/** @type {number | null} */ topic) => {
    element.classList.toggle("dimmed", topic !== null);
    for (const dot of items.children) dot.classList.toggle("lit", /** @type {SVGElement} */ (dot).dataset.topic === String(topic));
  };
  return { element, showItems, moveUser, light, trail: () => trail };
}

/**
 * The topics with the most items have a colour each, the others share one.
 * @param {ItemMap} map
 * @returns {Map<number, number>} topic -> colour
 */
export function colourOf(map) {
  return new Map(topicsBySize(map).slice(0, COLOURS).map(([topic], place) => [topic, place]));
}

/**
 * @param {ItemMap} map
 * @returns {[number, number][]} topic and how many items it has, the largest first
 */
export function topicsBySize(map) {
  /** @type {Map<number, number>} */
  const sizes = new Map();
  for (const [, , topic] of map.items) if (topic >= 0) sizes.set(topic, (sizes.get(topic) ?? 0) + 1);
  return [...sizes].sort((one, other) => other[1] - one[1]);
}
