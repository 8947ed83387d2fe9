/** The way of an event as a diagram: topics, a worker's stages, and where effects go. */

import { say, svg } from "./dom.js";
import { bytes, duration, rate } from "./words.js";

/** @typedef {{ x: number, y: number, w: number, h: number }} Box */

const NODES = /** @type {const} */ ({
  inputs: ["Kafka", "events in"],
  decode: ["decode", ""],
  advance: ["advance", "states"],
  readout: ["readout", "TensorFlow"],
  recommend: ["recommend", ""],
  redis: ["Redis", "users written"],
  recs: ["Kafka", "recommendations"],
  letters: ["Kafka", "dead letters"],
  changelog: ["Kafka", "state changelog"],
});
const EDGES = /** @type {const} */ ([
  ["inputs", "decode"],
  ["decode", "advance"],
  ["advance", "readout"],
  ["readout", "recommend"],
  ["recommend", "redis"],
  ["recommend", "recs"],
  ["decode", "letters"],
  ["advance", "changelog"],
]);
const STAGES = ["decode", "advance", "readout", "recommend"];

/** Across on a wide page, down on a narrow one.
 * @type {Record<"across" | "down", { size: [number, number], boxes: Record<string, Box> }>} */
const LAYOUTS = {
  across: {
    size: [980, 300],
    boxes: {
      inputs: { x: 0, y: 56, w: 126, h: 92 },
      decode: { x: 170, y: 56, w: 122, h: 92 },
      advance: { x: 336, y: 56, w: 122, h: 92 },
      readout: { x: 502, y: 56, w: 122, h: 92 },
      recommend: { x: 668, y: 56, w: 122, h: 92 },
      redis: { x: 850, y: 0, w: 130, h: 92 },
      recs: { x: 850, y: 112, w: 130, h: 92 },
      letters: { x: 170, y: 208, w: 122, h: 92 },
      changelog: { x: 336, y: 208, w: 122, h: 92 },
    },
  },
  down: {
    size: [340, 760],
    boxes: {
      inputs: { x: 20, y: 0, w: 140, h: 92 },
      decode: { x: 20, y: 132, w: 140, h: 92 },
      advance: { x: 20, y: 264, w: 140, h: 92 },
      readout: { x: 20, y: 396, w: 140, h: 92 },
      recommend: { x: 20, y: 528, w: 140, h: 92 },
      redis: { x: 20, y: 660, w: 140, h: 92 },
      recs: { x: 200, y: 528, w: 140, h: 92 },
      letters: { x: 200, y: 132, w: 140, h: 92 },
      changelog: { x: 200, y: 264, w: 140, h: 92 },
    },
  },
};

/**
 * @returns {{ element: SVGElement, show: (flow: any, narrow: boolean) => void }}
 */
export function flowDiagram() {
  const label = "The way of an event: from Kafka through decode, advance, readout and recommend to Redis and the recommendations topic; the figures stand in the tables below";
  const element = svg("svg", { class: "flow", role: "img", "aria-label": label });
  /** @type {Record<string, SVGElement[]>} */
  let texts = {};
  /** @type {Record<string, SVGElement>} */
  let lines = {};
  let drawn = "";
  const draw = (/** @type {"across" | "down"} */ name) => {
    const { size, boxes } = LAYOUTS[name];
    element.setAttribute("viewBox", `-2 -2 ${size[0] + 4} ${size[1] + 4}`);
    lines = Object.fromEntries(EDGES.map(([from, to]) => [`${from} ${to}`, svg("path", { d: between(boxes[from], boxes[to]), class: "flow-edge" })]));
    texts = {};
    const nodes = Object.entries(NODES).map(([key, [title, below]]) => {
      const box = boxes[key];
      const rows = [svg("text", { class: "flow-big", x: box.x + 14, y: box.y + 54 }), svg("text", { class: "flow-small", x: box.x + 14, y: box.y + 77 }, below)];
      texts[key] = rows;
      return svg("g", { class: `flow-node ${STAGES.includes(key) ? "stage" : "store"}` }, svg("rect", { x: box.x, y: box.y, width: box.w, height: box.h, rx: 10 }), svg("text", { class: "flow-title", x: box.x + 14, y: box.y + 26 }, title), ...rows);
    });
    element.replaceChildren(svg("g", {}, ...Object.values(lines)), ...nodes);
    drawn = name;
  };
  const show = (/** @type {any} */ flow, /** @type {boolean} */ narrow) => {
    const name = narrow ? "down" : "across";
    if (drawn !== name) draw(name);
    const incoming = sum(flow.in);
    const figures = {
      inputs: [`${rate(incoming)}/s`, "events in"],
      redis: [`${rate(flow.users_written)}/s`, "users written"],
      recs: [`${rate(flow.recommendations)}/s`, "recommendations"],
      letters: [`${rate(flow.dead_letters)}/s`, "dead letters"],
      changelog: [`${bytes(flow.changelog_bytes)}/s`, "state changelog"],
      ...Object.fromEntries(STAGES.map((stage) => [stage, stageFigures(flow, stage)])),
    };
    for (const [key, [big, small]] of Object.entries(figures)) {
      say(texts[key][0], big);
      say(texts[key][1], small);
    }
    const flows = { "decode letters": flow.dead_letters, "recommend recs": flow.recommendations, "advance changelog": flow.changelog_bytes };
    for (const [key, line] of Object.entries(lines)) {
      const per = flows[/** @type {keyof typeof flows} */ (key)] ?? incoming;
      line.classList.toggle("flows", per > 0);
      line.classList.toggle("bad", key === "decode letters" && per > 0);
    }
  };
  return { element, show };
}

/**
 * @param {any} flow
 * @param {string} name
 */
function stageFigures(flow, name) {
  const stage = flow.stages.find((/** @type {any} */ one) => one.name === name);
  return [duration(stage?.p[0]), `p99 ${duration(stage?.p[1])}`];
}

/** @param {Record<string, number>} rates */
export const sum = (rates) => Object.values(rates).reduce((all, one) => all + one, 0);

/**
 * A curve from the side of one box to the facing side of the other.
 * @param {Box} from
 * @param {Box} to
 */
function between(from, to) {
  if (to.x >= from.x + from.w) {
    const [x1, y1, x2, y2] = [from.x + from.w, from.y + from.h / 2, to.x, to.y + to.h / 2];
    const half = (x1 + x2) / 2;
    return `M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${x2} ${y2}`;
  }
  const [x1, y1, x2, y2] = [from.x + from.w / 2, from.y + from.h, to.x + to.w / 2, to.y];
  const half = (y1 + y2) / 2;
  return `M${x1} ${y1}C${x1} ${half} ${x2} ${half} ${x2} ${y2}`;
}
