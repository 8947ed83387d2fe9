"""The compiled part of `index.py`: the k best unseen items out of all scores, and the facets that speak for them.

A heap keeps the k best so far; only an item that beats its worst is looked up among the seen ones, which for k = 10
of 5,000 items is about 60 items and those seen ones that score high.
"""

import numpy as np
from numba import njit

from model_store.kernels import kernel
from model_store.state.layout import DIM, REC_ITEMS
from model_store.state.seen import is_seen

_BLOCK = 32


@kernel
def pick(  # type: ignore[no-untyped-def]
    scores, bias, hashes, vectors, topics, allowed, records, rows, facets, skip_last,
    out_item, out_score, out_facet, out_topic,
):  # fmt: skip
    """Fill the four output columns for n users; what they held before stays where there are fewer than k items."""
    for i in range(len(rows)):
        found = _select(scores[i], bias, hashes, records, rows[i], skip_last[i], out_item[i], out_score[i])
        for j in range(found):
            item = out_item[i, j]
            out_topic[i, j] = topics[item]
            out_facet[i, j] = _best_facet(vectors[item], facets[i], allowed)


@kernel
def pick_among(  # type: ignore[no-untyped-def]
    items, scores, hashes, vectors, topics, allowed, records, rows, facets, skip_last,
    out_item, out_score, out_facet, out_topic,
):  # fmt: skip
    """The same out of some items of each user: int32 [n, c] and their scores; -inf is no item's."""
    no_bias = np.zeros(items.shape[1], np.float32)
    own, place = np.empty(items.shape[1], np.uint64), np.empty(out_item.shape[1], np.int32)
    for i in range(len(rows)):
        for j in range(len(own)):
            own[j] = hashes[items[i, j]]
        found = _select(scores[i], no_bias, own, records, rows[i], skip_last[i], place, out_score[i])
        for j in range(found):
            item = items[i, place[j]]
            out_item[i, j], out_topic[i, j] = item, topics[item]
            out_facet[i, j] = _best_facet(vectors[item], facets[i], allowed)


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
            if score == -np.inf or (size == k and score <= worst):
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


@njit(nogil=True, cache=True, fastmath=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    total = np.float32(0.0)
    for d in range(len(a)):
        total += a[d] * b[d]
    return total


@kernel
def _best_facet(vector, facets, allowed):  # type: ignore[no-untyped-def]
    best, largest = 0, np.float32(-np.inf)
    for facet in range(len(allowed)):
        if allowed[facet]:
            of_user = facets[facet * DIM : (facet + 1) * DIM]
            dot = _dot(vector, of_user)
            # Who follows nobody has a social facet of zeros, which is no reason for anything.
            if dot > largest and _dot(of_user, of_user) > 0:
                best, largest = facet, dot
    return best


@kernel
def fill_scores(factors, items, item_factors, bias, out):  # type: ignore[no-untyped-def]
    """out: float32 [n, k], user i's factors times those of its items, and their biases; -inf where the item is -1."""
    for i in range(len(items)):
        for j in range(items.shape[1]):
            item = items[i, j]
            out[i, j] = _dot(factors[i], item_factors[item]) + bias[item] if item >= 0 else np.float32(-np.inf)


@kernel
def add_interest(scores, more, log_weight):  # type: ignore[no-untyped-def]
    """scores: float32 [n, m], in place the logarithm of exp(scores) + exp(more + log_weight); log_weight: float32 [n].

    Where both are -inf it stays.
    """
    for i in range(len(scores)):
        for j in range(scores.shape[1]):
            other = more[i, j] + log_weight[i]
            high, low = max(scores[i, j], other), min(scores[i, j], other)
            if high > -np.inf:
                scores[i, j] = high + np.log1p(np.exp(low - high))


@kernel
def fill_seen(records, rows, hashes, out):  # type: ignore[no-untyped-def]
    """out: bool [n, m], whether the state's filter takes item j for seen by user i."""
    for i in range(len(rows)):
        for j in range(len(hashes)):
            out[i, j] = is_seen(records, rows[i], hashes[j])
