/** What a user did of late, as the state table remembers it; the longer it takes to be found, the more seldom it is asked for. */

import { ask } from "./stream.js";

const REST_MS = 2_000;
const RESTS = 20;
const FAILED_REST_MS = 60_000;

/**
 * @param {string} user
 * @param {string} mode of what-if; only `changelog` has a past
 * @param {(past: any) => void} show
 * @returns {(version: number) => void} to be called with each version that the page shows
 */
export function pastOf(user, mode, show) {
  let known = -1;
  let dueMs = 0;
  let asking = false;
  return async (version) => {
    if (mode !== "changelog" || asking || version <= known || Date.now() < dueMs || document.hidden) return;
    asking = true;
    const beganMs = Date.now();
    try {
      const past = await ask(`/api/users/${encodeURIComponent(user)}/past`);
      dueMs = Date.now() + Math.max(REST_MS, RESTS * (Date.now() - beganMs));
      known = past.version;
      if (past.version) show(past);
    } catch {
      dueMs = Date.now() + FAILED_REST_MS;
    } finally {
      asking = false;
    }
  };
}
