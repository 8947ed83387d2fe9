"""Which records are delivered, and what may be committed: the account against every order of events."""

from dataclasses import dataclass

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.errors import StopWorker
from stream_app.contracts.slab import Slab
from stream_app.faust_slab.account import Account

CLICKS = TP("clicks", 0)


@dataclass(frozen=True)
class Record:
    offset: int


def _records(first: int, count: int) -> list[Record]:
    return [Record(offset) for offset in range(first, first + count)]


def _account(start: int = 0, accept_gaps: bool = False) -> Account:
    account = Account(accept_gaps=accept_gaps)
    account.restart({CLICKS: start})
    return account


def _deliver(account: Account, first: int, count: int) -> Slab:
    slab = Slab(CLICKS.topic, CLICKS.partition, account.accept(CLICKS, _records(first, count)), epoch=0)
    account.delivered(slab)
    return slab


def test_records_delivered_before_are_cut_off() -> None:
    account = _account(start=10)
    assert [record.offset for record in account.accept(CLICKS, _records(7, 6))] == [10, 11, 12]
    assert list(account.accept(CLICKS, _records(9, 3))) == []
    assert [record.offset for record in account.accept(CLICKS, _records(13, 2))] == [13, 14]


@pytest.mark.parametrize("batch", [_records(11, 2), [Record(10), Record(12)]])
def test_missing_records_stop_the_worker_and_say_where(batch: list[Record]) -> None:
    with pytest.raises(StopWorker, match=r"records are missing in clicks\[0\]: expected offset 10"):
        _account(start=10).accept(CLICKS, batch)


def test_gaps_are_passed_over_where_settings_accept_them() -> None:
    account = _account(start=10, accept_gaps=True)
    assert [record.offset for record in account.accept(CLICKS, [Record(12), Record(15)])] == [12, 15]
    assert [record.offset for record in account.accept(CLICKS, _records(16, 1))] == [16]


def test_records_from_before_the_seek_stop_the_worker() -> None:
    with pytest.raises(StopWorker, match="came before its seek"):
        Account().accept(CLICKS, _records(0, 1))


def test_a_restart_voids_what_was_delivered() -> None:
    account = _account()
    slab = _deliver(account, 0, 5)
    account.restart({CLICKS: 0})
    slab.done[0] = True
    assert account.committable(CLICKS) is None
    assert [record.offset for record in account.accept(CLICKS, _records(0, 2))] == [0, 1]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_what_may_be_committed_is_the_end_of_the_done_prefix(sizes: list[int], random: object) -> None:
    account, slabs, first = _account(), [], 0
    for size in sizes:
        slabs.append(_deliver(account, first, size))
        first += size
    order = list(range(len(slabs)))
    random.shuffle(order)
    committed, done = 0, set()
    for place in order:
        slabs[place].done[0] = True
        done.add(place)
        prefix = next((i for i in range(len(slabs)) if i not in done), len(slabs))
        expected = sum(sizes[:prefix])
        committed = account.committable(CLICKS) or committed
        assert committed == expected
    assert account.partitions() == []
