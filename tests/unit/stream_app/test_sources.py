"""Records made of data sets, files and random numbers."""

import json
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from stream_app.contracts.events import Click, Follow, Rating
from stream_app.contracts.items import Item
from stream_app.event_files import from_jsonl
from stream_app.settings import Topics
from stream_app.sources import Record, SourceError, from_interactions, synthetic, topic_of

CONTRACTS: dict[str, type[Click] | type[Follow] | type[Rating]] = {"click": Click, "follow": Follow, "rating": Rating}


def interactions(follows: tuple[tuple[str, str], ...] = (), topics: bool = True) -> Interactions:
    """Two users, three items, one interaction without a rating; scale of 10."""
    log = Log(
        users=["ann", "bob", "ann", "bob"],
        items=["x", "y", "z", "x"],
        ts_ms=np.array([1000, 2000, 3000, 4000], np.int64),
        rating=np.array([7, np.nan, 10, 0], np.float32),
        scale_max=10.0,
    )
    facts = ItemFacts({"x": "X", "y": "Y", "z": "Z"}, {"x": ["Drama"], "z": ["Comedy"]} if topics else {})
    return assemble("tiny", "free", log, facts, follows)


def test_every_interaction_is_a_click_and_a_rating_if_it_is_rated() -> None:
    source = from_interactions(interactions(), follows=False)
    records = list(source.records())
    assert [record.kind for record in records] == ["click", "rating", "click", "click", "rating", "click", "rating"]
    assert source.events == len(records)
    ratings = [msgspec.json.decode(record.value, type=Rating) for record in records if record.kind == "rating"]
    assert [(each.user_id, each.item_id, each.rating, each.scale_max, each.ts) for each in ratings] == [
        ("ann", "x", 7.0, 10.0, 1000),
        ("ann", "z", 10.0, 10.0, 3000),
        ("bob", "x", 0.0, 10.0, 4000),
    ]


def test_known_follows_are_sent_at_the_followers_first_event() -> None:
    source = from_interactions(interactions((("bob", "ann"), ("bob", "eve"), ("ghost", "ann"))))
    follows = [msgspec.json.decode(record.value, type=Follow) for record in source.records() if record.kind == "follow"]
    assert [(each.user_id, each.target_type, each.target_id, each.ts) for each in follows] == [
        ("bob", "user", "ann", 2000),
        ("bob", "user", "eve", 2000),
    ]
    assert any("simulated" in note for note in source.notes)


def test_without_known_follows_the_first_topic_is_followed() -> None:
    source = from_interactions(interactions())
    follows = [msgspec.json.decode(record.value, type=Follow) for record in source.records() if record.kind == "follow"]
    # Bob's first item has no topic, so his second one decides.
    assert [(each.user_id, each.target_type, each.target_id, each.ts) for each in follows] == [
        ("ann", "topic", "Drama", 1000),
        ("bob", "topic", "Drama", 4000),
    ]


def test_without_topics_nobody_follows() -> None:
    source = from_interactions(interactions(topics=False))
    assert Counter(record.kind for record in source.records()) == {"click": 4, "rating": 3}
    assert source.events == 7


def test_items_are_sent_first_when_asked_for_and_are_what_the_catalogue_takes() -> None:
    source = from_interactions(interactions(), items=True)
    records = list(source.records())
    assert source.events == len(records)
    assert [record.kind for record in records[:4]] == ["item", "item", "item", "click"]
    assert [record.key for record in records[:3]] == [b"x", b"y", b"z"]
    assert [msgspec.json.decode(record.value, type=Item) for record in records[:3]] == [
        Item("x", "X", tags=("Drama",)),
        Item("y", "Y"),
        Item("z", "Z", tags=("Comedy",)),
    ]
    assert records[3:] == list(from_interactions(interactions()).records())
    cut = source.first(2)
    assert (cut.events, list(cut.records())) == (5, records[:5])


def test_ids_are_unique_the_same_again_and_others_in_another_run() -> None:
    def ids(run: str) -> list[str]:
        return [json.loads(record.value)["event_id"] for record in from_interactions(interactions(), run).records()]

    assert len(set(ids("1"))) == len(ids("1")) == 9
    assert ids("1") == ids("1")
    assert not set(ids("1")) & set(ids("2"))


def test_cut_source_counts_what_is_left() -> None:
    source = from_interactions(interactions(), follows=False)
    assert len(list(source.first(3).records())) == source.first(3).events == 3
    assert source.first(100).events == source.events
    assert source.first(None) is source


@pytest.mark.parametrize("zipf", [0.0, 1.2])
def test_synthetic_events_keep_the_contract(zipf: float) -> None:
    records = list(synthetic(12_345, users=50, items=20, zipf=zipf, seed=3).records())
    assert len(records) == 12_345
    for record in records:
        event = msgspec.json.decode(record.value, type=CONTRACTS[record.kind])
        assert event.user_id.encode() == record.key
        assert 0 <= int(event.user_id[1:]) < 50
    assert len({json.loads(record.value)["event_id"] for record in records}) == len(records)
    assert list(synthetic(100, 50, 20, zipf, 3).records()) == list(synthetic(100, 50, 20, zipf, 3).records())


def test_synthetic_skew() -> None:
    def share_of_first(zipf: float) -> float:
        users = Counter(record.key for record in synthetic(20_000, 100, 20, zipf, 1).records())
        return users[b"u0"] / 20_000

    # Uniform: 1 of 100. Zipf with exponent 1: 1 / (1 + 1/2 + ... + 1/100).
    assert share_of_first(0.0) == pytest.approx(0.01, abs=0.005)
    assert share_of_first(1.0) == pytest.approx(1 / sum(1 / rank for rank in range(1, 101)), abs=0.02)


def test_lines_of_a_file_go_out_as_they_are_less_the_kind(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(
        '{"kind": "click", "event_id": "1", "user_id": "ann", "item_id": "x", "ts": 5, "mine": [1]}\n\n'
        '{"kind": "item", "item_id": "x", "title": "X"}\n'
    )
    assert list(from_jsonl(file).records()) == [
        Record("click", b"ann", b'{"event_id":"1","user_id":"ann","item_id":"x","ts":5,"mine":[1]}', 5),
        Record("item", b"x", b'{"item_id":"x","title":"X"}', 0),
    ]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[]", '{"kind": "like", "user_id": "a"}', '{"kind": "click"}', '{"kind": "click", "user_id": 7}'],
)
def test_line_that_cannot_be_sent_is_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text('{"kind": "erasure", "user_id": "a"}\n' + line + "\n")
    with pytest.raises(SourceError, match=r"events\.jsonl, line 2"):
        list(from_jsonl(file).records())


def test_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a file"):
        from_jsonl(tmp_path / "absent.jsonl")


def test_kinds_have_topics_of_their_own() -> None:
    topics = Topics()
    assert [topic_of(kind, topics) for kind in ("click", "follow", "rating", "erasure", "item")] == [
        *topics.inputs,
        topics.items,
    ]
