/** The names of keys; see stream_app/contracts/redis_layout.py. */

import { createHmac } from "node:crypto";

export const SERVING_KEY = "interest:serving";

/** An id that begins with a brace would leave nothing between the braces, which Redis Cluster hashes.
 * @param {string} id */
function tagged(id) {
  return id.startsWith("}") ? `%7D${id.slice(1)}` : id.startsWith("%") ? `%25${id.slice(1)}` : id;
}

/** @param {number} generation */
function prefix(generation) {
  return generation <= 1 ? "" : `g${generation}:`;
}

/** @param {string} userId @param {number} generation */
export function interestKey(userId, generation) {
  return `interest:${prefix(generation)}{${tagged(userId)}}`;
}

/** @param {string} userId @param {number} generation */
export function recommendationKey(userId, generation) {
  return `rec:${prefix(generation)}{${tagged(userId)}}`;
}

/** @param {string} itemId @param {number} [generation] where that generation's model has it */
export function itemKey(itemId, generation = 1) {
  return `item:${prefix(generation)}{${tagged(itemId)}}`;
}

/** @param {number} generation */
export function modelKey(generation) {
  return `interest:${prefix(generation)}model`;
}

/** The pseudonym of a user id, where the workers keep pseudonyms; else the id.
 * @param {string} userId @param {string} key */
export function named(userId, key) {
  return key ? createHmac("sha256", key).update(userId).digest("hex").slice(0, 32) : userId;
}
