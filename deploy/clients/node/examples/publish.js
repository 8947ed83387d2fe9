// Clicks from standard input, one JSON object a line: node publish.js localhost:9092 interest.clicks < clicks.jsonl
import { createInterface } from "node:readline";

import { Kafka, Partitioners } from "kafkajs";

const [broker, topic] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [broker] });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner }); // murmur2, as in Java
await producer.connect();
const messages = [];
for await (const value of createInterface({ input: process.stdin })) {
  messages.push({ key: JSON.parse(value).user_id, value });
}
await producer.send({ topic, messages, acks: -1 });
await producer.disconnect();
