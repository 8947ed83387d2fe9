/** @param {string} userId @param {number} generation */
export function interestKey(userId: string, generation: number): string;
/** @param {string} userId @param {number} generation */
export function recommendationKey(userId: string, generation: number): string;
/** @param {string} itemId @param {number} [generation] where that generation's model has it */
export function itemKey(itemId: string, generation?: number): string;
/** @param {number} generation */
export function modelKey(generation: number): string;
/** The pseudonym of a user id, where the workers keep pseudonyms; else the id.
 * @param {string} userId @param {string} key */
export function named(userId: string, key: string): string;
export const SERVING_KEY: "interest:serving";
