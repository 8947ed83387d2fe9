"""The state table as Faust sees it: it owns the changelog topic and the partitions, the engine owns the content."""

from collections.abc import Iterable
from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

from stream_app.faust_slab.fatal import stop_process


class SlabTable(faust.Table):
    """Restores slab by slab. Nothing is ever set through it: the engine writes the changelog behind (`flush.py`)."""

    def apply_changelog_batch(self, batch: Iterable[Any]) -> None:
        """Recovery swallows exceptions, so a state that can't be read ends the process here."""
        try:
            for event in batch:
                for slab in event.message.value:
                    self.app.engine.restore(slab.partition, slab.records)
        except Exception as error:
            stop_process("recovery", error)

    def persisted_offset(self, tp: TP) -> int | None:
        """Partitions that stay are not read again at each rebalance."""
        restored: int | None = self.app.engine.restored_to(tp.partition)
        return restored

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        self.app.engine.keep_only({tp.partition for tp in active_tps})
        await super().on_recovery_completed(active_tps, standby_tps)


class SeekFirstRecovery(Recovery):
    """Faust resumes the source partitions before the seek and then clears the queues: what came between is lost."""

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        await self.app.on_rebalance_complete.send()
        self._set_recovery_ended()
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
        """Whether another rebalance has begun: its own recovery seeks for itself."""
        return bool(self.app.consumer_generation_id != generation_id)

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


class SlabTableManager(TableManager):
    _recovery: Recovery | None

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = SeekFirstRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
