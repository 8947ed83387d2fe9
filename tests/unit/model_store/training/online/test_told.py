"""How an evaluation in one pass is told: tables, JSON, the freshness curve and its picture."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.metrics import Ranking, ranking
from model_store.training.online.halves import AGES_MS, FRESHNESS, PARTS, freshness_curve, methods
from model_store.training.online.prequential import POPULARITY, RECENT, RECENT_POPULARITY, TRANSITIONS
from model_store.training.online.told import freshness_table, hit_rates, stream_document, stream_table
from model_store.training.plots import freshness

COUNTED = (POPULARITY, *RECENT, TRANSITIONS)


@pytest.fixture
def data() -> Interactions:
    log = Log(["ann", "bob"], ["a", "b"], np.array([1000, 2000], np.int64), np.full(2, np.nan, np.float32), 1.0)
    return assemble("two clicks", "none", log, ItemFacts())


@pytest.fixture
def found() -> dict[str, Ranking]:
    """The later in the list, the fewer hits."""
    names = [*FRESHNESS, *COUNTED]
    return {name: ranking(np.where(np.arange(50) < 50 - place, 0, 99)) for place, name in enumerate(names)}


def test_the_curve_begins_with_the_fresh_model(found: dict[str, Ranking]) -> None:
    curve = freshness_curve(found)
    assert list(curve) == list(PARTS)
    for part, ages in curve.items():
        assert list(ages) == ["0", *AGES_MS]
        assert ages["0"] is found["model"]
        assert ages["1 h"] is found[f"{part} 1 h"]


def test_methods_are_the_model_and_those_that_count(found: dict[str, Ranking]) -> None:
    assert list(methods(found)) == ["model", *COUNTED]


def test_tables_and_json_tell_the_same(data: Interactions, found: dict[str, Ranking]) -> None:
    console, curve = Console(record=True, width=100), freshness_curve(found)
    console.print(stream_table(replace(data, times="reconstructed"), methods(found)), freshness_table(curve))
    shown = console.export_text()
    assert "times of this set are reconstructed" in " ".join(shown.split())
    for word in (*COUNTED, *PARTS, *AGES_MS, "1.000 ±.000", f"{found['all frozen'].hit_rate_10:.4f}"):
        assert word in shown
    document = json.loads(json.dumps(stream_document(data, 3, methods(found), curve)))
    assert (document["data"], document["seed"], list(document["methods"])) == ("two clicks", 3, ["model", *COUNTED])
    hit_rate = document["freshness"]["state"]["1 day"]["at"][2]["hit_rate"]["value"]
    assert hit_rate == found["state 1 day"].hit_rate_10
    assert stream_document(data, 3, methods(found), {})["freshness"] == {}


def test_the_picture_has_a_line_for_each_part(found: dict[str, Ranking]) -> None:
    curve = hit_rates(freshness_curve(found))
    axes = freshness("set", curve, {RECENT_POPULARITY: found[RECENT_POPULARITY].hit_rate_10}).axes[0]
    *lines, rival = axes.get_lines()
    assert [line.get_label() for line in lines] == list(PARTS)
    for line, ages in zip(lines, curve.values(), strict=True):
        assert np.asarray(line.get_ydata()).tolist() == list(ages.values())
    assert np.asarray(rival.get_ydata()).tolist() == [found[RECENT_POPULARITY].hit_rate_10] * 2
