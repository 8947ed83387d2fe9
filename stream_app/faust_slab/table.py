"""The state table as Faust sees it: it owns the changelog topic and the partitions, the engine owns the content."""

import faust
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP

from stream_app.faust_slab.recovery import SlabRecovery


class SlabTable(faust.Table):
    """Nothing is ever set through it: the engine writes the changelog behind (`flush.py`), and `SlabRecovery` reads."""

    def persisted_offset(self, tp: TP) -> int | None:
        """Partitions that stay are not read again at each rebalance."""
        restored: int | None = self.app.engine.restored_to(tp.partition)
        return restored


class SlabTableManager(TableManager):
    _recovery: Recovery | None

    async def on_start(self) -> None:
        """Faust first waits a second for tables that are declared late; ours is there."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()

    @property
    def recovery(self) -> Recovery:
        if self._recovery is None:
            self._recovery = SlabRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery
