"""When a user's next recommendation is due, and what was offered last.

A recommendation is due when none was made yet, or when at least a minimum interval has passed *and* the interest
vector has drifted: 1 - cosine between a sketch of the vector now and the one kept from the last recommendation. The
sketch folds the vector's DIM components into SKETCH by fixed signs and keeps them as int8.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.kernels import kernel
from model_store.state.arena import Arena
from model_store.state.layout import RATED, REC_ITEMS, RING, SKETCH

_LOW_HALF = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Due:
    """Which of n users are to get a recommendation.

    Attributes:
        due: bool [n].
        ignored: bool [n], True where nothing of the last list was clicked or rated since: show other items.
        erased_at_ms: int64 [n], each user's last erasure when the vectors were made; `note` knows a later one by it.
    """

    due: npt.NDArray[np.bool_]
    ignored: npt.NDArray[np.bool_]
    erased_at_ms: npt.NDArray[np.int64]

    def of(self, users: npt.NDArray[np.int64]) -> "Due":
        """The same of some of the users (indices)."""
        return Due(self.due[users], self.ignored[users], self.erased_at_ms[users])


def decide(
    records: npt.NDArray[np.void],
    rows: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    erased_at_ms: npt.NDArray[np.int64],
    now_ms: int,
    min_interval_ms: int,
    min_drift: float,
) -> Due:
    """For the users in `rows` (int64 [n]) with the vectors float32 [n, DIM or more; the first DIM count].

    `erased_at_ms`: int64 [n], as it was when the state was read from which the vectors were made.
    """
    due, ignored = np.empty(len(rows), np.bool_), np.empty(len(rows), np.bool_)
    _decide(records, rows, vectors, now_ms, min_interval_ms, min_drift, due, ignored)
    return Due(due, ignored, erased_at_ms)


def note(
    arena: Arena,
    rows: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.float32],
    items: npt.NDArray[np.uint64],
    decided: Due,
    now_ms: int,
) -> npt.NDArray[np.bool_]:
    """Keep what is offered to n users: item hashes uint64 [n, up to REC_ITEMS], 0 where there is none.

    `decided`: what `decide` said of these very users. Returns bool [n], False for those whose offer must not be
    published: it holds no item, or they were erased since, and it was made from interests that are gone.
    """
    noted = np.empty(len(rows), np.bool_)
    _note(arena.records, arena.dirty, rows, vectors, items, decided.ignored, decided.erased_at_ms, now_ms, noted)
    return noted


@kernel
def _sketch(vector, out):  # type: ignore[no-untyped-def]
    """float32 [SKETCH] scaled to at most 127; zeros for a zero vector."""
    largest = np.float32(0.0)
    for i in range(SKETCH):
        sign = np.float32(1.0) if i % 2 == 0 else np.float32(-1.0)
        out[i] = vector[i] + sign * vector[2 * SKETCH - 1 - i]
        largest = max(largest, abs(out[i]))
    if largest > 0:
        for i in range(SKETCH):
            out[i] = np.rint(out[i] * np.float32(127.0) / largest)


@kernel
def _decide(records, rows, vectors, now_ms, min_interval_ms, min_drift, due, ignored):  # type: ignore[no-untyped-def]
    sketch = np.empty(SKETCH, np.float32)
    for i in range(len(rows)):
        record = records[rows[i]]
        ignored[i] = False
        if record.rec_seq == 0:
            due[i] = True
        elif now_ms - record.rec_at_ms < min_interval_ms:
            due[i] = False
        else:
            _sketch(vectors[i], sketch)
            due[i] = _drift(sketch, record.rec_sketch) >= min_drift
            ignored[i] = not _took(record)


@kernel
def _drift(now, then):  # type: ignore[no-untyped-def]
    dot, now_square, then_square = 0.0, 0.0, 0.0
    for i in range(SKETCH):
        a, b = np.float64(now[i]), np.float64(then[i])
        dot += a * b
        now_square += a * a
        then_square += b * b
    if now_square == 0 or then_square == 0:
        return 0.0 if now_square == then_square else 1.0
    return 1.0 - dot / np.sqrt(now_square * then_square)


@kernel
def _took(record):  # type: ignore[no-untyped-def]
    """Whether something of the last list is among the latest clicks and ratings; it was not before, or it was seen."""
    for i in range(REC_ITEMS):
        item = np.uint64(record.rec_item[i])
        if item == 0:
            continue
        for slot in range(RING):
            if record.ring[slot] & _LOW_HALF == item:
                return True
        for slot in range(RATED):
            if record.rated_item[slot] & _LOW_HALF == item:
                return True
    return False


@kernel
def _note(  # type: ignore[no-untyped-def]
    records, dirty, rows, vectors, items, ignored, erased_at_ms, now_ms, noted
):
    sketch = np.empty(SKETCH, np.float32)
    for i in range(len(rows)):
        record = records[rows[i]]
        noted[i] = record.erased_at_ms == erased_at_ms[i] and items[i, 0] != 0
        if not noted[i]:
            continue
        _sketch(vectors[i], sketch)
        for j in range(SKETCH):
            record.rec_sketch[j] = np.int8(sketch[j])
        for j in range(REC_ITEMS):
            record.rec_item[j] = np.uint32(items[i, j] & _LOW_HALF) if j < items.shape[1] else np.uint32(0)
        record.rec_seq += 1
        record.rec_at_ms = now_ms
        record.rec_ignored = record.rec_ignored + 1 if ignored[i] else 0
        dirty[rows[i]] = True
