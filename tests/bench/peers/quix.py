"""Quix Streams: a StreamingDataFrame with state, and a batching sink that writes at each checkpoint.

Quix hands out one event at a time and keeps states in RocksDB with a changelog topic; what it batches is the sink, so
the readout and Redis see many users at once.
"""

from collections.abc import Callable
from typing import Any

from quixstreams import Application, State, message_context
from quixstreams.sinks import BatchingSink, SinkBatch

from model_store.state.layout import Kind
from tests.bench.peers.job import Job, User
from tests.bench.peers.spec import Meter, Spec, read_spec

CHECKPOINT_S = 1.0
# Several topics are read through a buffer that waits so long for 10,000 messages; with the default, 1 s, it idles.
POLL_S = 0.05


class InterestSink(BatchingSink):  # type: ignore[misc]  # Quix ships no types that mypy is told to read
    """The latest state of each user in the batch: one readout and one round trip."""

    def __init__(self, job: Job, meter: Meter, stop: Callable[[], None]) -> None:
        super().__init__()
        self._job, self._meter, self._stop = job, meter, stop

    def write(self, batch: SinkBatch) -> None:
        latest = {item.key: item.value for item in batch}
        self._job.write([User(key, record) for key, record in latest.items()])
        if self._meter.add(batch.size):
            self._stop()


def run(spec: Spec) -> None:
    app = Application(
        spec.bootstrap,
        consumer_group=spec.name,
        auto_offset_reset="earliest",
        commit_interval=CHECKPOINT_S,
        consumer_poll_timeout=POLL_S,
        state_dir=spec.folder,
        loglevel="WARNING",
    )
    job, meter = Job(spec), Meter(spec)
    kinds = dict(zip(spec.inputs, Kind, strict=False))

    def advance(value: bytes, key: bytes, timestamp: int, headers: Any, state: State) -> bytes:
        context = message_context()
        user = User(key, state.get_bytes("user"))
        job.advance(user, [job.event(kinds[context.topic], value, context.offset)])
        record = user.encoded()
        state.set_bytes("user", record)
        return record

    topics = [app.topic(name, key_deserializer="bytes", value_deserializer="bytes") for name in spec.inputs]
    clicks, follows, ratings = map(app.dataframe, topics)
    events = clicks.concat(follows).concat(ratings)
    events.apply(advance, stateful=True, metadata=True).sink(InterestSink(job, meter, app.stop))
    app.run()


if __name__ == "__main__":
    run(read_spec())
