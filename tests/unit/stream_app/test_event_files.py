"""Files of events as one has them, on the way to Kafka and as a data set."""

import json
from pathlib import Path
from typing import Any

import pytest

from stream_app.event_files import AS_THEY_ARE, Shape, from_jsonl, shape_of
from stream_app.recorded import RecordedError
from stream_app.recorded_file import of_file
from stream_app.sources import Source, SourceError

NOON_MS = 1_735_732_800_000  # 2025-01-01T12:00:00Z
LATER_MS = NOON_MS + 1_000_000


def source(folder: Path, *lines: dict[str, Any], shape: Shape = AS_THEY_ARE, run: str = "1") -> Source:
    file = folder / "mine.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return from_jsonl(file, shape, run)


def sent(folder: Path, *lines: dict[str, Any], **how: Any) -> list[tuple[str, dict[str, Any]]]:
    return [(record.kind, json.loads(record.value)) for record in source(folder, *lines, **how).records()]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ({"user_id": "ann", "item_id": "x"}, "click"),
        ({"user_id": "ann", "item_id": "x", "rating": 4}, "rating"),
        ({"user_id": "ann", "target_id": "bob"}, "follow"),
    ],
)
def test_a_line_without_a_kind_is_what_it_looks_like(tmp_path: Path, line: dict[str, Any], kind: str) -> None:
    assert sent(tmp_path, {**line, "ts": NOON_MS}) == [(kind, {**line, "ts": NOON_MS, "event_id": "mine.jsonl/1/1"})]


def test_an_item_needs_no_time_and_gets_no_event_id(tmp_path: Path) -> None:
    assert sent(tmp_path, {"item_id": 7, "title": "Seven"}) == [("item", {"item_id": "7", "title": "Seven"})]


@pytest.mark.parametrize(
    "time",
    [
        NOON_MS,
        NOON_MS // 1000,
        NOON_MS / 1000,
        NOON_MS * 1000,
        NOON_MS * 1_000_000,
        "2025-01-01T12:00:00Z",
        "2025-01-01T14:00:00+02:00",
        "2025-01-01 12:00:00",
    ],
)
def test_a_time_in_any_unit_or_in_words(tmp_path: Path, time: object) -> None:
    ((_, event),) = sent(tmp_path, {"user_id": "ann", "item_id": "x", "ts": time})
    assert event["ts"] == NOON_MS


def test_other_names_and_numbers_for_ids(tmp_path: Path) -> None:
    shape = shape_of(["user_id=uid", "item_id=product", "ts=at"], "click")
    line = {"uid": 42, "product": 12345678901234567890, "at": NOON_MS, "price": 9.90}
    (record,) = source(tmp_path, line, shape=shape, run="2").records()
    assert (record.key, record.ts_ms) == (b"42", NOON_MS)
    assert json.loads(record.value) == {
        "user_id": "42",
        "item_id": "12345678901234567890",
        "ts": NOON_MS,
        "price": 9.90,
        "event_id": "mine.jsonl/2/1",
    }


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"user_id": "ann", "item_id": "x"}, "it says no time"),
        ({"user_id": "ann", "item_id": "x", "ts": "noon"}, "noon"),
        ({"user_id": "ann", "ts": NOON_MS}, "neither `item_id` nor `target_id`"),
        ({"user": "ann", "rating": 3, "ts": NOON_MS}, "--field NAME=THEIRS"),
    ],
)
def test_what_cannot_be_told_is_asked_for(tmp_path: Path, line: dict[str, Any], says: str) -> None:
    with pytest.raises(SourceError, match=r"mine\.jsonl, line 1") as caught:
        sent(tmp_path, line)
    assert says in str(caught.value)


@pytest.mark.parametrize("field", ["uid", "user=uid", "user_id=", "=uid"])
def test_a_field_that_no_contract_has_is_refused(field: str) -> None:
    with pytest.raises(SourceError, match="one of event_id, user_id"):
        shape_of([field], None)


def click(user: str, item: str, ts: int, **fields: Any) -> dict[str, Any]:
    return {"user_id": user, "item_id": item, "ts": ts, **fields}


def test_as_a_data_set(tmp_path: Path) -> None:
    data = of_file(
        source(
            tmp_path,
            {"item_id": "x", "title": "The X", "tags": ["Drama"]},
            {"item_id": "never", "title": "Nobody's"},
            click("ann", "x", NOON_MS, event_id="e1"),
            click("ann", "x", NOON_MS, event_id="e1"),  # a retry counts once
            click("ann", "x", NOON_MS + 5, rating=4),  # of what was clicked: no interaction of its own
            click("bob", "y", NOON_MS + 1, rating=10, scale_max=10),
            click("eve", "x", NOON_MS + 2),
            {"kind": "erasure", "event_id": "e9", "user_id": "eve", "ts": NOON_MS + 3},
            click("eve", "y", NOON_MS + 4),
            {"user_id": "ann", "target_id": "bob", "target_type": "user", "action": "follow", "ts": NOON_MS},
            click("ann", "y", LATER_MS + 10_000_000),  # in the future
            click("ann", "", NOON_MS + 6),
        ),
        LATER_MS,
    )
    rows = [(data.users[user], data.items[item]) for user, item in zip(data.user, data.item, strict=True)]
    assert rows == [("ann", "x"), ("bob", "y"), ("eve", "y")]
    assert data.rating.tolist()[:2] == pytest.approx([0.8, 1.0])
    assert dict(zip(data.items, data.titles, strict=True)) == {"x": "The X", "y": "y", "never": "Nobody's"}
    assert (data.name, data.topics, data.follows) == ("mine", ("Drama",), (("ann", "bob"),))


def test_a_file_with_nothing_to_learn_from_says_why(tmp_path: Path) -> None:
    with pytest.raises(RecordedError, match=r"1 are not valid, the first: item_id is empty"):
        of_file(source(tmp_path, click("ann", "", NOON_MS)), LATER_MS)
