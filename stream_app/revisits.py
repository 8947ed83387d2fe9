"""Who is read out again though they have done nothing: those whom they follow may have changed since."""

from collections.abc import Mapping

STEP_S = 0.1
MOST = 256
"""Rows looked at in a step, so that no event waits for more than a few milliseconds."""


class Lap:
    """Goes round the rows of all partitions once in `lap_s`; with more than `MOST` rows a step it takes longer."""

    def __init__(self, lap_s: float, now_s: float) -> None:
        """`lap_s`: 0 stands still."""
        self._lap_s, self._at_s = lap_s, now_s
        self._row, self._allowed = 0, 0.0

    def step(self, sizes: Mapping[int, int], now_s: float) -> dict[int, range]:
        """The next rows of each partition, `sizes` telling how many rows each has. Ends at the last row of all."""
        rows, passed_s = sum(sizes.values()), max(0.0, now_s - self._at_s)
        self._at_s = now_s
        if not rows or not self._lap_s:
            return {}
        self._allowed = min(self._allowed + rows * passed_s / self._lap_s, MOST)
        first = self._row if self._row < rows else 0
        self._row = min(first + int(self._allowed), rows)
        self._allowed -= self._row - first
        return _parts(sizes, first, self._row)


def _parts(sizes: Mapping[int, int], first: int, stop: int) -> dict[int, range]:
    """Of rows counted through all partitions."""
    parts, start = {}, 0
    for partition, size in sizes.items():
        part = range(max(first - start, 0), min(stop - start, size))
        if len(part):
            parts[partition] = part
        start += size
    return parts
