"""Stock Faust: an agent for each topic, one event at a time, one table set for each event.

`take()` would hand out many events at once, but a table cannot be written inside it (`Cannot modify table key from
outside of stream iteration`), and it acknowledges events that nobody has seen when the agent fails.
"""

import os
import sys

import mode.loop

mode.loop.use("uvloop")

import faust  # noqa: E402  # the event loop must be chosen first

from model_store.state.layout import Kind  # noqa: E402
from tests.bench.peers.job import Job, User  # noqa: E402
from tests.bench.peers.spec import Meter, Spec, read_spec  # noqa: E402


def build_app(spec: Spec) -> faust.App:
    app = faust.App(
        spec.name,
        broker=f"kafka://{spec.bootstrap}",
        store="memory://",
        topic_partitions=spec.partitions,
        topic_disable_leader=True,
        datadir=spec.folder,
        web_enabled=False,
    )
    states = app.Table("state", partitions=spec.partitions, key_type=bytes, value_type=bytes)
    job, meter = Job(spec), Meter(spec)

    async def apply(stream: faust.StreamT, kind: Kind) -> None:
        async for event in stream.events():
            user = User(event.key, states.get(event.key))
            job.advance(user, [job.event(kind, event.value, event.message.offset)])
            states[event.key] = user.encoded()
            await job.write_async([user])
            if meter.add(1):
                os._exit(0)

    for kind, name in zip(Kind, spec.inputs, strict=False):
        topic = app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        @app.agent(topic, name=name)  # type: ignore[untyped-decorator]  # Faust ships no types
        async def agent(stream: faust.StreamT, kind: Kind = kind) -> None:
            await apply(stream, kind)

    return app


if __name__ == "__main__":
    application = build_app(read_spec())
    sys.argv = ["faust", "worker", "--loglevel", "warn", "--without-web"]
    application.main()
