"""The floor: a bare aiokafka loop that takes the events and does nothing with them."""

import uvloop
from aiokafka import AIOKafkaConsumer

from tests.bench.peers.spec import Meter, Spec, read_spec


async def run(spec: Spec) -> None:
    meter = Meter(spec)
    consumer = AIOKafkaConsumer(
        *spec.inputs, bootstrap_servers=spec.bootstrap, group_id=spec.name, auto_offset_reset="earliest"
    )
    async with consumer:
        while True:
            batches = await consumer.getmany(timeout_ms=500)
            if batches and meter.add(sum(map(len, batches.values()))):
                return


if __name__ == "__main__":
    uvloop.run(run(read_spec()))
