"""Looking up whom users follow: what is asked for, how often, and what happens when nobody answers."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest
import redis

from model_store.state.arena import Arena
from model_store.state.followees import Directions, followee, followee_hashes
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM
from stream_app.followees import MOST, REST_MS, Followees
from stream_app.observability import WorkerMetrics
from stream_app.settings import Social

NOW_MS = 1_800_000_000_000
ALICE, BERT, CARLA = b"alice", b"bert", b"carla"


class Book:
    """A directory that writes down what it was asked, and may fail or hang."""

    def __init__(self) -> None:
        self.names: dict[int, bytes] = {}
        self.found: dict[bytes, bytes] = {}
        self.asked_names: list[list[int]] = []
        self.asked_vectors: list[list[bytes]] = []
        self.fault: Exception | None = None
        self.hangs = False

    def write(self, *users: bytes) -> None:
        self.names |= zip(followee_hashes(list(users)).tolist(), users, strict=True)

    async def followee_names(self, targets: Sequence[int]) -> list[bytes | None]:
        self.asked_names.append(list(targets))
        await self._maybe_not()
        return [self.names.get(target) for target in targets]

    async def vectors(self, users: Sequence[bytes], _generation: int) -> list[bytes | None]:
        self.asked_vectors.append(list(users))
        await self._maybe_not()
        return [self.found.get(user) for user in users]

    async def _maybe_not(self) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.fault:
            raise self.fault


@pytest.fixture
def book() -> Book:
    return Book()


def made(book: Book, **settings: object) -> Followees:
    return Followees(book, Social(**{"max_age_s": 60, "timeout_s": 0.05, **settings}), 1, WorkerMetrics())


def vector(seed: int) -> bytes:
    return np.random.default_rng(seed).normal(size=DIM).astype("<f4").tobytes()


def shown(followees: Followees, *names: str) -> np.ndarray:
    """The social columns of a user who follows these."""
    arena = Arena()
    rows = arena.rows_of([b"me"])
    arena.records["followee"][0, : len(names)] = hash_ids(list(names)).hash
    arena.records["followee_active"][0] = (1 << len(names)) - 1
    return followees.social(arena.records, rows)[0]


def direction(value: bytes) -> np.ndarray:
    row = np.frombuffer(value, "<f4").astype(np.float64)
    return row / np.sqrt(np.mean(row**2))


def look(followees: Followees, *users: bytes, now_ms: int = NOW_MS) -> None:
    asyncio.run(followees.look_up(followee_hashes(list(users)), now_ms))


def test_names_that_came_along_are_not_asked_for(book: Book) -> None:
    followees = made(book)
    book.write(ALICE, BERT)
    book.found = {ALICE: vector(1), BERT: vector(2)}
    followees.meet(dict(zip(followee_hashes([ALICE]).tolist(), [ALICE], strict=True)))
    look(followees, ALICE, BERT, CARLA)
    assert book.asked_names == [followee_hashes([BERT, CARLA]).tolist()]
    assert book.asked_vectors == [[ALICE, BERT]]
    found = shown(followees, "user:alice", "user:bert", "user:carla")
    np.testing.assert_allclose(found[:DIM], (direction(vector(1)) + direction(vector(2))) / 2, atol=1e-5)
    assert found[DIM] == pytest.approx(np.log(3))


def test_what_was_found_is_asked_again_when_it_is_old_and_what_was_not_a_second_later(book: Book) -> None:
    followees = made(book)
    book.write(ALICE, BERT)
    book.found = {ALICE: vector(1)}
    look(followees, ALICE, BERT)
    look(followees, ALICE, BERT, now_ms=NOW_MS + REST_MS)
    assert book.asked_vectors == [[ALICE, BERT]]
    book.found[BERT] = vector(2)
    look(followees, ALICE, BERT, now_ms=NOW_MS + REST_MS + 1)
    assert book.asked_vectors[1:] == [[BERT]]
    book.found[ALICE] = vector(3)
    look(followees, ALICE, BERT, now_ms=NOW_MS + 60_001)
    assert book.asked_vectors[2:] == [[ALICE]]
    np.testing.assert_allclose(shown(followees, "user:alice")[:DIM], direction(vector(3)), atol=1e-5)


@pytest.mark.parametrize("fault", [redis.ConnectionError("gone"), redis.ResponseError("NOPERM"), OSError("no route")])
def test_a_redis_that_fails_takes_nothing_away_and_is_left_in_peace(book: Book, fault: Exception) -> None:
    followees = made(book, max_age_s=0.5)
    book.write(ALICE)
    book.found = {ALICE: vector(1)}
    look(followees, ALICE)
    book.fault = fault
    for after_ms in (600, 700, 1_500):
        look(followees, ALICE, now_ms=NOW_MS + after_ms)
    assert len(book.asked_vectors) == 2
    np.testing.assert_allclose(shown(followees, "user:alice")[:DIM], direction(vector(1)), atol=1e-5)
    book.fault, book.found = None, {ALICE: vector(2)}
    look(followees, ALICE, now_ms=NOW_MS + 600 + REST_MS)
    np.testing.assert_allclose(shown(followees, "user:alice")[:DIM], direction(vector(2)), atol=1e-5)


def test_a_redis_that_hangs_holds_nobody_up_for_longer_than_it_may(book: Book) -> None:
    followees = made(book)
    book.hangs = True
    look(followees, ALICE)  # returns
    assert not shown(followees, "user:alice").any()
    look(followees, ALICE, now_ms=NOW_MS + REST_MS - 1)
    assert len(book.asked_names) == 1
    look(followees, ALICE, now_ms=NOW_MS - 3_600_000)  # the clock was put back
    assert len(book.asked_names) == 2


@pytest.mark.parametrize("value", [b"", b"short", np.full(DIM, np.nan, "<f4").tobytes(), None])
def test_what_is_no_vector_says_nothing(book: Book, value: bytes | None) -> None:
    followees = made(book)
    book.write(ALICE)
    book.found = {ALICE: value} if value is not None else {}
    look(followees, ALICE)
    assert not shown(followees, "user:alice").any()


def test_topics_and_creators_are_not_looked_up_and_the_blocked_are_nobody(book: Book) -> None:
    followees = made(book, blocked=("creator:bad", "user:alice"))
    of = hash_ids([followee("topic", "t"), followee("creator", "bad")]).hash
    rows = np.stack([np.frombuffer(vector(seed), "<f4") for seed in (5, 6)])
    followees.fix(Directions.of(of, rows))
    asyncio.run(followees.look_up(np.unique(np.concatenate([of, followee_hashes([ALICE])])), NOW_MS))
    assert not book.asked_names
    found = shown(followees, "topic:t", "creator:bad", "user:alice")
    np.testing.assert_allclose(found[:DIM], direction(vector(5)), atol=1e-5)
    assert found[DIM] == pytest.approx(np.log(2))


def test_the_erased_are_forgotten_at_once(book: Book) -> None:
    followees = made(book)
    book.write(ALICE)
    book.found = {ALICE: vector(1)}
    look(followees, ALICE)
    assert list(followees.forget([ALICE])) == followee_hashes([ALICE]).tolist()
    assert not shown(followees, "user:alice").any()
    assert not followees.forget([])


def test_of_who_was_erased_elsewhere_not_even_the_name_stays(book: Book) -> None:
    followees = made(book)
    book.write(ALICE)
    book.found = {ALICE: vector(1)}
    look(followees, ALICE)
    book.names, book.found = {}, {}
    look(followees, ALICE, now_ms=NOW_MS + 60_001)
    assert not followees._names
    assert not shown(followees, "user:alice").any()


def test_of_very_many_some_wait_for_the_next_time(book: Book) -> None:
    followees = made(book)
    users = [b"%d" % number for number in range(MOST + 5)]
    look(followees, *users)
    assert len(book.asked_names[0]) == MOST


def test_switched_off_nothing_is_looked_up(book: Book) -> None:
    followees = made(book, enabled=False)
    followees.fix(Directions.of(hash_ids(["topic:t"]).hash, np.frombuffer(vector(5), "<f4")[None]))
    look(followees, ALICE)
    assert not book.asked_names
    assert not shown(followees, "topic:t", "user:alice").any()


def test_no_more_names_are_kept_than_there_is_room_for(book: Book) -> None:
    followees = made(book, room=10)
    for number in range(100):
        followees.meet({number: b"user"})
    assert 0 < len(followees._names) <= 10
    assert 99 in followees._names
