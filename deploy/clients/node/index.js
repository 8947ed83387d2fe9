/** Reads user interests that interest-updater keeps in Redis. */

export { LAYOUT_VERSION, LayoutError } from "./decode.js";
export { InterestReader } from "./reader.js";

/** @typedef {import("./decode.js").Interest} Interest */
/** @typedef {import("./decode.js").ItemKnowledge} ItemKnowledge */
/** @typedef {import("./decode.js").ModelCard} ModelCard */
/** @typedef {import("./decode.js").Recommendation} Recommendation */
/** @typedef {import("./decode.js").Window} Window */
