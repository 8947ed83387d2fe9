"""Recovery: the changelog is read to its end, and only then are the sources let in, from the committed offsets.

Faust waits for the record at the end of each changelog partition. There may be none: the end of a transaction takes an
offset, and compaction and deletion leave holes. So recovery goes by what was read, records or none (`Fetched`). Records
go from the fetch straight to the engine, not through Faust's queue, which has no bound.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from faust.tables.recovery import Recovery
from faust.types import TP
from mode import Service

from stream_app.contracts.errors import StopWorker
from stream_app.faust_slab.account import Fetched
from stream_app.faust_slab.fatal import stop_process


class SlabRecovery(Recovery):
    """Faust's recovery, fed by `SlabConsumer.getmany`, and void from the next revocation on.

    Faust ends one only at the next assignment. A worker that slept may be told in between that the group has dropped
    it: its states are forgotten then, and a recovery that went on would take what it had read for held.
    """

    _epoch = -1

    async def on_rebalance(self, *args: Any) -> None:
        await super().on_rebalance(*args)
        if self.signal_recovery_start.is_set():  # not if yet another rebalance has begun
            self._epoch = self.app.consumer.epoch

    async def take(self, fetched: Mapping[TP, Fetched], is_current: Callable[[], bool]) -> None:
        """What a poll took out of the changelog. When a rebalance comes between two partitions (`is_current` no longer
        holds), the rest is read again."""
        if not self.in_recovery or self.is_void:
            return
        for tp, part in fetched.items():
            _or_stop(self.app.engine.restore, tp.partition, part.records, part.end)
            self.active_offsets[tp] = part.end - 1
            await asyncio.sleep(0)
            if not is_current():
                return
        remaining = {tp.partition: left for tp, left in self.active_remaining().items() if left > 0}
        self.app.engine.restoring(remaining)
        if not remaining:
            self.signal_recovery_end.set()

    @Service.task
    async def _slurp_changelogs(self) -> None:
        """Nothing comes by Faust's queue."""

    @Service.task
    async def _publish_stats(self) -> None:
        """The engine tells how far recovery is; Faust would miss the records that it has not seen."""

    async def _build_offsets(self, consumer: Any, tps: set[TP], destination: Any, title: str) -> None:
        """Faust goes on from where an earlier ownership had read to, though its states may be forgotten since."""
        for tp in tps:
            destination[tp] = self.app.engine.restored_to(tp.partition)
        await super()._build_offsets(consumer, tps, destination, title)
        _or_stop(self._refuse_cut_logs, tps, destination)

    def _refuse_cut_logs(self, tps: set[TP], offsets: Mapping[TP, int]) -> None:
        for tp in tps:
            end = self.active_highwaters.get(tp, -1)
            if offsets[tp] > end:
                raise StopWorker(
                    f"{tp.topic}[{tp.partition}] ends at offset {end}, but this worker wrote or read it up to "
                    f"{offsets[tp]}: records that Kafka had acknowledged are gone (a leader that was not in sync, or a "
                    "topic made anew). Started again, the worker goes on with what is left; events applied since then "
                    "are to be replayed"
                )

    async def _seek_offsets(self, consumer: Any, tps: set[TP], offsets: Mapping[TP, int], title: str) -> None:
        """Faust seeks one record too low, which is out of range where the log's head is gone. The lock keeps out a poll
        from before, which would take records out behind the seek."""
        self.signal_recovery_end.clear()
        async with consumer.fetching:
            await consumer.seek_wait({tp: offsets[tp] + 1 for tp in tps})

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """Faust resumes the sources before the seek and then clears the queues: what came between is lost."""
        await self.app.on_rebalance_complete.send()
        if self._superseded(generation_id):
            return  # the partitions are those of the next one already, of which nothing is read yet
        self._set_recovery_ended()
        read_to = {tp.partition: self.active_offsets[tp] + 1 for tp in self.active_tps}
        _or_stop(self.app.engine.restored, read_to, generation_id)
        for table in self.tables.values():
            await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        consumer = self.app.consumer
        if self._superseded(generation_id):
            return
        assignment = consumer.assignment()
        if assignment:
            await self._wait(consumer.perform_seek(), timeout=self.app.conf.broker_request_timeout)
        if self._superseded(generation_id):
            return
        await self._let_sources_in(assignment)

    def _superseded(self, generation_id: int) -> bool:
        """Whether another rebalance has begun: its own recovery reads and seeks for itself."""
        generations = {self.app.consumer_generation_id, self._generation_id}
        return self.is_void or generations != {generation_id}

    @property
    def is_void(self) -> bool:
        """Whether partitions were revoked since it began."""
        return bool(self._epoch != self.app.consumer.epoch)

    async def _let_sources_in(self, assignment: set[TP]) -> None:
        consumer = self.app.consumer
        self.completed.set()
        self.app.flow_control.resume()  # clears the queues, while the sources are still paused
        consumer.resume_flow()
        consumer.resume_partitions({tp for tp in assignment if not self._is_changelog_tp(tp)})
        await self.app._fetcher.maybe_start()
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        self.app.on_rebalance_end()
        self.log.info("Worker ready")


def _or_stop(step: Callable[..., None], *args: Any) -> None:
    """Faust would log the exception and go on."""
    try:
        step(*args)
    except Exception as error:
        stop_process("recovery", error)
