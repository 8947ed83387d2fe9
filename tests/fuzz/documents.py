"""Targets over JSON documents, Redis hashes, files of events and settings: readers that take one text at a time."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np

from model_store import manifest
from model_store.patches import PatchError, applied, patch_of
from model_store.registry import ModelRegistry
from stream_app import event_files, settings, sources
from stream_app.client import Interest, LayoutError, decode
from stream_app.commands.errors import explain
from stream_app.contracts import recommendations
from stream_app.contracts.redis_layout import Field, ModelCard, ModelField, interest_key, interest_keys, model_fields
from tests.fuzz.mutate import garbage, mutated, mutated_json, tokens
from tests.fuzz.target import Cases, Check, Target, check_message, each, plain
from tests.fuzz.truth import integer

ITEM = {"item_id": "i1", "score": 0.5, "reason": {"facet": "social", "topic": "Drama", "because_item": None}}
RECOMMENDATION = {
    "event_id": "u1:0:3",
    "user_id": "u1",
    "generated_at": 1_790_000_000_000,
    "trigger": {"kind": "click", "event_id": "e1", "ts": 1_790_000_000_000},
    "model_version": "m-1",
    "items": [ITEM, {**ITEM, "item_id": "ключ"}],
}
ENTRY = {"sha256": "0" * 64, "size": 12}
MANIFEST = {"format": manifest.FORMAT, "version": "v-1", "files": {"graph/saved_model.pb": ENTRY, "catalog.npz": ENTRY}}
_PATCHES = {"catalog.npz": 7, "graph/saved_model.pb": 0}
PATCHED_MANIFEST = {**MANIFEST, "format": manifest.PATCHED_FORMAT, "base": "v-0", "patches": _PATCHES}
POINTER = {"version": "v-2", "history": ["v-0", "v-1"]}
SERVING = {"generation": 2, "prefix": "g2:", "since": 1_790_000_000_000, "previous": 1}


def _texts(*documents: Any) -> Callable[[Random, int], Cases]:
    """Cases from JSON documents: as they are, mutated and garbage."""
    parts = [tokens(json.dumps(document).encode()) for document in documents]

    def make(dice: Random, count: int) -> Cases:
        return [_text(dice, dice.choice(parts)) for _ in range(count)]

    return make


def _text(dice: Random, parts: Any) -> bytes:
    chance = dice.random()
    if chance < 0.1:
        return b"".join(parts)
    return garbage(dice) if chance > 0.95 else mutated_json(dice, parts)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _read(raw: bytes) -> Any:
    """By the json module; the product lets pass whatever stands in fields that it does not know."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=integer)


def check_recommendation(raw: bytes) -> bool:
    """Refused with one class of error; what is accepted reads the same in the json module, and once more."""
    try:
        read = recommendations.decode(raw)
    except msgspec.DecodeError as error:
        check_message(str(error))
        return True
    document = _read(raw)
    assert (read.event_id, read.user_id) == (document["event_id"], document["user_id"])
    assert read.generated_at == document["generated_at"]
    assert [item.item_id for item in read.items] == [item["item_id"] for item in document["items"]]
    assert [item.score for item in read.items] == [float(item["score"]) for item in document["items"]]
    assert recommendations.decode(recommendations.encode(read)) == read
    return False


def check_manifest(raw: bytes) -> bool:
    """Refused as a ModelError; what is accepted names files inside the folder only."""
    try:
        read = manifest.decode(raw, "store/v-1")
    except manifest.ModelError as error:
        check_message(str(error))
        return True
    document = _read(raw)
    assert read.format == (manifest.PATCHED_FORMAT if read.base else manifest.FORMAT)
    assert (read.version, read.base, read.patches) == (
        document["version"], document.get("base", ""), document.get("patches", {}),
    )  # fmt: skip
    assert read.stored() <= sum(entry.size for entry in read.files.values()) + sum(read.patches.values())
    folder = Path("/models/here")
    for name in read.files:
        path = os.path.normpath(folder / name)
        assert path.startswith(f"{folder}/"), name
        assert "\0" not in name, name
    assert manifest.decode(manifest.encode(read), "again") == read
    return False


# -- differences between versions

_BASE = bytes(range(256)) * 40


def make_patches(dice: Random, count: int) -> Cases:
    """Patches of edited files, as they are, damaged, and garbage, with the size that the file should have."""
    out: Cases = []
    for _ in range(count):
        content = mutated(dice, _BASE)
        patch = patch_of(content, _BASE)
        chance = dice.random()
        raw = patch if chance < 0.2 else garbage(dice) if chance > 0.95 else mutated(dice, patch)
        out.append([raw, len(content) if dice.random() < 0.9 else int(dice.random() * 20_000), content, patch])
    return out


def check_patch(case: Any) -> bool:
    """The file it was made of, another one of that size (the checksum is for who asks), or a PatchError."""
    raw, size, content, patch = case
    try:
        made = applied(raw, _BASE, size)
    except PatchError as error:
        check_message(str(error))
        assert (raw, size) != (patch, len(content))
        return True
    assert len(made) == size
    assert raw != patch or made == content
    return False


@contextmanager
def pointer_check() -> Iterator[Check]:
    """`current.json` and a version's manifest in a store of their own in memory."""
    import fsspec

    store = fsspec.filesystem("memory")
    store.makedirs("/fuzz", exist_ok=True)
    registry = ModelRegistry("memory://fuzz")

    def check(raw: bytes) -> bool:
        store.pipe_file("/fuzz/current.json", raw)
        try:
            version, history = registry.current(), registry.history()
        except manifest.ModelError as error:
            check_message(str(error))
            return True
        document = _read(raw)
        assert (version, list(history)) == (document["version"], document.get("history", []))
        assert version is not None
        for name in (version, *history):
            assert manifest.check_version(name) == name
        return False

    yield each(check)


# -- what a reader finds in Redis

_HASH: dict[str, bytes] = {
    Field.VECTOR: np.arange(64, dtype="<f4").tobytes(),
    Field.BEHAVIOUR: np.ones(64, "<f4").tobytes(),
    Field.SOCIAL: bytes(256),
    Field.CONTENT: np.full(64, np.nan, "<f4").tobytes(),
    Field.TOPICS: b'{"Drama":0.75,"Com\\u00e9die":0.25}',
    Field.WINDOWS: json.dumps(
        {
            name: {"clicks": 1, "dwell_ms": 2, "ratings": 1, "rating_mean": 0.5, "follows": 0}
            for name in ("1h", "24h", "7d", "30d")
        }
    ).encode(),
    Field.UPDATED_AT: b"1790000000000",
    Field.EVENT_TS: b"1790000000000",
    Field.EVENTS: b"12",
    Field.GENERATION: b"0",
    Field.VERSION: b"15",
    Field.MODEL: b"m-1",
}
_CARD = model_fields(ModelCard("m-1", ("Drama", "Comedy")), 1_790_000_000_000)
_WHOLE = (Field.UPDATED_AT, Field.EVENT_TS, Field.EVENTS, Field.GENERATION, Field.VERSION)
_TOKENS = {name: tokens(value) for name, value in {**_HASH, **_CARD}.items() if value[:1] in b"{["}
_NUMBERS = (
    b"",
    b"-1",
    b"1.5",
    b"1e3",
    b" 7 ",
    b"1_000",
    b"0x10",
    b"nan",
    b"9" * 30,
    b"9" * 5_000,
    b"\xff",
    b"\xd9\xa3",
)


def make_hashes(dice: Random, count: int) -> Cases:
    """User, then a hash as HMGET gives it, some fields missing, short or something else."""
    names = list(Field)
    return [
        [dice.choice(("u1", "}", "ключ")), [_value(dice, name, _HASH[name]) for name in names]] for _ in range(count)
    ]


def _value(dice: Random, name: str, good: bytes) -> bytes | None:
    chance = dice.random()
    if chance < 0.9:
        return good
    if chance < 0.92:
        return None
    if chance < 0.94:
        return garbage(dice, 300)
    if name in _TOKENS:
        return mutated_json(dice, _TOKENS[name])
    if len(good) < 20:
        return dice.choice(_NUMBERS)
    return good[: int(dice.random() * len(good))] + b"\0" * (4 * int(dice.random() * 3))


def check_hash(case: Any) -> bool:
    """An interest, nothing, or a LayoutError that names the key."""
    user, row = case
    try:
        read = decode.interest(user, interest_key(user.encode()), row)
    except LayoutError as error:
        check_message(str(error))
        assert interest_key(user.encode()).decode() in str(error)  # noqa: PT017
        return True
    if read is None:
        assert row[0] is None
        return True
    raw = dict(zip(Field, row, strict=True))
    _check_interest(read, raw)
    return False


def _check_interest(read: Interest, raw: dict[Field, bytes]) -> None:
    sizes = {len(raw[name]) for name in (Field.VECTOR, Field.BEHAVIOUR, Field.SOCIAL, Field.CONTENT)}
    assert len(sizes) == 1, "the vectors have several lengths"
    assert read.vector.tobytes() == raw[Field.VECTOR]
    assert read.content.tobytes() == raw[Field.CONTENT]
    assert read.vector.shape == (sizes.pop() // 4,)
    topics, windows_read = (_read(raw[name]) for name in (Field.TOPICS, Field.WINDOWS))
    assert list(read.topics.items()) == [(name, float(weight)) for name, weight in topics.items()]
    assert list(read.windows) == list(windows_read)
    assert read.model == raw[Field.MODEL].decode()
    for name, found in zip(
        _WHOLE, (read.updated_at_ms, read.event_ts_ms, read.events, read.generation, read.version), strict=True
    ):
        assert raw[name] == str(found).encode()


def make_cards(dice: Random, count: int) -> Cases:
    """The model card's hash as HGETALL gives it."""
    out: Cases = []
    for _ in range(count):
        card = {name.encode(): _value(dice, name, value) for name, value in _CARD.items()}
        card = {name: value for name, value in card.items() if value is not None}
        if dice.random() < 0.1:
            card[garbage(dice, 20)] = garbage(dice)
        out.append(card)
    return out


def check_card(card: dict[bytes, bytes]) -> bool:
    """A card, nothing, or a LayoutError."""
    try:
        read = decode.model_card(b"interest:model", card)
    except LayoutError as error:
        check_message(str(error))
        return True
    if read is None:
        assert not card
        return True
    assert read.version == card[ModelField.VERSION.encode()].decode()
    assert list(read.topics) == _read(card[ModelField.TOPICS.encode()])
    assert str(read.dimension).encode() == card[ModelField.DIMENSION.encode()]
    return False


def check_serving(raw: bytes) -> bool:
    """The generation that is written there, or a LayoutError."""
    try:
        read = decode.serving(raw)
    except LayoutError as error:
        check_message(str(error))
        assert "interest:serving" in str(error)  # noqa: PT017
        return True
    assert read == _read(raw)["generation"] >= 1
    return False


def make_user_ids(dice: Random, count: int) -> Cases:
    """Pairs of ids that a key could confuse."""
    pieces = ["}", "{", "%", "%7D", "%25", "a", "interest:", ":", "rec:{", "\U0001f511", " ", "*", "\\"]
    return [["".join(dice.choices(pieces, k=1 + int(dice.random() * 4))) for _ in range(2)] for _ in range(count)]


def check_keys(case: list[str]) -> bool:
    """Two users never share a key, no key is the model card's, and what is between the braces is not empty."""
    one, other = (user.encode() for user in case)
    first, second = interest_keys([one, other])
    assert (first == second) == (one == other)
    assert interest_key(one) == first
    for key in (first, second):
        assert key.startswith(b"interest:{")
        tag = key[len(b"interest:{") : key.index(b"}")]
        assert tag
    return False


# -- files of events

_LINES = (
    {"kind": "click", "event_id": "1", "user_id": "ann", "item_id": "x", "ts": 5, "mine": [1, {"a": "é"}]},
    {"kind": "rating", "event_id": "1", "user_id": "ann", "item_id": "x", "rating": 4.5, "ts": 5},
    {"kind": "item", "item_id": "x", "title": "X"},
    {"kind": "erasure", "event_id": "2", "user_id": "ann", "ts": 7},
    {"user_id": 7, "item_id": 12, "ts": 1735689600},
    {"user_id": "ann", "item_id": "x", "rating": 4.5, "ts": "2025-01-01T00:00:00Z"},
)


def check_line(line: bytes) -> bool:
    """Sent as it is less its kind, or refused as a SourceError that names the line."""
    try:
        record = event_files.record_of(line, "events.jsonl, line 3", event_id="events.jsonl/1/3")
    except sources.SourceError as error:
        check_message(str(error))
        assert "line 3" in str(error)  # noqa: PT017
        return True
    document = _as_written(line)
    if "kind" not in document:  # put right: not what is written there, but what a worker takes
        assert record.key == _as_written(record.value)[sources.KEY_FIELD[record.kind]].encode()
        assert record.kind == "item" or record.ts_ms == int(_as_written(record.value)["ts"])
        return False
    kind = document.pop("kind")
    assert record.kind == kind
    assert record.key == document[sources.KEY_FIELD[kind]].encode()
    assert _as_written(record.value) == document
    ts = document.get("ts", "0")
    assert record.ts_ms == (int(ts) if ts.lstrip("-").isdigit() else int(float(ts)))
    return False


def _as_written(raw: bytes) -> Any:
    """JSON whose numbers stay text."""
    text = raw.decode("utf-8", "surrogateescape")
    return json.loads(text, parse_constant=_refuse, parse_int=str, parse_float=str)


# -- settings

_SECRET = "tell-nobody"
_TOML = [
    b"[kafka]\n",
    b"[redis]\n",
    b"[accept]\n",
    b"[metrics]\n",
    b"[log]\n",
    b"[kafka.topics]\n",
    b"[recommend]\n",
    b"[flush]\n",
    b'bootstrap = "host:9092"\n',
    b"partitions = 4\n",
    b'clicks = "interest.clicks"\n',
    b'follows = "interest.clicks"\n',
    b'url = "redis://:tell-nobody@h:1/0"\n',
    b"min_interval_s = inf\n",
    b"timeout_s = nan\n",
    b"give_up_s = -1\n",
    b'level = "loud"\n',
    b"port = 70000\n",
    b"json_lines = true\n",
    b"flush_share = 1e999\n",
    b"max_value_bytes = 1_000\n",
    b'data_dir = "x"\n',
    b"unknown = 1\n",
    b"[",
    b"]]",
    b'"',
    b"'''",
    b"\xff",
    b"\x00",
    b"kafka = 3\n",
    b"1979-05-27T07:32:00Z\n",
    b'redis.url = ["tell-nobody"]\n',
    b'redis = "tell-nobody"\n',
    b"[[kafka]]\n",
    b"group = \n",
    b"#",
    b"\r",
    b"= 1\n",
]
_VARIABLES = [
    "KAFKA",
    "KAFKA__BOOTSTRAP",
    "KAFKA__PARTITIONS",
    "KAFKA__TOPICS",
    "KAFKA__TOPICS__CLICKS",
    "REDIS",
    "REDIS__URL",
    "REDIS__CLUSTER",
    "REDIS__TTL_S",
    "RECOMMEND__MIN_INTERVAL_S",
    "ACCEPT__FLOOD_SHARE",
    "METRICS__PORT",
    "LOG__LEVEL",
    "KAFKA__ACCEPT_GAPS",
    "KAFKA__BOOTSTRAP__DEEPER",
    "DATA_DIR",
    "NOBODY",
    "CYCLE",
    "FLUSH__INTERVAL_S",
    "MODELS__URL",
]
_TEXTS = [
    "",
    " ",
    "1",
    "0",
    "-1",
    "nan",
    "inf",
    "-inf",
    "1e999",
    "9" * 5_000,
    "true",
    "maybe",
    "null",
    "{}",
    "[]",
    "{",
    '{"url": 3}',
    '{"url": "redis://:tell-nobody@h"}',
    '{"url": "tell-nobody", "x": 1}',
    "redis://:tell-nobody@h:bad/0",
    "tell-nobody",
    '{"partitions": "4"}',
    '{"topics": {"clicks": ""}}',
    '{"topics": {"clicks": "interest.items"}}',
    "host:9092,other:1",
    "interest.clicks",
    "interest.follows",
    "../x",
    "ключ",
    "info",
    "[" * 3_000,
    '{"a":' * 2_000,
]


def make_settings(dice: Random, count: int) -> Cases:
    """Environment variables, and the text of a file (or none)."""
    return [
        [
            {dice.choice(_VARIABLES): dice.choice(_TEXTS) for _ in range(int(dice.random() * 4))},
            None if dice.random() < 0.3 else _toml(dice),
        ]
        for _ in range(count)
    ]


def _toml(dice: Random) -> bytes:
    text = b"".join(dice.choices(_TOML, k=int(dice.random() * 6)))
    return mutated(dice, text) if dice.random() < 0.3 else text


@contextmanager
def settings_check() -> Iterator[Check]:
    """With the variables in the environment and the file on disk."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "interest.toml"
        yield each(lambda case: _check_settings(case, file))


def _check_settings(case: Any, file: Path) -> bool:
    variables, text = case
    names = {f"INTEREST_{name}": value for name, value in variables.items()}
    if text is not None:
        file.write_bytes(text)
        names["INTEREST_CONFIG"] = str(file)
    try:
        os.environ.update(names)
        read = settings.load()
    except Exception as error:
        explained = explain(error)
        assert explained is not None, f"{type(error).__name__} is not explained: {error}"  # noqa: PT017
        check_message(explained[0])
        assert _SECRET not in explained[0], "a secret is in the message"
        return True
    finally:
        for name in names:
            os.environ.pop(name)
    assert _SECRET not in f"{read.redis!r}{read.redis}"
    for section in (read.kafka, read.redis, read.cycle, read.flush, read.recommend, read.accept):
        for name, value in section:
            assert not isinstance(value, float) or np.isfinite(value), f"{name} is {value}"
    topics = list(read.kafka.topics.model_dump().values())
    assert len(set(topics)) == len(topics), "two topics have one name"
    return False


TARGETS = [
    Target("recommendations", _texts(RECOMMENDATION), plain(each(check_recommendation))),
    Target("manifest", _texts(MANIFEST, PATCHED_MANIFEST), plain(each(check_manifest))),
    Target("patch", make_patches, plain(each(check_patch)), batch=200, share=0.5),
    Target("pointer", _texts(POINTER), pointer_check, batch=200, share=0.5),
    Target("redis-hash", make_hashes, plain(each(check_hash))),
    Target("redis-card", make_cards, plain(each(check_card)), share=0.5),
    Target("redis-serving", _texts(SERVING), plain(each(check_serving)), share=0.5),
    Target("redis-keys", make_user_ids, plain(each(check_keys)), share=0.5),
    Target("event-file", _texts(*_LINES), plain(each(check_line))),
    Target("settings", make_settings, settings_check, batch=20, share=0.5),
]
