/** Answers the readings of ../../conformance.json: node conformance.js URL FILE */

import { readFileSync } from "node:fs";

import { createClient } from "redis";

import { InterestReader, LayoutError } from "../index.js";

const [url, file] = process.argv.slice(2);
const { worlds } = JSON.parse(readFileSync(file, "utf8"));
const answers = [];
for (const [database, world] of worlds.entries()) {
  const client = createClient({ url: `${url}/${database}` });
  client.on("error", (error) => console.error(error.message));
  await client.connect();
  const reader = new InterestReader(client, { pseudonymKey: world.pseudonym_key });
  const given = [];
  for (const reading of world.readings) given.push(await answer(reader, reading));
  answers.push(given);
  client.destroy();
}
console.log(JSON.stringify(answers));

/** @param {InterestReader} reader @param {{call: string, of: any}} reading */
async function answer(reader, { call, of }) {
  try {
    switch (call) {
      case "get":
        return { gives: interest(await reader.get(of)) };
      case "get_many":
        return { gives: each(await reader.getMany(of), interest) };
      case "items":
        return { gives: each(await reader.items(of), item) };
      case "recommendations":
        return { gives: await reader.recommendations(of) };
      case "model":
        return { gives: await reader.model(of) };
      default:
        throw new Error(`what is ${call}?`);
    }
  } catch (error) {
    if (error instanceof LayoutError) return { raises: "layout" };
    if (error instanceof Error && error.message.startsWith("WRONGTYPE")) return { raises: "redis" };
    throw error;
  }
}

/** @template T @param {Map<string, T>} all @param {(one: T) => any} told */
function each(all, told) {
  return Object.fromEntries([...all].map(([id, one]) => [id, told(one)]));
}

/** @param {import("../index.js").Interest | null} one */
function interest(one) {
  if (one === null) return null;
  const { userId: user_id, eventTsMs: event_ts_ms, updatedAtMs: updated_at_ms, ...same } = one;
  const facets = { vector: [...one.vector], behaviour: [...one.behaviour], social: [...one.social], content: [...one.content] };
  return { ...same, ...facets, topics: [...one.topics], user_id, event_ts_ms, updated_at_ms };
}

/** @param {import("../index.js").ItemKnowledge} one */
function item(one) {
  const { itemId: item_id, creatorId: creator_id, publishedAtMs: published_at_ms, updatedAtMs: updated_at_ms } = one;
  const { title, audience, mood, encoder } = one;
  const place = one.place && { ...one.place, vector: [...one.place.vector], bias: String(one.place.bias) };
  const rest = { topics: [...one.topics], content: [...one.content], place };
  return { item_id, creator_id, published_at_ms, updated_at_ms, title, audience, mood, encoder, ...rest };
}
