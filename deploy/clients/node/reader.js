/** Reads over a client of the package `redis`, which it neither opens nor closes. */

import { RESP_TYPES } from "redis";

import * as decode from "./decode.js";
import { interestKey, itemKey, modelKey, named, recommendationKey, SERVING_KEY } from "./keys.js";

/** @typedef {import("./decode.js").Interest} Interest */
/** @typedef {import("./decode.js").Recommendation} Recommendation */
/** @typedef {import("./decode.js").ItemKnowledge} ItemKnowledge */
/** @typedef {import("./decode.js").ModelCard} ModelCard */
/** @typedef {import("./decode.js").Row} Row */

const LOOK_MS = 1000; // how long a generation may go on being read once another one serves

/**
 * Methods reject with LayoutError for what no worker wrote, and with the client's own errors.
 * Commands of one method are sent together, in one round trip.
 */
export class InterestReader {
  #redis;
  #pseudonymKey;
  #known;
  #until;

  /**
   * @param {import("redis").RedisClientType<any, any, any, any, any>} client connected; it may be used for other things too
   * @param {object} [options]
   * @param {string} [options.pseudonymKey] that of the workers, if they keep ids as pseudonyms
   * @param {number} [options.generation] to read this one, whichever serves
   */
  constructor(client, { pseudonymKey = "", generation } = {}) {
    this.#redis = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
    this.#pseudonymKey = pseudonymKey;
    this.#known = generation ?? 0;
    this.#until = generation === undefined ? -Infinity : Infinity;
  }

  /** The generation that is read; of the one that serves, as it was within the last second. */
  async generation() {
    if (performance.now() >= this.#until) {
      this.#known = decode.serving(SERVING_KEY, await this.#get(SERVING_KEY));
      this.#until = performance.now() + LOOK_MS;
    }
    return this.#known;
  }

  /**
   * The user's interests, null for one without events, or erased, or without events for longer than the TTL.
   * @param {string} userId
   * @returns {Promise<Interest | null>}
   */
  async get(userId) {
    const key = interestKey(this.#named(userId), await this.generation());
    return decode.interest(userId, key, await this.#hash(key, decode.INTEREST_FIELDS));
  }

  /**
   * Those of the users that have interests, all of one generation.
   * @param {Iterable<string>} userIds
   * @returns {Promise<Map<string, Interest>>}
   */
  async getMany(userIds) {
    const users = [...new Set(userIds)];
    const generation = await this.generation();
    const keys = users.map((user) => interestKey(this.#named(user), generation));
    const rows = await Promise.all(keys.map((key) => this.#hash(key, decode.INTEREST_FIELDS)));
    return found(users, (user, index) => decode.interest(user, keys[index], rows[index]));
  }

  /**
   * The latest recommendations, null if there are none.
   * @param {string} userId
   * @returns {Promise<Recommendation | null>}
   */
  async recommendations(userId) {
    const key = recommendationKey(this.#named(userId), await this.generation());
    return decode.recommendation(userId, key, await this.#get(key));
  }

  /**
   * Those of the items of which something is known.
   * @param {Iterable<string>} itemIds
   * @returns {Promise<Map<string, ItemKnowledge>>}
   */
  async items(itemIds) {
    const ids = [...new Set(itemIds)];
    const generation = await this.generation();
    const asked = ids.flatMap((id) => [
      this.#hash(itemKey(id), decode.ITEM_FIELDS),
      this.#hash(itemKey(id, generation), decode.PLACE_FIELDS),
    ]);
    const rows = await Promise.all(asked);
    return found(ids, (id, index) => decode.item(id, itemKey(id), rows[2 * index], rows[2 * index + 1]));
  }

  /**
   * The model in use, null before a worker has announced one; with `interest.generation` the one that explains it.
   * @param {number} [generation]
   * @returns {Promise<ModelCard | null>}
   */
  async model(generation) {
    const key = modelKey(generation || (await this.generation()));
    return decode.modelCard(key, await this.#hash(key, decode.MODEL_FIELDS));
  }

  /** @param {string} userId */
  #named(userId) {
    return named(userId, this.#pseudonymKey);
  }

  /** @param {string} key @returns {Promise<Buffer | null>} */
  async #get(key) {
    return /** @type {any} */ (await this.#redis.get(key));
  }

  /** @param {string} key @param {string[]} fields @returns {Promise<Row>} */
  async #hash(key, fields) {
    return /** @type {any} */ (await this.#redis.hmGet(key, fields));
  }
}

/**
 * @template T
 * @param {string[]} ids
 * @param {(id: string, index: number) => T | null} read
 * @returns {Map<string, T>}
 */
function found(ids, read) {
  /** @type {Map<string, T>} */
  const all = new Map();
  ids.forEach((id, index) => {
    const one = read(id, index);
    if (one !== null) all.set(id, one);
  });
  return all;
}
