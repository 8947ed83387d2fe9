"""What readers in every language must agree on: Redis as the sinks fill it, questions, and what they must give.

    python -m tests.conformance        # writes FILE anew

Bytes are written by the sinks' own code; what readings must give is put together from what the sinks were given, and
never by a reader. `FILE` is JSON:

- `worlds`: each has a `name`, a `pseudonym_key` (mostly none), `contents`, and `readings`.
- `contents`: commands, each a list: HSET or SET, and the arguments in base64.
- `readings`: `call` (`get`, `get_many`, `recommendations`, `items`, `model`), `of` (a user id, user ids, item ids, or a
  generation, 0 for the one that serves), and what it `gives`, or `raises`: `layout` or `redis`.

Vectors are lists of numbers, to be compared as float32; topics are pairs, heaviest first. An unknown user or item gives
null, or is not among many.
"""

import asyncio
import base64
import json
import struct
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import redis

from model_store.state.layout import DIM
from stream_app.catalog.sinks import ItemHashes, Places
from stream_app.contracts import generations
from stream_app.contracts import recommendations as wire
from stream_app.contracts.generations import AT_FIRST, SERVING_KEY
from stream_app.contracts.knowledge import Knowledge, packed
from stream_app.contracts.pseudonyms import naming
from stream_app.contracts.recommendations import Item, Reason, Recommendation, Trigger
from stream_app.contracts.redis_layout import FACETS, ModelCard, interest_key, item_key, model_key, recommendation_key
from stream_app.contracts.views import InterestViews
from stream_app.settings import Redis as RedisSettings
from stream_app.settings import Settings
from stream_app.sinks.redis import RedisSink
from tests.views import expected_windows, random_views

FILE = Path(__file__).parents[2] / "deploy" / "clients" / "conformance.json"

# Languages whose objects put "2024" first, or know "__proto__", must not be led astray.
TOPICS = ("Drama", "2024", "__proto__", 'Say "hi"', "Ünïcode 鍵", "a\\b", *(f"Topic {i}" for i in range(8)))
USERS = ["u42", "{a}", "}", "%7D", "ключ 鍵 \U0001f511"]
ITEMS = ["i7", "}odd 鍵"]
NOW_MS = 1_790_000_000_000
EXTREMES = np.array([1 / 3, -0.0, 1e-45, 3.4028235e38, -1e-7], np.float32)
NEVER_ROUND = 2**53 - 1


@dataclass
class World:
    """Filled by the sinks, then asked."""

    name: str
    fill: Callable[[RedisSettings, redis.Redis], None]
    readings: list[dict[str, Any]]
    pseudonym_key: str = ""


@dataclass
class Expected:
    """What views and cards give to a reader."""

    views: InterestViews
    users: list[str]

    def of(self, user: str) -> dict[str, Any]:
        at = self.users.index(user)
        rows = self.views.outputs[at, : len(FACETS) * DIM].reshape(len(FACETS), DIM)
        weights = topics_of(self.views.outputs[at, len(FACETS) * DIM :])
        return {
            "user_id": user,
            **{name: [float(number) for number in row] for name, row in zip(FACETS, rows, strict=True)},
            "topics": weights,
            "windows": rounded(expected_windows(self.views.windows, at)),
            "version": int(self.views.version[at]),
            "generation": self.views.generation,
            "events": int(self.views.events[at]),
            "event_ts_ms": int(self.views.event_ts_ms[at]),
            "updated_at_ms": self.views.updated_at_ms,
            "model": self.views.model_version,
        }


def topics_of(weights: np.ndarray) -> list[list[Any]]:
    """The ten heaviest; their shares of the running sum in ten-thousandths, so that they sum to 1."""
    order = sorted(range(len(weights)), key=lambda place: (-weights[place], place))[:10]
    total, running, spent, out = float(sum(map(float, weights[order]))), 0.0, 0, []
    for place in order:
        running += float(weights[place])
        units = round(10_000 * running / total) - spent
        spent += units
        out.append([TOPICS[place], units / 10_000])
    return out


def rounded(windows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Means in thousandths, halves up."""
    for window in windows.values():
        if window["rating_mean"] is not None:
            window["rating_mean"] = int(window["rating_mean"] * 1_000 + 0.5) / 1_000
    return windows


def views(users: list[str], naming_key: str = "", **changes: Any) -> Expected:
    """Numbers with few digits, so that the file stays readable; the first user has the extreme ones."""
    named = [naming(naming_key)(user.encode()) for user in users]
    made = random_views(named, topics=TOPICS, **changes)
    facets = made.outputs[:, : len(FACETS) * DIM]
    facets[:] = np.round(facets * 64) / 64
    facets[0, : len(EXTREMES)] = EXTREMES
    weights = made.outputs[:, len(FACETS) * DIM :]
    weights[:] = np.random.default_rng(11).integers(1, 1_000, weights.shape)
    made.version[0] = NEVER_ROUND
    return Expected(made, users)


def recommendation(user: str, number: int = 1, generation: int = 1) -> Recommendation:
    return Recommendation(
        wire.recommendation_id(user, 0, number, generation),
        user,
        NOW_MS,
        Trigger("click", "e1", NOW_MS - 5),
        "model-7",
        [Item("i7", 0.5, Reason("content", "Drama", "i0")), Item("}odd 鍵", 0.25, Reason("social"))],
    )


def told(given: Recommendation) -> dict[str, Any]:
    return {
        "event_id": given.event_id,
        "user_id": given.user_id,
        "generated_at": given.generated_at,
        "trigger": {"kind": given.trigger.kind, "event_id": given.trigger.event_id, "ts": given.trigger.ts},
        "model_version": given.model_version,
        "items": [
            {
                "item_id": item.item_id,
                "score": item.score,
                "reason": {
                    "facet": item.reason.facet,
                    "topic": item.reason.topic,
                    "because_item": item.reason.because_item,
                },
            }
            for item in given.items
        ],
    }


def told_card(card: ModelCard) -> dict[str, Any]:
    return {
        "version": card.version,
        "topics": list(card.topics),
        "dimension": card.dimension,
        "generation": card.generation,
        "layout": card.layout,
    }


def reading(call: str, of: Any, gives: Any) -> dict[str, Any]:
    return {"call": call, "of": of, "gives": gives}


def refused(call: str, of: Any, why: str = "layout") -> dict[str, Any]:
    return {"call": call, "of": of, "raises": why}


def with_sink(settings: RedisSettings, use: Callable[[RedisSink], Awaitable[None]]) -> None:
    async def main() -> None:
        sink = RedisSink(settings)
        await sink.open()
        try:
            await use(sink)
        finally:
            await sink.close()

    asyncio.run(main())


def every_world() -> list[World]:
    """All of them, the same each time."""
    return [plain(), two_generations(), rolled_back(), pseudonyms(), damaged(), other_layouts(), strange_pointer()]


def plain() -> World:
    """One generation: odd ids, recommendations, who was erased, items with and without a place."""
    gone = "erased"
    expected = views(
        [*USERS, gone],
        version=2,
        erased=np.arange(len(USERS) + 1) == len(USERS),
        recommendations={0: wire.encode(recommendation(USERS[0])), 2: wire.encode(recommendation(USERS[2]))},
    )
    card = ModelCard("model-7", TOPICS, generation=1)
    known = [
        Knowledge(
            item, NOW_MS, f"Title of {item}", "hash", "hashing:3", "maker", 5, packed(np.array([0.5, -0.25], "<f4")),
            topics={"War": 0.75, "2024": 0.25}, audience="whoever reads", mood="calm", source="tags",
        )
        for item in ITEMS
    ]  # fmt: skip
    known.append(Knowledge("silent", NOW_MS, "No word about it", encoder="hashing:3"))
    places = np.round(np.random.default_rng(5).normal(size=(2, DIM)) * 64).astype(np.float32) / 64
    bias = np.array([0.1, -np.inf], np.float32)

    def fill(settings: RedisSettings, _client: redis.Redis) -> None:
        async def use(sink: RedisSink) -> None:
            await sink.announce(card, NOW_MS)
            await sink.write(random_views([gone], version=1, topics=TOPICS))
            await sink.write(expected.views)

        with_sink(settings, use)
        with closing(ItemHashes(Settings(redis=settings))) as items:
            items.write(known)
            items.place(Places("model-7", ITEMS, places, bias))

    def place(row: int) -> dict[str, Any]:
        return {"vector": [float(x) for x in places[row]], "bias": number(bias[row]), "model": "model-7"}

    def item(row: int) -> dict[str, Any]:
        one = known[row]
        return {
            "item_id": one.item_id,
            "title": one.title,
            "topics": [[name, weight] for name, weight in one.topics.items()],
            "audience": one.audience,
            "mood": one.mood,
            "creator_id": one.creator_id,
            "published_at_ms": one.published_at,
            "content": [0.5, -0.25] if row < len(ITEMS) else [],
            "encoder": one.encoder,
            "updated_at_ms": one.made_at,
            "place": place(row) if row < len(ITEMS) else None,
        }

    return World(
        "one generation",
        fill,
        [
            *(reading("get", user, expected.of(user)) for user in USERS),
            reading("get", gone, None),
            reading("get", "nobody", None),
            reading("get", "model", None),
            reading(
                "get_many", [*USERS[:2], gone, "nobody", USERS[0]], {user: expected.of(user) for user in USERS[:2]}
            ),
            reading("get_many", [], {}),
            reading("recommendations", USERS[0], told(recommendation(USERS[0]))),
            reading("recommendations", USERS[2], told(recommendation(USERS[2]))),
            reading("recommendations", USERS[1], None),
            reading("model", 0, told_card(card)),
            reading("model", 2, None),
            reading("items", [*ITEMS, "silent", "nothing"], {known[row].item_id: item(row) for row in range(3)}),
        ],
    )


def number(value: np.float32) -> float | str:
    """JSON has no infinity; `-inf` it is in Redis and in most languages' parsers of numbers."""
    return float(value) if np.isfinite(value) else str(value)


def two_generations() -> World:
    """The second one serves; the first is there still."""
    return _generations("the second generation serves", AT_FIRST.then(2, NOW_MS))


def rolled_back() -> World:
    """The first one serves again."""
    return _generations("rolled back to the first", AT_FIRST.then(2, NOW_MS).then(1, NOW_MS + 5))


def _generations(name: str, serving: generations.Serving) -> World:
    user = "u42"
    both = {
        generation: views(
            [user],
            seed=generation,
            generation=generation,
            recommendations={0: wire.encode(recommendation(user, 1, generation))},
        )
        for generation in (1, 2)
    }
    cards = {generation: ModelCard(f"model-{generation}", TOPICS, generation=generation) for generation in (1, 2)}

    def fill(settings: RedisSettings, client: redis.Redis) -> None:
        async def use(sink: RedisSink) -> None:
            for generation in (1, 2):
                await sink.announce(cards[generation], NOW_MS)
                await sink.write(both[generation].views)

        with_sink(settings, use)
        client.set(SERVING_KEY, generations.encode(serving))

    now = serving.generation
    return World(
        name,
        fill,
        [
            reading("get", user, both[now].of(user)),
            reading("get_many", [user], {user: both[now].of(user)}),
            reading("recommendations", user, told(recommendation(user, 1, now))),
            reading("model", 0, told_card(cards[now])),
            reading("model", 3 - now, told_card(cards[3 - now])),
        ],
    )


def pseudonyms() -> World:
    """Keys are named by the HMAC of the id; readers take and give ids."""
    secret, user = "a secret of at least 32 characters", "ключ 鍵"
    name = naming(secret)(user.encode()).decode()
    expected = views([user], secret, recommendations={0: wire.encode(recommendation(name))})

    def fill(settings: RedisSettings, _client: redis.Redis) -> None:
        with_sink(settings, lambda sink: _write(sink, expected.views))

    given = told(recommendation(name)) | {"user_id": user}
    return World(
        "pseudonyms",
        fill,
        [
            reading("get", user, expected.of(user)),
            reading("get", name, None),
            reading("get_many", [user], {user: expected.of(user)}),
            reading("recommendations", user, given),
        ],
        secret,
    )


async def _write(sink: RedisSink, many: InterestViews) -> None:
    await sink.write(many)


DAMAGE: dict[str, dict[str, bytes | None]] = {
    "no-topics": {"topics": None},
    "no-version": {"version": None},
    "cut-vector": {"social": bytes(4 * DIM - 4)},
    "odd-bytes": {name: bytes(4 * DIM - 1) for name in FACETS},
    "no-json": {"topics": b'{"Drama": 1'},
    "text-for-a-weight": {"topics": b'{"Drama": "1"}'},
    "list-for-windows": {"windows": b"[]"},
    "text-for-clicks": {"windows": b'{"1h":{"clicks":"1","dwell_ms":0,"ratings":0,"rating_mean":null,"follows":0}}'},
    "word-for-a-number": {"events": b"many"},
    "space-in-a-number": {"version": b" 7"},
    "sign-on-a-number": {"version": b"+7"},
    "fraction": {"event_ts": b"1.5"},
}
"""User -> fields that are changed, or taken away."""


def damaged() -> World:
    """What no worker wrote is said to be so, and hides nobody else."""
    users = [*DAMAGE, "whole"]
    expected = views(users)

    def fill(settings: RedisSettings, client: redis.Redis) -> None:
        with_sink(settings, lambda sink: _write(sink, expected.views))
        for user, changes in DAMAGE.items():
            for name, value in changes.items():
                key = interest_key(user.encode())
                if value is None:
                    client.hdel(key, name)
                else:
                    client.hset(key, name, value)
        client.set(recommendation_key(b"no-json"), b"{")
        client.set(recommendation_key(b"no-items"), b'{"event_id": "e", "user_id": "no-items"}')
        client.set(interest_key(b"a-string"), b"text")
        client.hset(item_key(b"half"), "title", "alone")
        client.hset(model_key(), "version", "alone")

    return World(
        "damaged",
        fill,
        [
            *(refused("get", user) for user in DAMAGE),
            refused("get", "a-string", "redis"),
            refused("get_many", ["whole", "no-topics"]),
            refused("get_many", ["whole", "a-string"], "redis"),
            reading("get", "whole", expected.of("whole")),
            refused("recommendations", "no-json"),
            refused("recommendations", "no-items"),
            refused("items", ["half"]),
            refused("model", 0),
        ],
    )


def other_layouts() -> World:
    """A card of a later layout: the reader is too old."""

    def fill(settings: RedisSettings, client: redis.Redis) -> None:
        with_sink(settings, lambda sink: sink.announce(ModelCard("model-9", TOPICS, generation=1), NOW_MS))
        client.hset(model_key(), "layout", 2)

    return World("a later layout", fill, [refused("model", 0), reading("model", 2, None)])


def strange_pointer() -> World:
    """Nothing is read where nobody can tell which generation serves."""
    expected = views(["u42"])

    def fill(settings: RedisSettings, client: redis.Redis) -> None:
        with_sink(settings, lambda sink: _write(sink, expected.views))
        client.set(SERVING_KEY, b"2")

    return World("a pointer that no command wrote", fill, [refused("get", "u42"), refused("model", 0)])


def document(url: str) -> dict[str, Any]:
    """All worlds, each filled on the server at `url`, whose database is emptied for it."""
    return {"layout": 1, "worlds": [_described(world, url) for world in every_world()]}


def _described(world: World, url: str) -> dict[str, Any]:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        world.fill(RedisSettings.model_validate({"url": url}), client)
        contents = [_dumped(client, key) for key in sorted(client.keys())]
    return {
        "name": world.name,
        "pseudonym_key": world.pseudonym_key,
        "contents": contents,
        "readings": world.readings,
    }


def _dumped(client: redis.Redis, key: bytes) -> list[str]:
    if client.type(key) == b"hash":
        fields: dict[bytes, bytes] = client.hgetall(key)
        return ["HSET", *map(_text, [key, *(part for pair in sorted(fields.items()) for part in pair)])]
    value = client.get(key)
    assert value is not None
    return ["SET", _text(key), _text(value)]


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def written(made: dict[str, Any]) -> str:
    """A reading and a command a line, so that a change can be seen in a diff."""
    compact = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    worlds = []
    for world in made["worlds"]:
        parts = [f'"{name}": {compact(world[name])}' for name in ("name", "pseudonym_key")]
        for name in ("contents", "readings"):
            lines = ",\n".join(f"   {compact(one)}" for one in world[name])
            parts.append(f'"{name}": [\n{lines}\n  ]')
        worlds.append(" {\n  " + ",\n  ".join(parts) + "\n }")
    return f'{{"layout": {made["layout"]}, "worlds": [\n' + ",\n".join(worlds) + "\n]}\n"


def load(raw: dict[str, Any], url: str) -> list[str]:
    """Puts each world into a database of its own of the server; returns their URLs."""
    urls = []
    for place, world in enumerate(raw["worlds"]):
        urls.append(f"{url.rsplit('/', 1)[0]}/{place}")
        with redis.Redis.from_url(urls[-1]) as client:
            client.flushdb()
            for command, *arguments in world["contents"]:
                client.execute_command(command, *map(base64.b64decode, arguments))
    return urls


def same(found: Any, expected: Any) -> bool:
    """Whether a driver's answer is the expected one: numbers as float32 in vectors, topics in their order by weight."""
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(_same_part(name, found[name], expected[name]) for name in expected)
        )
    return bool(found == expected)


def _same_part(name: str, found: Any, expected: Any) -> bool:
    if name in (*FACETS, "vector") and isinstance(expected, list):
        return _floats(found) == _floats(expected)
    if name == "topics" and expected and isinstance(expected[0], list):
        weights = [weight for _, weight in found]
        return dict(map(tuple, found)) == dict(map(tuple, expected)) and weights == sorted(weights, reverse=True)
    if name == "bias":
        return bool(np.float32(found) == np.float32(expected))
    return same(found, expected)


def _floats(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *(0.0 if number == 0 else number for number in numbers))
