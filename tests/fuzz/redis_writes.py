"""Target `redis-write`: the guarded write on a real Valkey, in any order and with damaged blobs, and a naive truth."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
import redis

from stream_app.client.decode import interest
from stream_app.contracts.redis_layout import Field
from stream_app.contracts.views import InterestViews
from stream_app.local import LocalValkey
from stream_app.settings import Redis as RedisSettings
from stream_app.sinks.redis import RedisSink, _Rule
from tests.fuzz.mutate import garbage, mutated
from tests.fuzz.target import Cases, Check, Target, check_message
from tests.views import random_views

_HEAD = struct.Struct("<BQQQII")
_VECTOR_BYTES, _FACETS = 256, (b"vector", b"behaviour", b"social", b"content")
_LARGEST = 2**53 - 1
# Places in the command: EVALSHA, sha, number of keys, keys, and then the script's arguments.
_KEYS_AT, _USERS_ARG, _BLOB_ARG, _FIRST_TOLD = 3, 5, 6, 8

_PIECES = [
    "}",
    "{",
    "%",
    "%7D",
    "%25",
    "a",
    "interest:",
    ":",
    "rec:{",
    "\U0001f511",
    " ",
    "*",
    "\\",
    "ключ",
    "[^a]",
    "?",
]
_USERS = ("u1", "u2", "u3", "model", "}", "%7D", "{u1}", "u1}", "u1}:x", "x" * 256)
_VERSIONS = (0, 1, 2, 3, 4, 9, 10, 2**53 - 2, 2**53 - 1)
_IMPOSSIBLE = (2**53, 2**53 + 1, 2**63 - 1, -1)
_TTLS_S = (1_000, 90_000, 7_776_000, 3_000_000_000)
# A stored number that somebody else wrote, and what it counts as.
_STORED = {b"nan": -1, b"-nan": -1, b"inf": -1, b"-5": -1, b"abc": -1, b"": -1, b"9" * 30: -1, b"2": 2, b"\xff\0": -1}
_NEIGHBOURS = {b"interest:model": b"card", b"interest:{}": b"x", b"rec:": b"y", b"interest:": b"z", b"u1": b"other"}


def make(dice: Random, count: int) -> Cases:
    """Writes, with what is done to their blobs; keys that expire; keys that other programs wrote."""
    users = [*_USERS, *("".join(dice.choices(_PIECES, k=1 + int(dice.random() * 4))) for _ in range(4))]
    return [_operation(dice, sorted(set(users))) for _ in range(count)]


def _operation(dice: Random, users: list[str]) -> list[Any]:
    chance = dice.random()
    if chance < 0.05:
        return ["expire", dice.choice(users).encode()]
    if chance < 0.1:
        return ["plant", dice.choice(users).encode(), dice.choice(list(_STORED)), dice.choice(list(_STORED))]
    if chance < 0.103:
        return ["text", dice.choice(users).encode()]
    chosen = dice.sample(users, 1 + int(dice.random() * dice.random() * len(users)))
    rows = [_row(dice, user.encode()) for user in chosen]
    hurt = dice.choice(("bytes", "bytes", "length", "flag", "cut", "more", "count", "key", "told"))
    return [
        "write",
        int(dice.random() * 3),  # generation
        dice.choice(("write", "write", "write", "fill", "look")),
        [dice.choice(_TTLS_S), dice.choice(_TTLS_S)],
        dice.choice(("m-1", "m-2")),
        rows,
        dice.getrandbits(32),  # of the columns, and of the damage
        hurt if dice.random() < 0.3 else "",
    ]


def _row(dice: Random, user: bytes) -> list[Any]:
    """Id, version, whether erased, recommendation."""
    version = dice.choice(_VERSIONS) if dice.random() < 0.99 else dice.choice(_IMPOSSIBLE)
    return [user, version, dice.random() < 0.2, garbage(dice) if dice.random() < 0.4 else None]


# -- the truth


class RefusedError(Exception):
    """The server must answer with an error."""


@dataclass
class Store:
    """What the keys hold.

    Attributes:
        keys: a hash's fields, or a string.
        ttls_s: of the keys that have one.
        readable: hashes that a worker has written as they should be.
    """

    keys: dict[bytes, dict[bytes, bytes] | bytes] = field(default_factory=dict)
    ttls_s: dict[bytes, int] = field(default_factory=dict)
    readable: set[bytes] = field(default_factory=set)

    def forget(self, key: bytes) -> None:
        self.keys.pop(key, None)
        self.ttls_s.pop(key, None)
        self.readable.discard(key)

    def put(self, key: bytes, value: dict[bytes, bytes] | bytes, ttl_s: int) -> None:
        self.keys[key], self.ttls_s[key] = value, ttl_s

    def stands(self, key: bytes) -> tuple[int, int, bytes | None]:
        """Generation, version and model of a user's hash."""
        held = self.keys.get(key, {})
        if not isinstance(held, dict):
            raise RefusedError
        return _number(held.get(b"generation")), _number(held.get(b"version")), held.get(b"model")


def _number(stored: bytes | None) -> int:
    return -1 if stored is None else _STORED[stored] if stored in _STORED else int(stored)


def _key(prefix: bytes, user: bytes) -> bytes:
    tagged = b"%%%02X" % user[0] + user[1:] if user[:1] in (b"}", b"%") else user
    return prefix + b"{" + tagged + b"}"


def _write(store: Store, case: list[Any], views: InterestViews, command: list[Any], *, clean: bool) -> int:
    """How many users it writes. Raises RefusedError."""
    _, generation, mode, (ttl_s, erased_ttl_s), model, _, _, _ = case
    keys, arguments = _parted(command)
    users = _parsed(arguments[_BLOB_ARG], arguments[_USERS_ARG])
    named, told = (sum(flag in flags for flag, *_ in users) for flags in ((1, 2), (1,)))
    if (len(keys), len(arguments)) != (len(users) + named, _FIRST_TOLD + told):
        raise RefusedError
    recommendations = iter(arguments[_FIRST_TOLD:])
    others, written = iter(keys[len(users) :]), 0
    for key, (flag, version, values) in zip(keys, users, strict=False):
        recommendation_key = next(others) if flag else b""
        recommendation = next(recommendations) if flag == 1 else None
        held_generation, held_version, held_model = store.stands(key)
        same = (generation, version) == (held_generation, held_version)
        again = mode == "write" or (flag != 2 and held_model != model.encode())
        if not ((generation, version) > (held_generation, held_version) or (same and again)):
            continue
        written += 1
        guard = {b"generation": b"%d" % generation, b"version": b"%d" % version}
        if mode == "look":
            continue
        if flag == 2:
            store.forget(key)
            store.forget(recommendation_key)
            store.put(key, guard, erased_ttl_s)
            continue
        held = store.keys.get(key, {})
        assert isinstance(held, dict)
        own = {b"updated_at": b"%d" % views.updated_at_ms, b"model": model.encode()}
        store.put(key, {**held, **values, **guard, **own}, ttl_s)
        (store.readable.add if clean else store.readable.discard)(key)
        if recommendation is not None:
            store.put(recommendation_key, recommendation, ttl_s)
    return written


def _parsed(blob: bytes, count: int) -> list[tuple[int, int, dict[bytes, bytes]]]:
    """Flag, version and values of each user. Raises RefusedError where the blob does not hold just so many."""
    users, at = [], 0
    for _ in range(count):
        if at + _HEAD.size > len(blob):
            raise RefusedError
        flag, version, event_ts, events, topics_bytes, windows_bytes = _HEAD.unpack_from(blob, at)
        if flag > 2 or max(version, event_ts, events) > _LARGEST:
            raise RefusedError
        values, at = {b"event_ts": b"%d" % event_ts, b"events": b"%d" % events}, at + _HEAD.size
        for name, size in [*((facet, _VECTOR_BYTES) for facet in _FACETS), (b"topics", topics_bytes)]:
            values[name], at = blob[at : at + size], at + size
        values[b"windows"], at = blob[at : at + windows_bytes], at + windows_bytes
        users.append((flag, version, values))
    if at != len(blob):
        raise RefusedError
    return users


# -- the product


@contextmanager
def given() -> Iterator[Check]:
    """A Valkey."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalValkey(folder) as server,
        redis.Redis.from_url(server.url) as client,
    ):

        def check(cases: Cases) -> int:
            client.flushdb()
            client.mset(_NEIGHBOURS)
            store = Store(dict(_NEIGHBOURS))
            refused = sum(_carry_out(client, store, case) for case in cases)
            _compare(client, store)
            return refused

        yield check


def _carry_out(client: Any, store: Store, case: list[Any]) -> bool:
    """On the server and in the truth; whether both refuse it."""
    if case[0] == "write":
        return _write_both(client, store, case)
    key = _key(b"interest:", case[1])
    if case[0] == "expire":
        client.pexpireat(key, 1)
        store.forget(key)
    elif case[0] == "text":
        client.set(key, b"text")
        store.forget(key)
        store.keys[key] = b"text"
    elif isinstance(held := store.keys.setdefault(key, {}), dict):
        fields = {b"generation": case[2], b"version": case[3]}
        client.hset(key, mapping=fields)
        held.update(fields)
        store.readable.discard(key)
    return False


def _write_both(client: Any, store: Store, case: list[Any]) -> bool:
    views, sound = _command(case)
    _check_keys(case[1], case[5], _parted(sound)[0])
    command = _hurt(sound, Random(case[6]), case[7])
    answer = _sent(client, command)
    try:
        expected = _write(store, case, views, command, clean=not case[7])
    except RefusedError:
        assert isinstance(answer, redis.ResponseError), f"accepted: {answer}"
        check_message(str(answer))
        return True
    assert answer == expected, f"{answer!r}, not {expected}"
    return False


def _check_keys(generation: int, rows: list[Any], keys: list[bytes]) -> None:
    """The users' own in that generation, and no two users share one."""
    named = [user for user, _, erased, recommendation in rows if erased or recommendation is not None]
    prefix = b"g%d:" % generation if generation > 1 else b""
    own = [_key(b"interest:" + prefix, user) for user, *_ in rows] + [_key(b"rec:" + prefix, user) for user in named]
    assert keys == own
    assert len(set(keys)) == len(keys)


def _command(case: list[Any]) -> tuple[InterestViews, list[Any]]:
    _, generation, mode, (ttl_s, erased_ttl_s), model, rows, seed, _ = case
    views = random_views(
        [row[0] for row in rows],
        seed=seed,
        version=0,
        generation=generation,
        model_version=model,
        erased=np.array([row[2] for row in rows]),
        recommendations={i: row[3] for i, row in enumerate(rows) if row[3] is not None},
    )
    views.version[:] = [row[1] for row in rows]
    sink = RedisSink(RedisSettings(erased_ttl_s=erased_ttl_s))
    return views, list(sink._command(_Rule(mode, ttl_s), views, 0, len(rows)))


def _parted(command: list[Any]) -> tuple[list[bytes], list[Any]]:
    """The keys and the arguments."""
    first = _KEYS_AT + command[2]
    return command[_KEYS_AT:first], command[first:]


def _hurt(command: list[Any], dice: Random, how: str) -> list[Any]:
    """The command with a fault in its blob, or in what has to fit it."""
    keys, arguments = _parted(command)
    blob = arguments[_BLOB_ARG]
    if how == "bytes":
        blob = mutated(dice, blob)
    elif how == "length":
        at = dice.choice((25, 29))
        blob = blob[:at] + struct.pack("<I", dice.choice((0, 1, 2**31, 2**32 - 1, len(blob)))) + blob[at + 4 :]
    elif how == "flag":
        blob = bytes([dice.choice((0, 1, 2, 3, 255))]) + blob[1:]
    elif how == "cut":
        blob = blob[: int(dice.random() * len(blob))]
    elif how == "more":
        blob += dice.choice((b"\0", blob, garbage(dice)))
    elif how == "count":
        arguments[_USERS_ARG] = max(0, arguments[_USERS_ARG] + dice.choice((-1, 1, 1_000)))
    elif how == "key":
        keys = keys[:-1] if dice.random() < 0.5 else [*keys, b"interest:{stranger}"]
    elif how == "told":
        arguments = arguments[:-1] if len(arguments) > _FIRST_TOLD else [*arguments, b"theirs"]
    arguments[_BLOB_ARG] = blob
    return [*command[:2], len(keys), *keys, *arguments]


def _sent(client: Any, command: list[Any]) -> Any:
    try:
        return client.execute_command(*command)
    except redis.exceptions.NoScriptError:
        client.script_load(RedisSink(RedisSettings())._script)
        return _sent(client, command)
    except redis.ResponseError as error:
        return error


def _compare(client: Any, store: Store) -> None:
    """Every key of the server, no other, with its time to live; what workers wrote is read."""
    keys = sorted(store.keys)
    assert sorted(client.keys()) == keys
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            (pipeline.get if isinstance(store.keys[key], bytes) else pipeline.hgetall)(key)
            pipeline.ttl(key)
        answers = iter(pipeline.execute())
    for key, found, ttl_s in zip(keys, answers, answers, strict=True):
        assert found == store.keys[key], key
        longest_s = store.ttls_s.get(key, -1)
        assert longest_s - 600 < ttl_s <= longest_s, f"{key!r} lives {ttl_s} s, not {longest_s}"
        if key in store.readable:
            read = interest("u", key, [found[name.encode()] for name in Field])
            assert read is not None
            assert b"%d" % read.version == found[b"version"]


TARGETS = [Target("redis-write", make, given, batch=200, share=2)]
