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
export function interest(userId: string, key: string, row: Row): Interest | null;
/** @param {string} userId @param {string} key @param {Buffer | null} raw @returns {Recommendation | null} */
export function recommendation(userId: string, key: string, raw: Buffer | null): Recommendation | null;
/** @param {string} key @param {Row} row @returns {ModelCard | null} */
export function modelCard(key: string, row: Row): ModelCard | null;
/** @param {string} itemId @param {string} key @param {Row} row @param {Row} placed @returns {ItemKnowledge | null} */
export function item(itemId: string, key: string, row: Row, placed: Row): ItemKnowledge | null;
/** The generation that `interest:serving` names. @param {string} key @param {Buffer | null} raw */
export function serving(key: string, raw: Buffer | null): number;
/** The layout of Redis that this reader knows. */
export const LAYOUT_VERSION: 1;
export const INTEREST_FIELDS: string[];
export const MODEL_FIELDS: string[];
export const ITEM_FIELDS: string[];
export const PLACE_FIELDS: string[];
/** Redis holds what this reader cannot read: a newer layout (update the reader), or what no worker wrote. */
export class LayoutError extends Error {
}
/**
 * Counters of a rolling window of event time. `rating_mean` is 0..1 of the scale, null without ratings.
 */
export type Window = {
    clicks: number;
    dwell_ms: number;
    ratings: number;
    rating_mean: number | null;
    follows: number;
};
/**
 * What a user is interested in, as of the last event. Vectors are comparable within a generation.
 */
export type Interest = {
    userId: string;
    /**
     * the fused interest
     */
    vector: Float32Array;
    /**
     * from clicks and ratings
     */
    behaviour: Float32Array;
    /**
     * from follows
     */
    social: Float32Array;
    /**
     * from the texts of the items
     */
    content: Float32Array;
    /**
     * name to weight, the largest first; the weights sum to 1
     */
    topics: Map<string, number>;
    /**
     * "1h", "24h", "7d", "30d", as they stood at `eventTsMs`
     */
    windows: Record<string, Window>;
    /**
     * grows with each applied event, within a generation
     */
    version: number;
    generation: number;
    /**
     * applied since the last erasure
     */
    events: number;
    /**
     * latest event time, UTC
     */
    eventTsMs: number;
    /**
     * wall clock of the write, UTC
     */
    updatedAtMs: number;
    /**
     * version of the model that made the vectors
     */
    model: string;
};
/**
 * The recommendation event, as it is on the topic. Items come best first.
 */
export type Recommendation = {
    event_id: string;
    user_id: string;
    /**
     * ms, UTC
     */
    generated_at: number;
    trigger: {
        kind: string;
        event_id: string;
        ts: number;
    };
    model_version: string;
    items: {
        item_id: string;
        score: number;
        reason: {
            facet: string;
            topic: string | null;
            because_item: string | null;
        };
    }[];
};
/**
 * The model in use. `topics` are all names, `dimension` that of each vector.
 */
export type ModelCard = {
    version: string;
    topics: string[];
    dimension: number;
    generation: number;
    layout: number;
};
/**
 * What is known of an item. A larger `interest.vector · place.vector + place.bias` is a better match; a `bias` of
 * -Infinity offers it to nobody.
 */
export type ItemKnowledge = {
    itemId: string;
    title: string;
    topics: Map<string, number>;
    audience: string;
    mood: string;
    creatorId: string;
    /**
     * 0 where its producer has not said
     */
    publishedAtMs: number;
    /**
     * of its text, comparable with others of the same `encoder`
     */
    content: Float32Array;
    encoder: string;
    updatedAtMs: number;
    /**
     * null before the model has been met
     */
    place: {
        vector: Float32Array;
        bias: number;
        model: string;
    } | null;
};
export type Row = (Buffer | null)[];
