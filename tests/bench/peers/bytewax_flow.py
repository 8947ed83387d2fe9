"""Bytewax: a dataflow keyed by user, states in memory with snapshots in its recovery store, a batching sink.

`stateful_batch` hands a user's logic all of the user's events within a batch, and the sink all users of it.
"""

from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any

import bytewax.operators as op
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.run import cli_main

from model_store.state.layout import Kind
from tests.bench.peers.job import Job, User
from tests.bench.peers.spec import Meter, Spec, read_spec

EPOCH = timedelta(seconds=1)

Advanced = tuple[User, int]


class UserLogic(StatefulBatchLogic[Any, Advanced, bytes]):  # type: ignore[misc]  # Bytewax is not followed
    """One user's state."""

    def __init__(self, job: Job, kinds: dict[str, Kind], saved: bytes | None) -> None:
        self._job, self._kinds, self._saved = job, kinds, saved
        self._user: User | None = None

    def on_batch(self, values: list[KafkaSourceMessage]) -> tuple[Iterable[Advanced], bool]:
        user = self._user = self._user or User(values[0].key, self._saved)
        self._job.advance(user, [self._job.event(self._kinds[one.topic], one.value, one.offset) for one in values])
        return [(user, len(values))], StatefulBatchLogic.RETAIN

    def snapshot(self) -> bytes:
        assert self._user is not None
        return self._user.encoded()


class InterestSink(DynamicSink[tuple[str, Advanced]]):  # type: ignore[misc]
    def __init__(self, job: Job, meter: Meter) -> None:
        self._job, self._meter = job, meter

    def build(self, step_id: str, worker_index: int, worker_count: int) -> "InterestPartition":
        return InterestPartition(self._job, self._meter)


class InterestPartition(StatelessSinkPartition[tuple[str, Advanced]]):  # type: ignore[misc]
    """The users of a batch: one readout and one round trip."""

    def __init__(self, job: Job, meter: Meter) -> None:
        self._job, self._meter = job, meter

    def write_batch(self, items: list[tuple[str, Advanced]]) -> None:
        self._job.write(list({key: user for key, (user, _) in items}.values()))
        self._meter.add(sum(events for _, (_, events) in items))


def build_flow(spec: Spec) -> Dataflow:
    job, meter = Job(spec), Meter(spec)
    kinds = dict(zip(spec.inputs, Kind, strict=False))
    flow = Dataflow("interest")
    messages = op.input("events", flow, KafkaSource([spec.bootstrap], spec.inputs, tail=False))
    keyed = op.key_on("user", messages, lambda message: message.key.decode())
    advanced = op.stateful_batch("advance", keyed, lambda saved: UserLogic(job, kinds, saved))
    op.output("redis", advanced, InterestSink(job, meter))
    return flow


if __name__ == "__main__":
    told = read_spec()
    store = Path(told.folder) / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    cli_main(build_flow(told), epoch_interval=EPOCH, recovery_config=RecoveryConfig(str(store)))
