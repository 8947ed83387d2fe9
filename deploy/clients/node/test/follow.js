/** Prints the generation of the interests that it reads each time that it changes, until it is 2: node follow.js URL */

import { setTimeout } from "node:timers/promises";

import { createClient } from "redis";

import { InterestReader } from "../index.js";

const client = createClient({ url: process.argv[2] });
await client.connect();
const reader = new InterestReader(client);
for (let seen = 0; seen < 2; await setTimeout(10)) {
  const generation = (await reader.get("u42"))?.generation ?? 0;
  if (generation !== seen) console.log(generation);
  seen = generation;
}
client.destroy();
