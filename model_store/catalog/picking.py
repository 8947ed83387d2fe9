"""The compiled part of `index.py`: the k best unseen items out of all scores, and the reasons for them.

A heap keeps the k best so far; only an item that beats its worst is looked up among the seen ones, which for k = 10
of 5,000 items is about 60 items and those seen ones that score high.
"""

import numpy as np
from numba import njit

from model_store.kernels import kernel
from model_store.state.layout import DIM, REC_ITEMS, RING
from model_store.state.lookup import find
from model_store.state.seen import is_seen

_BLOCK = 32


@kernel
def pick(  # type: ignore[no-untyped-def]
    scores, bias, hashes, slots, vectors, directions, topics, allowed, records, rows, facets, skip_last,
    out_item, out_score, out_facet, out_topic, out_because,
):  # fmt: skip
    """Fill the five output columns for n users; what they held before stays where there are fewer than k items."""
    ring = np.empty(RING, np.int64)
    for i in range(len(rows)):
        found = _select(scores[i], bias, hashes, records, rows[i], skip_last[i], out_item[i], out_score[i])
        known = _ring_rows(records[rows[i]], hashes, slots, ring)
        for j in range(found):
            item = out_item[i, j]
            out_topic[i, j] = topics[item]
            out_facet[i, j] = _best_facet(vectors[item], facets[i], allowed)
            out_because[i, j] = _most_alike(directions, item, ring, known)


@kernel
def _select(scores, bias, hashes, records, row, skip_last, out_item, out_score):  # type: ignore[no-untyped-def]
    """Put the best items into the outputs, best first; returns how many. Ties go to the earlier item."""
    size, k, count = 0, len(out_item), len(scores)
    worst = np.float32(-np.inf)
    for start in range(0, count, _BLOCK):
        stop = min(count, start + _BLOCK)
        if size == k and not _any_above(scores[start:stop], bias[start:stop], worst):
            continue
        for j in range(start, stop):
            score = scores[j] + bias[j]
            if size == k and score <= worst:
                continue
            if is_seen(records, row, hashes[j]) or (skip_last and _was_last(records[row], hashes[j])):
                continue
            size = _insert(out_item, out_score, size, j, score)
            worst = out_score[size - 1]
    return size


@kernel
def _any_above(scores, bias, worst):  # type: ignore[no-untyped-def]
    """Without branches and with indices that cannot be negative, so that it compiles to vector instructions."""
    above = np.int32(0)
    for j in range(len(scores)):
        above += np.int32(scores[j] + bias[j] > worst)
    return above > 0


@kernel
def _insert(out_item, out_score, size, item, score):  # type: ignore[no-untyped-def]
    """Keep the outputs sorted; drops the worst if they are full. Returns the new size."""
    at = min(size, len(out_item) - 1)
    while at > 0 and out_score[at - 1] < score:
        out_item[at], out_score[at] = out_item[at - 1], out_score[at - 1]
        at -= 1
    out_item[at], out_score[at] = item, score
    return min(size + 1, len(out_item))


@kernel
def _was_last(record, item):  # type: ignore[no-untyped-def]
    low = np.uint32(item & np.uint64(0xFFFFFFFF))
    for slot in range(REC_ITEMS):  # noqa: SIM110  numba compiles no generator expressions in any()
        if record.rec_item[slot] == low:
            return True
    return False


@kernel
def _ring_rows(record, hashes, slots, out):  # type: ignore[no-untyped-def]
    """Rows of the known items of the last clicks; returns how many."""
    known = 0
    for slot in range(RING):
        if record.ring[slot] != np.uint64(0):
            row = find(hashes, slots, record.ring[slot])
            if row >= 0:
                out[known] = row
                known += 1
    return known


@njit(nogil=True, cache=True, fastmath=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for d in range(DIM):
        total += a[d] * b[d]
    return total


@kernel
def _best_facet(vector, facets, allowed):  # type: ignore[no-untyped-def]
    best, largest = 0, np.float32(-np.inf)
    for facet in range(len(allowed)):
        if allowed[facet]:
            dot = _dot(vector, facets[facet * DIM : (facet + 1) * DIM])
            if dot > largest:
                best, largest = facet, dot
    return best


@kernel
def _most_alike(directions, item, ring, known):  # type: ignore[no-untyped-def]
    best, largest = np.int64(-1), np.float32(-np.inf)
    for slot in range(known):
        alike = _dot(directions[item], directions[ring[slot]])
        if alike > largest:
            best, largest = ring[slot], alike
    return best


@kernel
def fill_seen(records, rows, hashes, out):  # type: ignore[no-untyped-def]
    """out: bool [n, m], whether the state's filter takes item j for seen by user i."""
    for i in range(len(rows)):
        for j in range(len(hashes)):
            out[i, j] = is_seen(records, rows[i], hashes[j])
