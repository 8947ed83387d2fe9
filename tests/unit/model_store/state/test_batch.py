"""Batches cut, chosen and joined: every column goes along."""

from dataclasses import fields

import numpy as np

from model_store.state.batch import EventBatch


def _batch(first: int, count: int) -> EventBatch:
    """Every column tells the number of the event."""
    number = np.arange(first, first + count)
    return EventBatch(
        keys=[b"%d" % one for one in number],
        kind=number.astype(np.int8),
        offset=number,
        ts_ms=number,
        event=number.astype(np.uint64),
        item=number.astype(np.uint64),
        value=number.astype(np.float32),
        region=number.astype(np.uint8),
        event_ids=[str(one) for one in number],
    )


def _numbers(batch: EventBatch) -> list[list[int]]:
    return [[int(one) for one in getattr(batch, column.name)] for column in fields(batch)]


def test_every_column_is_cut_chosen_and_joined_alike() -> None:
    columns = len(fields(EventBatch))
    assert _numbers(_batch(0, 6).part(2, 5)) == [[2, 3, 4]] * columns
    assert _numbers(_batch(0, 6).take(np.array([5, 0, 3]))) == [[5, 0, 3]] * columns
    assert _numbers(EventBatch.concat([_batch(3, 2), _batch(9, 1)])) == [[3, 4, 9]] * columns
    renamed = _batch(0, 2).renamed(lambda key: key + b"0")
    assert _numbers(renamed) == [[0, 10], *[[0, 1]] * (columns - 1)]
