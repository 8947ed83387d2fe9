// Clicks from standard input, one a line: node publish.js localhost:9092 interest.clicks < clicks.jsonl
import { readFileSync } from "node:fs";

import { Kafka, Partitioners } from "kafkajs";

const [broker, topic] = process.argv.slice(2);
const producer = new Kafka({ brokers: [broker] }).producer({
  createPartitioner: Partitioners.DefaultPartitioner, // murmur2, as in Java
});
await producer.connect();
const clicks = readFileSync(0, "utf8").trimEnd().split("\n");
const messages = clicks.map((value) => ({ key: JSON.parse(value).user_id, value }));
await producer.send({ topic, messages, acks: -1 });
await producer.disconnect();
