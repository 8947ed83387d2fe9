"""States come back from any legal changelog, and from an illegal one only with a word about it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from model_store.state import codec
from model_store.state.arena import mark_key
from model_store.state.layout import USER
from stream_app.contracts.errors import StopWorker
from stream_app.states import States, term_after

TOPIC, PARTITION = "g-state-changelog", 3


@dataclass(frozen=True, slots=True)
class Record:
    offset: int
    key: bytes | None
    value: bytes | None
    topic: str = TOPIC
    partition: int = PARTITION
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = ()


def state(version: int, events: int | None = None, offers: int = 0, erased_at: int = 0, term: int = 0) -> bytes:
    record = np.zeros(1, USER)
    record["term"] = term
    record["version"], record["events"] = version, version if events is None else events
    record["rec_seq"], record["erased_at_ms"] = offers, erased_at
    values, _ = codec.encode(record, np.array([0]))
    return bytes(values)


def restored(*records: tuple[bytes | None, bytes | None], batch: int = 100) -> States:
    """The log's records, delivered so many at a time."""
    states = States()
    log = [Record(offset, key, value) for offset, (key, value) in enumerate(records)]
    for first in range(0, len(log), batch):
        part = log[first : first + batch]
        states.restore(PARTITION, part, part[-1].offset + 1)
    return states


def version_of(states: States, key: bytes) -> int:
    row = states[PARTITION].row(key)
    return 0 if row is None else int(states[PARTITION].records["version"][row])


def written_again(states: States, read_to: int) -> list[bytes]:
    """Users whom the end of recovery marks."""
    count = states.restored(PARTITION, read_to, generation=1)
    arena = states[PARTITION]
    keys = [arena.keys[row] for row in arena.take_dirty().tolist()]
    assert len(keys) == count
    return keys


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_the_last_state_of_each_user_counts(batch: int) -> None:
    states = restored((b"a", state(1)), (b"b", state(5)), (b"a", state(2)), batch=batch)
    assert (version_of(states, b"a"), version_of(states, b"b")) == (2, 5)
    assert written_again(states, 3) == []


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_late_record_of_a_fenced_worker_loses_and_its_user_is_written_again(batch: int) -> None:
    states = restored((b"a", state(4)), (b"b", state(1)), (b"a", state(3)), batch=batch)
    assert version_of(states, b"a") == 4
    assert written_again(states, 3) == [b"a"]
    assert written_again(states, 3) == []


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_the_later_owner_wins_though_the_one_before_had_taken_in_more(batch: int) -> None:
    """The one before was further on in one topic and less far in another, whose offsets the later one has committed."""
    states = restored((b"a", state(7, term=3)), (b"a", state(6, term=4)), (b"a", state(8, term=3)), batch=batch)
    assert version_of(states, b"a") == 6
    assert written_again(states, 3) == [b"a"]


@pytest.mark.parametrize(("found", "generation", "term"), [(3, 9, 9), (9, 3, 12), (0, 0, 1)])
def test_each_owner_writes_under_a_higher_term(found: int, generation: int, term: int) -> None:
    """Above all that the changelog has, and above those of an owner in between that has not written yet."""
    states = restored((b"a", state(1, term=found)), (b"b", state(1)))
    states.restored(PARTITION, 2, generation)
    values, ends = states.encode(PARTITION, np.array([0, 1]))
    written = codec.decode([bytes(values[ends[i] : ends[i + 1]]) for i in range(2)])
    assert written["term"].tolist() == [term, term]


def test_in_a_group_made_anew_an_owner_is_above_one_before_who_has_written_nothing_yet() -> None:
    """Its generations begin at 1 again, where the changelog has term 9."""
    terms = [term_after(9, generation) for generation in (1, 2, 3)]
    assert terms == sorted(set(terms))
    assert terms[0] > 9


def test_what_somebody_else_wrote_in_between_is_read_at_the_next_recovery() -> None:
    states = restored((b"a", state(1)))
    states.restored(PARTITION, 1, generation=1)
    assert states.logged(PARTITION, 2, 2)
    assert states.logged_to(PARTITION) == 2
    assert not states.logged(PARTITION, 1, 4)  # 3 is not ours
    assert states.logged(PARTITION, 1, 5)
    assert states.logged_to(PARTITION) == 2


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_a_mark_is_still_found_after_recovery_and_a_flush(batch: int) -> None:
    """A mark that was met under its user's id while it was read must not be concealed twice."""
    user = b"user"
    log = [(user, state(3)), (mark_key(user), state(5, events=0, erased_at=9)), (user, None)]
    states = restored(*log, *log[1:], batch=batch)
    states.restored(PARTITION, 5, generation=1)
    arena = states[PARTITION]
    arena.take_dirty()
    arena.conceal()
    row = arena.rows_of([user])[0]
    assert arena.records["version"][row] == 5


def test_who_was_written_after_a_late_record_is_not_written_again() -> None:
    states = restored((b"a", state(4)), (b"a", state(3)), (b"a", state(4)))
    assert written_again(states, 3) == []


def test_of_one_version_the_later_offers_count() -> None:
    states = restored(
        (b"a", state(4, offers=2)), (b"a", state(4, offers=1)), (b"b", state(4)), (b"b", state(4, offers=1))
    )
    assert states[PARTITION].records["rec_seq"][:2].tolist() == [2, 1]
    assert written_again(states, 4) == [b"a"]


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_an_erased_user_is_found_by_the_mark_alone(batch: int) -> None:
    erased = state(7, events=0, erased_at=5)
    states = restored((b"a", state(6)), (mark_key(b"a"), erased), (b"a", None), (b"b", state(1)), batch=batch)
    assert (version_of(states, b"a"), version_of(states, mark_key(b"a"))) == (0, 7)
    assert written_again(states, 4) == []


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_mark_goes_with_its_tombstone(batch: int) -> None:
    states = restored((mark_key(b"a"), state(7, events=0, erased_at=5)), (mark_key(b"a"), None), batch=batch)
    assert version_of(states, mark_key(b"a")) == 0
    assert written_again(states, 2) == []


@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_late_tombstone_of_a_fenced_worker_loses(batch: int) -> None:
    """It flushed the erasure late, when another worker had flushed that and the user's return."""
    erased, back = state(7, events=0, erased_at=5), state(8, events=1, erased_at=5)
    mark = mark_key(b"a")
    states = restored(
        (mark, erased), (b"a", None), (b"a", back), (mark, None), (mark, erased), (b"a", None), batch=batch
    )
    assert version_of(states, b"a") == 8
    assert b"a" in written_again(states, 6)


def test_tombstones_of_nobody_and_empty_values_are_no_harm() -> None:
    states = restored((b"a", None), (b"b", b""), (b"c", state(1)))
    assert states.users == 1
    assert written_again(states, 3) == []


def test_a_record_without_a_key_is_nobodys() -> None:
    states = restored((None, state(3)), (b"a", state(1)), (None, b"?"))
    assert states.users == 1
    assert written_again(states, 3) == []


DAMAGED = [b"x", state(3)[:-8], state(3) + bytes(8), b'{"event_id":"e1","user_id":"a"} ']


@pytest.mark.parametrize("value", DAMAGED)
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_a_last_record_that_is_no_state_stops_the_worker_and_says_where(value: bytes, batch: int) -> None:
    states = restored((b"a", state(2)), (b"b", state(1)), (b"a", value), (b"c", state(1)), batch=batch)
    with pytest.raises(StopWorker, match=r"g-state-changelog\[3\] offset 2: .*give that record's key a tombstone"):
        states.restored(PARTITION, 4, generation=1)


def test_all_damaged_users_are_counted() -> None:
    states = restored((b"a", b"x"), (b"b", state(1)), (b"b", b"?"), (b"c", state(1)))
    with pytest.raises(StopWorker, match=r"offset 0: .* \(1 more users in this partition\)"):
        states.restored(PARTITION, 4, generation=1)


@pytest.mark.parametrize("better", [state(3), None])
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_damage_is_healed_by_what_follows(better: bytes | None, batch: int) -> None:
    states = restored((b"a", b"damaged!"), (b"b", state(1)), (b"a", better), batch=batch)
    assert written_again(states, 3) == []
    assert version_of(states, b"a") == (3 if better else 0)


def test_a_newer_codec_stops_the_worker_at_once() -> None:
    newer = (codec.NEWEST + 1).to_bytes(8, "little") + state(3)[8:]
    with pytest.raises(StopWorker, match=r"g-state-changelog\[3\] offset 1: the state .* upgrade"):
        restored((b"b", state(1)), (b"a", newer))


def test_the_end_of_the_log_is_where_reading_ended_and_not_the_last_record() -> None:
    states = restored((b"a", state(1)))
    states.restore(PARTITION, [], 9)
    assert states.logged_to(PARTITION) == 8
    assert states.restored(PARTITION, 12, generation=1) == 0
    assert states.logged_to(PARTITION) == 11
    assert states.logged(PARTITION, 2, 13)


def test_a_stranger_in_the_log_is_noticed() -> None:
    states = restored((b"a", state(1)), (b"b", state(2)))
    states.restored(PARTITION, 2, generation=1)
    assert states.logged(PARTITION, 3, 4)
    assert not states.logged(PARTITION, 2, 7), "offset 5 is somebody else's"
    assert states.logged(PARTITION, 1, 8)
    assert states[PARTITION].rewrite_all() == 2


def test_what_leaves_is_dropped_whole() -> None:
    states = restored((b"a", b"damaged!"), (b"b", state(1)))
    states.keep_only({1})
    assert states.users == 0
    assert states.logged_to(PARTITION) is None
    assert states.restored(PARTITION, 0, generation=1) == 0


def test_states_in_bytes_are_restored_with_rounded_sums() -> None:
    record = np.zeros(1, USER)
    record["version"], record["rank"] = 4, np.linspace(-1, 1, record["rank"].size).reshape(record["rank"].shape)
    wrote, read = States(codec.IN_BYTES), States()
    wrote[0].put([b"a"], record)
    value, _ = wrote.encode(0, np.array([0]))
    read.restore(0, [Record(0, b"a", bytes(value))], read_to=1)
    found = read[0].records[:1]
    assert found["version"] == 4
    np.testing.assert_allclose(found["rank"], record["rank"], atol=1 / 254)
