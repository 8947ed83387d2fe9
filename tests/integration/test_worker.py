"""One real worker between a real Kafka and a real Redis: what its neighbours send, and what they then see."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import redis
from confluent_kafka import Message

from model_store.state.hashing import partition_of
from stream_app.contracts.reasons import Reason
from stream_app.local import LocalKafka
from tests.bench.ground import Broker, unique
from tests.bench.model import TOPICS, catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.service import Neighbour, new_user, now_ms, wait_for

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS = 80
SEEN = 55
DAY_MS = 86_400_000
LIMIT_BYTES = 4_096


@pytest.fixture(scope="module")
def worker(kafka: LocalKafka, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Member]:
    """Shared by the module: tests use users of their own."""
    folder = tmp_path_factory.mktemp("worker")
    url = redis_url.removesuffix("0") + "1"
    model = catalogue_model(folder / "models", ITEMS)
    settings = member_settings(
        kafka.bootstrap, url, model, unique("worker"), folder,
        recommend={"min_interval_s": 0.2}, accept={"max_value_bytes": LIMIT_BYTES},
    )  # fmt: skip
    make_topics(settings)
    member = Member(settings, folder / "worker.log")
    with member:
        member.wait_ready()
        yield member


@pytest.fixture(scope="module")
def service(worker: Member) -> Iterator[Neighbour]:
    neighbour = Neighbour(worker.settings)
    yield neighbour
    neighbour.close()


def test_a_click_appears(service: Neighbour) -> None:
    user = new_user()
    click = service.send("click", user, dwell_ms=1500)
    interest = service.events_of(user, 1)
    assert (interest.version, interest.events, interest.event_ts_ms) == (1, 1, click["ts"])
    for window in interest.windows.values():
        assert (window.clicks, window.dwell_ms, window.ratings, window.follows) == (1, 1500, 0, 0)
    assert set(interest.topics) <= set(TOPICS)
    assert sum(interest.topics.values()) == pytest.approx(1, abs=1e-3)
    assert np.linalg.norm(interest.vector) > 0
    assert np.linalg.norm(interest.behaviour) > 0


def test_a_follow_appears_and_an_unfollow_takes_it_back(service: Neighbour) -> None:
    user = new_user()
    service.send("follow", user)
    followed = service.events_of(user, 1)
    assert [window.follows for window in followed.windows.values()] == [1, 1, 1, 1]
    service.send("follow", user, action="unfollow")
    unfollowed = service.events_of(user, 2)
    assert [window.follows for window in unfollowed.windows.values()] == [0, 0, 0, 0]
    np.testing.assert_array_equal(followed.vector, unfollowed.vector)  # nothing is known of that creator


def test_a_rating_appears_is_replaced_and_withdrawn(service: Neighbour) -> None:
    user = new_user()
    service.send("rating", user, rating=4)
    window = service.events_of(user, 1).windows["1h"]
    assert (window.ratings, window.rating_mean) == (1, pytest.approx(0.8))
    service.send("rating", user, rating=3, scale_max=10)
    window = service.events_of(user, 2).windows["1h"]
    assert (window.ratings, window.rating_mean) == (1, pytest.approx(0.3))
    service.send("rating", user, rating=None)
    window = service.events_of(user, 3).windows["1h"]
    assert (window.ratings, window.rating_mean) == (0, None)


def test_a_late_event_counts_where_it_belongs(service: Neighbour) -> None:
    user, now = new_user(), now_ms()
    service.send("click", user, ts=now)
    service.send("click", user, ts=now - DAY_MS // 2)
    service.send("click", user, ts=now - 3 * DAY_MS)
    service.send("click", user, ts=now - 20 * DAY_MS)
    service.send("click", user, ts=now - 90 * DAY_MS)
    interest = service.events_of(user, 5)
    clicks = {name: window.clicks for name, window in interest.windows.items()}
    assert clicks == {"1h": 1, "24h": 2, "7d": 3, "30d": 4}
    assert interest.event_ts_ms == now


def test_a_retry_at_another_offset_counts_once(worker: Member, service: Neighbour) -> None:
    user, before = new_user(), _outcomes(worker, "duplicate")
    for kind in ("click", "rating", "follow"):
        for _ in range(3):
            service.send(kind, user, event_id=f"retried {kind}")
    service.send("click", user, item_id="i2")
    interest = service.events_of(user, 4)
    assert (interest.version, interest.windows["1h"].clicks) == (10, 2)
    wait_for("metric", lambda: _outcomes(worker, "duplicate") - before == 6 or None)


def test_two_events_of_one_millisecond_count_twice(service: Neighbour) -> None:
    user, now = new_user(), now_ms()
    service.send("click", user, ts=now, dwell_ms=10)
    service.send("click", user, ts=now, dwell_ms=10)
    assert service.events_of(user, 2).windows["1h"].dwell_ms == 20


def test_keys_expire(worker: Member, service: Neighbour) -> None:
    user = new_user()
    service.send("click", user)
    service.events_of(user, 1)
    with _redis(worker) as client:
        wait_for("recommendation", lambda: client.exists(f"rec:{{{user}}}") or None)
        for key in (f"interest:{{{user}}}", f"rec:{{{user}}}"):
            assert client.ttl(key) == pytest.approx(worker.settings.redis.ttl_s, abs=60)


# -- recommendations


def test_recommendations_leave_out_everything_seen(service: Neighbour) -> None:
    """More than the ring of the last 50 holds; enough is left that skipping the last list leaves some, too."""
    user = new_user()
    for item in range(SEEN):
        service.send("click", user, item_id=f"i{item}")
    service.send("rating", user, item_id=f"i{SEEN}")
    service.events_of(user, SEEN + 1)
    time.sleep(0.3)  # the minimum interval
    last = service.send("follow", user)
    service.events_of(user, SEEN + 2)
    made = wait_for("recommendation", lambda: _made_after(service, user, last["event_id"]))
    items = {item["item_id"] for item in made["items"]}
    assert items
    assert items <= {f"i{item}" for item in range(SEEN + 1, ITEMS)}


def test_recommendations_say_why_and_are_numbered(worker: Member, service: Neighbour) -> None:
    user = new_user()
    click = service.send("click", user, item_id="i5")
    first = wait_for("recommendation", lambda: _made_after(service, user, click["event_id"]))
    assert (first["event_id"], first["user_id"]) == (f"{user}:0:1", user)
    assert first["trigger"] == {"kind": "click", "event_id": click["event_id"], "ts": click["ts"]}
    assert len(first["items"]) == worker.settings.recommend.items
    scores = [item["score"] for item in first["items"]]
    assert scores == sorted(scores, reverse=True)
    for item in first["items"]:
        assert item["reason"]["facet"] in ("behaviour", "social", "content")
        assert item["reason"]["topic"] in (None, *TOPICS)
        assert item["reason"]["because_item"] in (None, "i5")
    latest = wait_for("in Redis", lambda: service.reader.recommendations(user))
    assert latest.event_id == first["event_id"]
    time.sleep(0.3)
    rating = service.send("rating", user, item_id="i6")
    second = wait_for("recommendation", lambda: _made_after(service, user, rating["event_id"]))
    assert second["event_id"] == f"{user}:0:2"


# -- erasures


def test_an_erased_user_is_gone_and_starts_anew(worker: Member, service: Neighbour) -> None:
    user = new_user()
    service.send("click", user, dwell_ms=700)
    service.events_of(user, 1)
    erased = service.send("erasure", user)
    service.flush()
    wait_for("erasure", lambda: service.reader.get(user) is None or None)
    with _redis(worker) as client:
        assert set(client.hgetall(f"interest:{{{user}}}")) == {b"generation", b"version"}
        assert not client.exists(f"rec:{{{user}}}")
    forgotten = _outcomes(worker, "forgotten")
    service.send("click", user, ts=erased["ts"] - 1000)
    service.send("rating", user, ts=erased["ts"])
    service.flush()
    wait_for("late events", lambda: _outcomes(worker, "forgotten") - forgotten == 2 or None)
    assert service.reader.get(user) is None
    service.send("click", user, ts=erased["ts"] + 1, dwell_ms=30)
    anew = service.events_of(user, 1)
    assert (anew.version, anew.events, anew.windows["30d"].dwell_ms) == (5, 1, 30)


# -- bad input

USER = new_user()
BAD: dict[Reason, tuple[str, bytes | None, bytes | None]] = {
    Reason.NOT_JSON: ("click", USER.encode(), b"\xff{nonsense"),
    Reason.WRONG_TYPE: ("click", USER.encode(), b'{"event_id":"b","user_id":"u","item_id":7,"ts":1}'),
    Reason.MISSING_FIELD: ("rating", USER.encode(), b'{"event_id":"b","user_id":"u","item_id":"i","ts":1}'),
    Reason.UNKNOWN_VALUE: (
        "follow", USER.encode(),
        b'{"event_id":"b","user_id":"%s","target_id":"c","target_type":"pet","action":"follow","ts":1}' % USER.encode(),
    ),
    Reason.KEY_MISMATCH: ("click", b"another", b'{"event_id":"b","user_id":"u","item_id":"i","ts":1}'),
    Reason.BAD_ID: ("click", USER.encode(), b'{"event_id":"","user_id":"%s","item_id":"i","ts":1}' % USER.encode()),
    Reason.OUT_OF_RANGE: (
        "rating", USER.encode(),
        b'{"event_id":"b","user_id":"%s","item_id":"i","rating":6,"ts":1}' % USER.encode(),
    ),
    Reason.TS_IN_FUTURE: (
        "click", USER.encode(),
        b'{"event_id":"b","user_id":"%s","item_id":"i","ts":9000000000000}' % USER.encode(),
    ),
    Reason.TS_INVALID: ("erasure", USER.encode(), b'{"event_id":"b","user_id":"%s","ts":-1}' % USER.encode()),
    Reason.TOO_LARGE: ("click", USER.encode(), b'{"pad":"%s"}' % (b"x" * LIMIT_BYTES)),
    Reason.NULL_VALUE: ("click", USER.encode(), None),
    Reason.WRONG_PARTITION: (
        "click", USER.encode(), b'{"event_id":"b","user_id":"%s","item_id":"i","ts":1}' % USER.encode(),
    ),
    Reason.BAD_ENVELOPE: ("click", USER.encode(), b'{"specversion":"0.3","id":"b","source":"/s","type":"t","data":{}}'),
}  # fmt: skip
ENVELOPE = ("content-type", b"application/cloudevents+json")


@pytest.fixture(scope="module")
def dead_letters(worker: Member, service: Neighbour) -> dict[str, Message]:
    """One of each kind of bad event was sent, with good ones around them; what arrived, by reason."""
    service.send("click", USER, item_id="i1")
    partitions = worker.settings.kafka.partitions
    right = partition_of(USER.encode(), partitions)
    for reason, (kind, key, value) in BAD.items():
        where = (right + 1) % partitions if reason is Reason.WRONG_PARTITION else -1
        headers = [("origin", b"test"), *([ENVELOPE] if reason is Reason.BAD_ENVELOPE else [])]
        service.send_raw(kind, key, value, where, headers)
    service.send("click", USER, item_id="i2")
    assert service.events_of(USER, 2).version == 2
    wait_for("dead letters", lambda: len(_letters(service)) >= len(BAD) or None)
    letters = _letters(service)
    assert len(letters) == len(BAD)
    return {_header(letter, "reason"): letter for letter in letters}


@pytest.mark.parametrize("reason", list(Reason))
def test_a_bad_event_is_set_aside_as_it_came(
    reason: Reason, worker: Member, service: Neighbour, dead_letters: dict[str, Message]
) -> None:
    kind, key, value = BAD[reason]
    letter = dead_letters[reason.value]
    assert letter.key() == key
    assert letter.value() == (value or b"")
    assert _header(letter, "origin") == "test"
    assert _header(letter, "topic") == service.topics[kind]
    assert _header(letter, "error")
    partition, offset = int(_header(letter, "partition")), int(_header(letter, "offset"))
    right = partition_of(key or b"", worker.settings.kafka.partitions)
    assert (partition == right) == (reason is not Reason.WRONG_PARTITION)
    ends = Broker(worker.settings.kafka.bootstrap).ends([service.topics[kind]])
    assert 0 <= offset < ends[service.topics[kind], partition]


def test_bad_events_are_counted_by_reason(worker: Member, dead_letters: dict[str, Message]) -> None:
    scrape = worker.scrape()
    assert scrape is not None
    counted = scrape.by("interest_dead_letters_total", "reason")
    assert {reason.value for reason in Reason} <= {reason for reason, times in counted.items() if times}


def test_users_of_a_crc32_partitioner_are_not_split_in_two(worker: Member) -> None:
    """librdkafka's own default: each user is in the one right partition, or in dead letters."""
    careless = Neighbour(worker.settings, partitioner="consistent")
    users = [new_user() for _ in range(24)]
    for user in users:
        careless.send("click", user)
    careless.flush()
    strays = wait_for("all of them", lambda: _strays(careless, users))
    assert 0 < len(strays) < len(users)
    for letter in strays.values():
        assert _header(letter, "reason") == Reason.WRONG_PARTITION
        right = partition_of(letter.key() or b"", worker.settings.kafka.partitions)
        assert int(_header(letter, "partition")) != right
    careless.close()


# -- the account


def test_every_event_is_accounted_for(worker: Member, service: Neighbour) -> None:
    """Last in the module: applied, or skipped for a reason, or set aside; the sum is what Kafka holds."""
    service.until_committed()
    ends = Broker(worker.settings.kafka.bootstrap).ends(list(worker.settings.kafka.topics.inputs))
    scrape = worker.scrape()
    assert scrape is not None
    by_outcome = scrape.by("interest_events_total", "outcome")
    assert sum(by_outcome.values()) == sum(ends.values())
    assert by_outcome.get("replayed", 0) == 0
    assert by_outcome["dead_lettered"] == scrape.total("interest_dead_letters_total") == len(service.dead_letters())


def _outcomes(worker: Member, outcome: str) -> float:
    scrape = worker.scrape()
    return scrape.total("interest_events_total", outcome=outcome) if scrape else 0.0


def _made_after(service: Neighbour, user: str, event_id: str) -> dict | None:
    service.flush()
    made = [one for one in service.recommendations(user) if one["trigger"]["event_id"] == event_id]
    return made[0] if made else None


def _letters(service: Neighbour) -> list[Message]:
    """Those with the header of this test."""
    return [letter for letter in service.dead_letters() if any(name == "origin" for name, _ in letter.headers() or [])]


def _header(letter: Message, name: str) -> str:
    """The last one of that name, as the contract says."""
    return [value for key, value in letter.headers() or [] if key == name][-1].decode()


def _strays(service: Neighbour, users: list[str]) -> dict[str, Message] | None:
    """Dead letters by user, once each of the users is there or in Redis."""
    strays = {(letter.key() or b"").decode(): letter for letter in service.dead_letters()}
    mine = {user: strays[user] for user in users if user in strays}
    placed = mine.keys() ^ service.reader.get_many(users).keys()
    return mine if placed == set(users) else None


def _redis(worker: Member) -> redis.Redis:
    return redis.Redis.from_url(worker.settings.redis.url.get_secret_value())
