/**
 * Methods reject with LayoutError for what no worker wrote, and with the client's own errors.
 * Commands of one method are sent together, in one round trip.
 */
export class InterestReader {
    /**
     * @param {import("redis").RedisClientType<any, any, any, any, any>} client connected; it may be used for other things too
     * @param {object} [options]
     * @param {string} [options.pseudonymKey] that of the workers, if they keep ids as pseudonyms
     * @param {number} [options.generation] to read this one, whichever serves
     */
    constructor(client: import("redis").RedisClientType<any, any, any, any, any>, { pseudonymKey, generation }?: {
        pseudonymKey?: string | undefined;
        generation?: number | undefined;
    });
    /** The generation that is read; of the one that serves, as it was within the last second. */
    generation(): Promise<number>;
    /**
     * The user's interests, null for one without events, or erased, or without events for longer than the TTL.
     * @param {string} userId
     * @returns {Promise<Interest | null>}
     */
    get(userId: string): Promise<Interest | null>;
    /**
     * Those of the users that have interests, all of one generation.
     * @param {Iterable<string>} userIds
     * @returns {Promise<Map<string, Interest>>}
     */
    getMany(userIds: Iterable<string>): Promise<Map<string, Interest>>;
    /**
     * The latest recommendations, null if there are none.
     * @param {string} userId
     * @returns {Promise<Recommendation | null>}
     */
    recommendations(userId: string): Promise<Recommendation | null>;
    /**
     * Those of the items of which something is known.
     * @param {Iterable<string>} itemIds
     * @returns {Promise<Map<string, ItemKnowledge>>}
     */
    items(itemIds: Iterable<string>): Promise<Map<string, ItemKnowledge>>;
    /**
     * The model in use, null before a worker has announced one; with `interest.generation` the one that explains it.
     * @param {number} [generation]
     * @returns {Promise<ModelCard | null>}
     */
    model(generation?: number): Promise<ModelCard | null>;
    #private;
}
export type Interest = import("./decode.js").Interest;
export type Recommendation = import("./decode.js").Recommendation;
export type ItemKnowledge = import("./decode.js").ItemKnowledge;
export type ModelCard = import("./decode.js").ModelCard;
export type Row = import("./decode.js").Row;
