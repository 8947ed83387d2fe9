"""The same with librdkafka, whose default partitioner is another one."""

import json
import sys

from confluent_kafka import Producer

broker, topic = sys.argv[1:]
producer = Producer({"bootstrap.servers": broker, "acks": "all", "partitioner": "murmur2_random"})
for line in sys.stdin.buffer:
    click = line.rstrip()
    producer.produce(topic, key=json.loads(click)["user_id"].encode(), value=click)
    producer.poll(0)
producer.flush()
