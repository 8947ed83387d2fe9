"""Clicks from standard input, one a line: python publish.py localhost:9092 interest.clicks < clicks.jsonl"""

import json
import sys

from kafka import KafkaProducer

broker, topic = sys.argv[1:]
producer = KafkaProducer(bootstrap_servers=broker, acks="all")  # murmur2 is its default
sent = []
for line in sys.stdin.buffer:
    click = line.rstrip()
    sent.append(producer.send(topic, key=json.loads(click)["user_id"].encode(), value=click))
producer.flush()
for one in sent:
    one.get()  # raises what went wrong
