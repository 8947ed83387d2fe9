"""What a user has seen: the ring and the rated list exactly, everything older by an ageing Bloom filter.

Two generations of SEEN_BITS bits. An item not yet known goes into the younger one; when that holds SEEN_CAPACITY items
the older generation is dropped. So the last SEEN_CAPACITY to 2 * SEEN_CAPACITY distinct items are remembered for sure.
An unseen item is taken for a seen one with a probability of at most (1 - exp(-k n / m)) ** k for a generation of m bits
that holds n items (Bloom 1970, k = SEEN_HASHES): 3.6 % for a full generation, 7 % for both, and under 0.1 % for a
user with up to 80 items. It costs a recommendation that is left out, never one that is repeated.
"""

import numpy as np

from model_store.kernels import kernel
from model_store.state.layout import RATED, RING, SEEN_WORDS

SEEN_BITS = SEEN_WORDS * 64
SEEN_HASHES = 4
SEEN_CAPACITY = 256


@kernel
def _bit(item, i):  # type: ignore[no-untyped-def]
    """Position of the i-th bit of an item: its hash is cut into four independent 16-bit numbers, each scaled to it.

    Double hashing would give a fifth more false positives at this size (measured).
    """
    return (((item >> np.uint64(16 * i)) & np.uint64(0xFFFF)) * np.uint64(SEEN_BITS)) >> np.uint64(16)


@kernel
def _holds(words, item):  # type: ignore[no-untyped-def]
    for i in range(SEEN_HASHES):
        bit = _bit(item, i)
        if not (words[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1):
            return False
    return True


@kernel
def remember(record, item):  # type: ignore[no-untyped-def]
    """Put an item hash into a user's filter."""
    seen = record.seen
    if _holds(seen[0], item) or _holds(seen[1], item):
        return
    if record.seen_count[0] >= SEEN_CAPACITY:
        for word in range(SEEN_WORDS):
            seen[1, word] = seen[0, word]
            seen[0, word] = np.uint64(0)
        record.seen_count[1] = record.seen_count[0]
        record.seen_count[0] = 0
    for i in range(SEEN_HASHES):
        bit = _bit(item, i)
        seen[0, bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))
    record.seen_count[0] += 1


@kernel
def is_seen(records, row, item):  # type: ignore[no-untyped-def]
    """Whether the user in `records[row]` clicked or rated the item with this hash (see the module on errors)."""
    record = records[row]
    for slot in range(RING):
        if record.ring[slot] == item:
            return True
    for slot in range(RATED):
        if record.rated_item[slot] == item:
            return True
    return _holds(record.seen[0], item) or _holds(record.seen[1], item)
