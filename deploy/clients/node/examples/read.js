import { createClient } from "redis";

import { InterestReader } from "../index.js";

const client = createClient({ url: process.argv[2], disableOfflineQueue: true });
client.on("error", (error) => console.error(error.message)); // it reconnects by itself
await client.connect();
const reader = new InterestReader(client);

const interest = await reader.get("u42"); // null if unknown
if (interest) {
  console.log(interest.vector); // Float32Array(64)
  console.log([...interest.topics][0]); // the largest: ["Drama", 0.31]
  console.log(interest.windows["24h"].clicks);
}
const several = await reader.getMany(["u42", "u43"]); // a Map, in one round trip
console.log(several.size, await reader.recommendations("u42"));
client.destroy();
