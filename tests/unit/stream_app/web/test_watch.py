"""What is asked of Redis for open pages, and of what they are told: on a reader that counts."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from redis import ConnectionError as AwayError

from stream_app.client import Interest, LayoutError, Window
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.web.listeners import Listener, Message
from stream_app.web.watch import Clicked, Watch

T = TypeVar("T")
USERS = [f"u{number}" for number in range(20)]


def interest(user: str, version: int) -> Interest:
    vector = np.ones(4, np.float32)
    window = Window(version, 0, 0, None, 0)
    return Interest(
        user, vector, vector, vector, vector, {"Drama": 1.0}, {"1h": window}, version, 1, version, 5, 5, "model"
    )


class Redis:
    """An `AsyncInterestReader` of users by version; `strange`: those whose hash no worker wrote."""

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.strange: set[str] = set()
        self.away, self.asked, self.recommended = False, list[list[str]](), list[str]()

    async def get_many(self, users: Iterable[str]) -> dict[str, Interest]:
        self.asked.append(list(users))
        if self.away:
            raise AwayError("gone")
        return {user: self._one(user) for user in self.asked[-1] if user in self.versions}

    async def get(self, user: str) -> Interest | None:
        return self._one(user) if user in self.versions else None

    async def recommendations(self, user: str) -> Recommendation:
        self.recommended.append(user)
        because = Reason("behaviour", None, f"i{self.versions[user]}")
        return Recommendation("e", user, 1, Trigger("click", "e", 1), "model", [Item("i", 0.5, because)])

    def _one(self, user: str) -> Interest:
        if user in self.strange:
            raise LayoutError("what no worker wrote")
        return interest(user, self.versions[user])


class Library:
    atlas, edition = None, 0

    async def titles(self, items: Iterable[str]) -> dict[str, str]:
        return {item: f"title of {item}" for item in items}


def watching(use: Callable[[Watch, Redis], Awaitable[T]]) -> T:
    async def main() -> T:
        redis: Any = Redis()
        library: Any = Library()
        return await use(Watch(redis, library, 0.25, lambda: 7_000_000), redis)

    return asyncio.run(main())


async def heard(*listeners: Listener) -> list[str]:
    messages = [await one.take(0) for one in listeners]
    return [message.event if message else "" for message in messages]


def test_one_question_for_everybody_and_a_word_only_of_who_changed() -> None:
    async def use(watch: Watch, redis: Redis) -> None:
        redis.versions = dict.fromkeys(USERS, 1)
        open_ = [watch.listening(user) for user in USERS]
        listeners = [one.__enter__() for one in open_]
        await watch.look()
        assert await heard(*listeners) == ["interest"] * len(USERS)
        redis.versions["u3"] = 2
        await watch.look()
        await watch.look()
        assert [len(users) for users in redis.asked] == [len(USERS)] * 3
        assert redis.recommended == [*USERS, "u3"]
        assert await heard(*listeners) == ["interest" if user == "u3" else "" for user in USERS]
        for one in open_:
            one.__exit__()

    watching(use)


def test_nobody_and_somebody_again() -> None:
    async def use(watch: Watch, redis: Redis) -> None:
        with watch.listening("u") as one:
            await watch.look()
            await watch.look()
            assert await heard(one, one) == ["unknown", ""]
            redis.versions["u"] = 1
            await watch.look()
            assert await heard(one) == ["interest"]
            redis.strange = {"u"}
            redis.versions["u"] = 2
            await watch.look()
            assert await heard(one) == ["unreadable"]
            del redis.versions["u"]
            await watch.look()
            assert await heard(one) == ["unknown"]
            assert watch.clicked.of("u") == []  # an erased user's clicks are forgotten

    watching(use)


def test_a_strange_hash_hides_nobody_else() -> None:
    async def use(watch: Watch, redis: Redis) -> None:
        redis.versions, redis.strange = {"fine": 1, "odd": 1}, {"odd"}
        with watch.listening("fine") as fine, watch.listening("odd") as odd:
            await watch.look()
            assert await heard(fine, odd) == ["interest", "unreadable"]

    watching(use)


def test_who_comes_later_is_told_what_is_known() -> None:
    async def use(watch: Watch, redis: Redis) -> Message | None:
        redis.versions["u"] = 1
        with watch.listening("u") as first:
            await watch.look()
            await first.take(0)
            with watch.listening("u") as second:
                return await second.take(0)

    told = watching(use)
    assert told is not None
    assert told.data["clicked"] == [{"id": "i1", "title": "title of i1"}]
    assert told.data["recommended"]["items"][0]["why"] == "because you clicked “title of i1”"


def test_when_nobody_looks_redis_is_left_alone() -> None:
    async def use(watch: Watch, redis: Redis) -> None:
        with watch.listening("u"):
            await watch.look()
        await watch.look()
        assert redis.asked == [["u"]]

    watching(use)


def test_redis_away_is_told_and_so_is_its_return() -> None:
    async def use(watch: Watch, redis: Redis) -> list[str]:
        redis.versions["u"], redis.away = 1, True
        running = asyncio.create_task(watch.run())
        with watch.listening("u") as one:
            away = await one.take(60)
            redis.away = False
            back = await one.take(60)
        running.cancel()
        return [message.event for message in (away, back) if message]

    assert watching(use) == ["away", "interest"]


def test_clicks_that_reasons_name_are_kept_in_bounds() -> None:
    clicked = Clicked()
    for number in range(30):
        clicked.note("u", [f"i{number}", "always"])
    assert clicked.of("u")[:3] == ["i29", "always", "i28"]
    assert len(clicked.of("u")) == 20
    for number in range(1_000):
        clicked.note(f"other-{number}", ["i"])
    assert clicked.of("u") == []
