/** From what Redis answers to what readers return. What no worker wrote raises LayoutError. */

import { endianness } from "node:os";

/** The layout of Redis that this reader knows. */
export const LAYOUT_VERSION = 1;

export const INTEREST_FIELDS = [
  "vector", "behaviour", "social", "content", "topics", "windows",
  "updated_at", "event_ts", "events", "generation", "version", "model",
];
export const MODEL_FIELDS = ["version", "topics", "dimension", "generation", "layout"];
export const ITEM_FIELDS = [
  "title", "topics", "audience", "mood", "creator_id", "published_at", "content", "encoder", "updated_at",
];
export const PLACE_FIELDS = ["vector", "bias", "model"];

/** Redis holds what this reader cannot read: a newer layout (update the reader), or what no worker wrote. */
export class LayoutError extends Error {
  name = "LayoutError";
}

/**
 * Counters of a rolling window of event time. `rating_mean` is 0..1 of the scale, null without ratings.
 * @typedef {{clicks: number, dwell_ms: number, ratings: number, rating_mean: number | null, follows: number}} Window
 */

/**
 * What a user is interested in, as of the last event. Vectors are comparable within a generation.
 * @typedef {object} Interest
 * @property {string} userId
 * @property {Float32Array} vector the fused interest
 * @property {Float32Array} behaviour from clicks and ratings
 * @property {Float32Array} social from follows
 * @property {Float32Array} content from the texts of the items
 * @property {Map<string, number>} topics name to weight, the largest first; the weights sum to 1
 * @property {Record<string, Window>} windows "1h", "24h", "7d", "30d", as they stood at `eventTsMs`
 * @property {number} version grows with each applied event, within a generation
 * @property {number} generation
 * @property {number} events applied since the last erasure
 * @property {number} eventTsMs latest event time, UTC
 * @property {number} updatedAtMs wall clock of the write, UTC
 * @property {string} model version of the model that made the vectors
 */

/**
 * The recommendation event, as it is on the topic. Items come best first.
 * @typedef {object} Recommendation
 * @property {string} event_id
 * @property {string} user_id
 * @property {number} generated_at ms, UTC
 * @property {{kind: string, event_id: string, ts: number}} trigger
 * @property {string} model_version
 * @property {{item_id: string, score: number, reason: {facet: string, topic: string | null, because_item: string | null}}[]} items
 */

/**
 * The model in use. `topics` are all names, `dimension` that of each vector.
 * @typedef {{version: string, topics: string[], dimension: number, generation: number, layout: number}} ModelCard
 */

/**
 * What is known of an item. A larger `interest.vector · place.vector + place.bias` is a better match; a `bias` of
 * -Infinity offers it to nobody.
 * @typedef {object} ItemKnowledge
 * @property {string} itemId
 * @property {string} title
 * @property {Map<string, number>} topics
 * @property {string} audience
 * @property {string} mood
 * @property {string} creatorId
 * @property {number} publishedAtMs 0 where its producer has not said
 * @property {Float32Array} content of its text, comparable with others of the same `encoder`
 * @property {string} encoder
 * @property {number} updatedAtMs
 * @property {{vector: Float32Array, bias: number, model: string} | null} place null before the model has been met
 */

/** @typedef {(Buffer | null)[]} Row */

/** @param {string} userId @param {string} key @param {Row} row @returns {Interest | null} */
export function interest(userId, key, row) {
  if (row[0] === null) return null;
  return at(key, () => {
    const raw = whole(INTEREST_FIELDS, row);
    if (new Set(["vector", "behaviour", "social", "content"].map((name) => raw[name].length)).size > 1) {
      throw new Error("the vectors have several lengths");
    }
    return {
      userId,
      vector: vector(raw.vector),
      behaviour: vector(raw.behaviour),
      social: vector(raw.social),
      content: vector(raw.content),
      topics: topics(raw.topics),
      windows: windows(raw.windows),
      version: number(raw.version),
      generation: number(raw.generation),
      events: number(raw.events),
      eventTsMs: number(raw.event_ts),
      updatedAtMs: number(raw.updated_at),
      model: text(raw.model),
    };
  });
}

/** @param {string} userId @param {string} key @param {Buffer | null} raw @returns {Recommendation | null} */
export function recommendation(userId, key, raw) {
  if (raw === null) return null;
  return at(key, () => {
    const found = json(raw);
    const { event_id, generated_at, trigger, model_version, items } = found;
    need(isText(event_id, found.user_id, model_version, trigger?.kind, trigger?.event_id), "no recommendation");
    need(Number.isInteger(generated_at) && Number.isInteger(trigger.ts) && Array.isArray(items), "no recommendation");
    for (const { item_id, score, reason } of items) {
      need(isText(item_id, reason?.facet) && Number.isFinite(score), "no recommended item");
    }
    return { event_id, user_id: userId, generated_at, trigger, model_version, items: items.map(reasoned) };
  });
}

/** @param {string} key @param {Row} row @returns {ModelCard | null} */
export function modelCard(key, row) {
  if (row.every((value) => value === null)) return null;
  return at(key, () => {
    const raw = whole(MODEL_FIELDS, row);
    const layout = number(raw.layout);
    need(layout <= LAYOUT_VERSION, `layout ${layout}, this reader knows ${LAYOUT_VERSION}: update interest-reader`);
    const names = json(raw.topics);
    need(Array.isArray(names) && isText(...names), "topics are no list of names");
    return {
      version: text(raw.version),
      topics: names,
      dimension: number(raw.dimension),
      generation: number(raw.generation),
      layout,
    };
  });
}

/** @param {string} itemId @param {string} key @param {Row} row @param {Row} placed @returns {ItemKnowledge | null} */
export function item(itemId, key, row, placed) {
  if (row[0] === null) return null;
  return at(key, () => {
    const raw = whole(ITEM_FIELDS, row);
    return {
      itemId,
      title: text(raw.title),
      topics: topics(raw.topics),
      audience: text(raw.audience),
      mood: text(raw.mood),
      creatorId: text(raw.creator_id),
      publishedAtMs: number(raw.published_at),
      content: vector(raw.content),
      encoder: text(raw.encoder),
      updatedAtMs: number(raw.updated_at),
      place: place(placed),
    };
  });
}

/** The generation that `interest:serving` names. @param {string} key @param {Buffer | null} raw */
export function serving(key, raw) {
  if (raw === null) return 1;
  return at(key, () => {
    const { generation } = json(raw);
    need(Number.isInteger(generation) && generation >= 1, "no generation");
    return /** @type {number} */ (generation);
  });
}

/** @param {Row} row */
function place(row) {
  if (row.every((value) => value === null)) return null;
  const raw = whole(PLACE_FIELDS, row);
  const shown = text(raw.bias);
  const bias = shown === "-inf" ? -Infinity : Number(shown);
  need(shown !== "" && !Number.isNaN(bias), "bias is no number");
  return { vector: vector(raw.vector), bias, model: text(raw.model) };
}

/** @template T @param {string} key @param {() => T} read @returns {T} */
function at(key, read) {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message.slice(0, 200) : String(error);
    throw new LayoutError(`Redis holds at ${key.slice(0, 300)} what this reader cannot read: ${why}`, { cause: error });
  }
}

/** @param {unknown} holds @param {string} otherwise @returns {asserts holds} */
function need(holds, otherwise) {
  if (!holds) throw new Error(otherwise);
}

/** @param {string[]} fields @param {Row} row @returns {Record<string, Buffer>} */
function whole(fields, row) {
  const missing = fields.filter((_, index) => row[index] === null);
  need(missing.length === 0, `without ${missing.join(", ")}`);
  return Object.fromEntries(fields.map((name, index) => [name, /** @type {Buffer} */ (row[index])]));
}

/** @param {Buffer} raw little-endian float32 */
function vector(raw) {
  need(raw.length % 4 === 0, `a vector of ${raw.length} bytes`);
  const copy = new Uint8Array(raw); // a Float32Array must begin at a multiple of four bytes
  if (endianness() === "BE") Buffer.from(copy.buffer).swap32();
  return new Float32Array(copy.buffer);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @param {Buffer} raw */
function text(raw) {
  return utf8.decode(raw);
}

/** @param {Buffer} raw @returns {any} */
function json(raw) {
  return JSON.parse(text(raw));
}

/** @param {Buffer} raw */
function number(raw) {
  const shown = text(raw);
  need(/^(0|-?[1-9][0-9]*)$/.test(shown), `"${shown.slice(0, 40)}" is no whole number`);
  return Number(shown);
}

/** @param {unknown[]} values */
function isText(...values) {
  return values.every((value) => typeof value === "string");
}

/** Sorted anew: JSON.parse puts names that look like numbers first. @param {Buffer} raw */
function topics(raw) {
  const found = json(raw);
  need(isObject(found), "topics are no object");
  const pairs = Object.entries(found);
  need(pairs.every(([, weight]) => Number.isFinite(weight)), "a weight is no number");
  return new Map(pairs.sort(([, one], [, other]) => other - one));
}

/** @param {Buffer} raw @returns {Record<string, Window>} */
function windows(raw) {
  const found = json(raw);
  need(isObject(found), "windows are no object");
  for (const { clicks, dwell_ms, ratings, rating_mean, follows } of Object.values(found)) {
    need([clicks, dwell_ms, ratings, follows].every(Number.isInteger), "a counter is no whole number");
    need(rating_mean === null || Number.isFinite(rating_mean), "rating_mean is no number");
  }
  return found;
}

/** @param {unknown} value */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {Recommendation["items"][number]} item */
function reasoned({ item_id, score, reason: { facet, topic = null, because_item = null } }) {
  return { item_id, score, reason: { facet, topic, because_item } };
}
