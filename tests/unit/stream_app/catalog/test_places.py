"""Where the served model has items: what is new of it, and nothing else."""

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from model_store.catalog.index import ItemIndex
from model_store.items import ItemSide, load_items
from model_store.registry import ModelRegistry
from model_store.state.content import ContentSpace, Projection
from model_store.state.layout import DIM, FACET_DIM
from stream_app.catalog.places import Placing, ServedItems
from stream_app.catalog.sinks import Places
from stream_app.contracts.knowledge import Knowledge, deleted
from stream_app.settings import Settings
from tests.bench.model import VERSION, catalogue_model

TOPICS = ("War", "Sea")
SPREAD = np.random.default_rng(0).normal(size=(FACET_DIM, DIM)).astype(np.float32)
BIAS = np.arange(FACET_DIM, dtype=np.float32)


def side(version: str, *, moved: float = 0.0) -> ItemSide:
    """Two items that the model was trained on, a and b; `moved`: by how much b lies elsewhere."""
    vectors = np.stack([np.ones(DIM), np.full(DIM, 2 + moved)]).astype(np.float32)
    shares = np.array([[1, 0], [0, 1]], np.float32)
    index = ItemIndex.of(("a", "b"), ("A", "B"), vectors, np.array([0.5, -0.5], np.float32), shares)
    return ItemSide(version, 1, TOPICS, ContentSpace.by_topics(), replace(index, projection=Projection(SPREAD, BIAS)))


@dataclass
class Served:
    now: ItemSide | None = None

    def changed(self, using: str) -> ItemSide | None:
        return self.now if self.now and self.now.version != using else None


def everybodys(_item: str) -> bool:
    return True


def told(**topics: dict[str, float]) -> dict[str, Knowledge]:
    return {item: Knowledge(item, 1, title=item, topics=of) for item, of in topics.items()}


def written(placing: Placing, known: dict[str, Knowledge]) -> dict[str, tuple[float, float]]:
    """First component and bias of what was new, which is written then."""
    places = placing.news(known, everybodys)
    if places is None:
        return {}
    placing.wrote(places)
    firsts = places.vectors[:, 0].tolist()
    return dict(zip(places.ids, zip(firsts, places.bias.tolist(), strict=True), strict=True))


def test_before_a_version_is_served_nothing_has_a_place() -> None:
    assert Placing(Served()).news(told(a={}), everybodys) is None


def test_items_lie_where_the_model_has_them_and_new_ones_where_their_topics_put_them() -> None:
    found = written(Placing(Served(side("1"))), told(a={}, c={"Sea": 1.0}, d={"War": 0.5, "Sea": 0.5}))
    sea, both = SPREAD[1, 0], (SPREAD[0, 0] + SPREAD[1, 0]) / 2
    assert found == {
        "a": (1.0, 0.5),
        "c": (pytest.approx(sea, abs=1e-5), pytest.approx(-0.5 + 1.0)),  # the rarest one's, and what its topic adds
        "d": (pytest.approx(both, abs=1e-5), pytest.approx(-0.5 + 0.5)),
    }


def test_only_what_has_moved_is_written_again() -> None:
    served, known = Served(side("1")), told(a={}, b={}, c={"Sea": 1.0})
    placing = Placing(served)
    assert written(placing, known).keys() == {"a", "b", "c"}
    assert written(placing, known) == {}
    served.now = side("2", moved=1.0)
    assert written(placing, known) == {"b": (3.0, -0.5)}
    known |= told(c={"War": 1.0})
    assert written(placing, known).keys() == {"c"}
    assert written(placing, known) == {}


def test_what_was_not_written_is_new_still() -> None:
    placing, known = Placing(Served(side("1"))), told(a={}, b={})
    first = placing.news(known, everybodys)
    assert first is not None
    part, rest = first.parts(1)
    placing.wrote(part)
    again = placing.news(known, everybodys)
    assert again is not None
    assert again.ids == rest.ids


def test_deleted_items_and_those_of_other_processes_are_left_alone_and_one_that_is_back_is_written_again() -> None:
    placing, known = Placing(Served(side("1"))), told(a={}, b={})
    found = placing.news(known, lambda item: item != "b")
    assert found is not None
    assert found.ids == ["a"]
    placing.wrote(found)
    assert placing.news(known, everybodys) is None
    more = placing.news(known, everybodys, share="of both")
    assert more is not None
    assert more.ids == ["b"]
    placing.wrote(more)
    known["a"] = deleted("a", 2)
    assert written(placing, known) == {}
    known |= told(a={})
    assert written(placing, known).keys() == {"a"}


def test_a_version_of_the_store_is_read_and_one_that_cannot_be_is_left_out(tmp_path: Path) -> None:
    url = catalogue_model(tmp_path / "models", 3)
    store = ServedItems(Settings(models={"url": url}, data_dir=tmp_path / "data"))  # type: ignore[arg-type]
    found = store.changed("")
    assert found is not None
    expected = load_items(ModelRegistry(url).fetch(VERSION, tmp_path / "other"))
    assert (found.version, found.index.item_ids) == (VERSION, ("i0", "i1", "i2"))
    np.testing.assert_array_equal(found.index.vectors, expected.index.vectors)
    assert store.changed(VERSION) is None
    (tmp_path / "models" / VERSION / "items.npz").write_bytes(b"damaged")
    damaged = ServedItems(Settings(models={"url": url}, data_dir=tmp_path / "elsewhere"))  # type: ignore[arg-type]
    assert damaged.changed("") is None
    nowhere = ServedItems(Settings(models={"url": str(tmp_path / "none")}, data_dir=tmp_path))  # type: ignore[arg-type]
    assert nowhere.changed("") is None


def test_parts_keep_their_order() -> None:
    many = Places("1", ["a", "b", "c"], np.arange(3, dtype=np.float32)[:, None], np.arange(3, dtype=np.float32))
    assert [(part.ids, part.bias.tolist()) for part in many.parts(2)] == [(["a", "b"], [0, 1]), (["c"], [2])]


def test_the_service_loads_no_tensorflow() -> None:
    code = "import sys, stream_app.catalog.start; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
