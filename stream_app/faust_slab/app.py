"""The Faust application: its settings derived from ours, its parts replaced by the slab ones."""

import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import faust

from stream_app.access import tls_context
from stream_app.agreement import Terms
from stream_app.faust_slab.assignor import AnnouncingAssignor
from stream_app.faust_slab.ports import Engine
from stream_app.faust_slab.table import SlabTable, SlabTableManager
from stream_app.faust_slab.transport import SlabTransport
from stream_app.settings import KafkaSecurity, Settings

STATE_TABLE = "state"
_NEVER = 1_000_000_000


class SlabApp(faust.App):
    """A Faust app whose consumer hands slabs to `engine`."""

    engine: Engine
    terms: Terms
    before_start: Callable[[], Awaitable[None]]
    on_group_answer: Callable[[], None]
    """Called by the consumer's thread whenever the group takes this worker for a member."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        self.kafka, self.cycle = settings.kafka, settings.cycle
        super().__init__(settings.kafka.consumer_group, **faust_settings(settings), **kwargs)
        self.state_table = self.Table(
            STATE_TABLE,
            partitions=settings.kafka.partitions,
            key_type=bytes,
            value_type=bytes,
        )

    async def on_start(self) -> None:
        await self.before_start()
        await super().on_start()

    def _create_directories(self) -> None:
        """The store is memory: Faust has nothing to put there."""

    def _new_transport(self) -> SlabTransport:
        return SlabTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> SlabTransport:
        return SlabTransport(self.conf.broker_producer, self)

    def kafka_producer(self) -> Any:
        """The idempotent aiokafka producer, started with the app."""
        return self.producer._ensure_producer()


def faust_settings(settings: Settings) -> dict[str, Any]:
    """Faust's settings; those that are not obvious say why."""
    kafka = settings.kafka
    return {
        "broker": [f"kafka://{address.strip()}" for address in kafka.bootstrap.split(",")],
        "broker_credentials": _credentials(kafka.security),
        "broker_client_id": f"interest-{socket.gethostname()}-{os.getpid()}",
        "store": "memory://",
        "Table": SlabTable,
        "TableManager": SlabTableManager,
        "PartitionAssignor": AnnouncingAssignor,
        "agent_supervisor": "mode.CrashingSupervisor",  # a net below stop_process: never restart an agent on its stream
        "topic_partitions": kafka.partitions,
        "topic_replication_factor": kafka.replication,
        "topic_disable_leader": True,  # the leader topic serves only timers that we don't use
        "topic_allow_declare": False,  # `interest topics create` does, with configs that Faust would get silently wrong
        "table_standby_replicas": 0,  # a promoted standby reads from the start anyway
        "web_enabled": False,  # would serve the table's content
        "broker_session_timeout": kafka.session_timeout_s,
        "broker_heartbeat_interval": kafka.heartbeat_s,
        "broker_rebalance_timeout": kafka.rebalance_timeout_s,
        "broker_request_timeout": max(kafka.request_timeout_s, kafka.session_timeout_s),
        "broker_commit_interval": kafka.commit_interval_s,
        "broker_commit_every": _NEVER,  # counts messages; the interval commits
        "broker_max_poll_interval": 300.0,  # the default of 1,000 s hides a hang
        "broker_check_crcs": False,  # TCP and the broker check; this costs a core at full speed
        "consumer_max_fetch_size": kafka.fetch_max_bytes,
        "consumer_auto_offset_reset": "none",  # a gap is an error; the transport seeks to the start where there is none
        "consumer_metadata_max_age_ms": int(kafka.metadata_max_age_s * 1000),  # a topic that grows must be noticed soon
        "stream_buffer_maxsize": _NEVER,  # `max_backlog_events` bounds instead
        "stream_wait_empty": True,  # calls wait_empty before partitions leave
        "producer_acks": -1,
        "producer_linger": 0.0,  # batches are made by hand
        "producer_max_batch_size": 512 * 1024,
        "producer_request_timeout": kafka.request_timeout_s,  # the default of 1,200 s outlives the session
    }


def _credentials(security: KafkaSecurity) -> Any:
    """Faust's words for `kafka.security`."""
    context = tls_context(security, "kafka.security") if security.encrypted else None
    if security.by_password:
        return faust.SASLCredentials(
            username=security.username,
            password=security.password.get_secret_value(),
            mechanism=security.mechanism,
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if context else None
