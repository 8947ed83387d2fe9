"""What `interest models show` tells of a version."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from model_store.encoder.runtime import use_threads
from model_store.model import export
from model_store.state.content import ContentSpace
from model_store.state.memory import DAY_MS, HOUR_MS, Decays
from stream_app.commands.model_notes import notes_of, table_of
from tests.bench.model import TOPICS, _parts

TEST = [{"name": "model", "users": 1_234, "hit_rate_10": 0.25, "ndcg_10": 0.125}]
MADE = {"data": "shop", "terms": "[your own]", "interactions": 98_114, "test": TEST}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Before the first network is made, or TensorFlow does not take it any more."""
    use_threads(1)


def notes(folder: Path, **changes: object) -> dict[str, object]:
    export(replace(_parts(20, 1), **changes), folder, "v-1")
    return notes_of("v-1", folder)


def drawn(found: dict[str, object]) -> str:
    console = Console(file=io.StringIO(), width=200, color_system=None)
    console.print(table_of(found))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_version_of_an_encoder(tmp_path: Path) -> None:
    writes = _parts(20, 1).writes
    space = ContentSpace("hashing:512", writes.space.mean, writes.space.axes)
    decays = Decays((1.0, 2.5, 40.0), (6 * HOUR_MS, 30 * DAY_MS), 90_000.0)
    found = notes(tmp_path / "v", writes=replace(writes, space=space), decays=decays, generation=3, made=MADE)
    assert (found["version"], found["generation"], found["encoder"]) == ("v-1", 3, "hashing:512")
    assert found["half_lives"] == {"clicks": "1, 2.5, 40", "time": "6 h, 30 d", "content": "1.5 min"}
    text = drawn(found)
    for line in (
        "shop, 98,114 interactions",
        "[your own]",
        "as hashing:512 reads it",
        f"{len(TOPICS)}: topic 0, topic 1",
        "HR@10 0.2500  NDCG@10 0.1250  model, 1,234 users",
    ):
        assert line in text


def test_a_version_that_says_little(tmp_path: Path) -> None:
    found = notes(tmp_path / "v", made={})
    assert (found["data"], found["test"], found["began_with"]) == (None, [], None)
    text = drawn(found)
    assert "topics alone, no encoder" in text
    assert "terms" not in text
