"""An evaluation as people and scripts read it; tables fit 80 columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from model_store.training.ablation import Ablated
from model_store.training.calibration import Calibration
from model_store.training.evaluate import Row
from model_store.training.interactions import Interactions
from model_store.training.metrics import CUTOFFS, Mean, Ranking

_METRICS = {"HR": "hit_rate", "NDCG": "ndcg", "MRR": "reciprocal_rank"}


def tables(
    data: Interactions,
    rows: Sequence[Row],
    topics: Mapping[str, Calibration] | None = None,
    ablated: Sequence[Ablated] = (),
) -> Iterator[Table]:
    """All that there is something to tell of; the arguments are those of `document`."""
    yield table(data, rows)
    yield cutoffs_table(rows)
    yield groups_table("by length of the history", rows, lambda row: row.by_length)
    yield groups_table("by popularity of the item", rows, lambda row: row.by_popularity)
    if topics:
        yield calibration_table(topics)
    if ablated:
        yield ablation_table(ablated)


def table(data: Interactions, rows: Sequence[Row]) -> Table:
    """The evaluation as people read it."""
    title = f"{data.name}: each user's last item among {len(data.items):,} ({rows[0].ranking.users:,} users)"
    result = Table(title=title, caption=_caption(data), pad_edge=False)
    result.add_column("", no_wrap=True)
    for name in ("HR@10", "NDCG@10", "precision", "recall", "F1", "accuracy"):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        topics = row.topics
        of_topics = [topics.precision, topics.recall, topics.f1, topics.accuracy] if topics else []
        figures = [f"{figure:.4f}" for figure in (row.ranking.hit_rate_10, row.ranking.ndcg_10)]
        result.add_row(row.name, *figures, *(f"{figure:.3f}" for figure in of_topics))
    return result


def _caption(data: Interactions) -> str:
    note = (
        "HR, NDCG: all items ranked, seen ones left out, ties against the method. "
        "The rest: topics of the item, by the 3 most probable ones; accuracy by the first."
    )
    return note if data.times == "recorded" else f"{note} The times of this set are {data.times}."


def cutoffs_table(rows: Sequence[Row]) -> Table:
    """HR, NDCG and MRR of each method at each cutoff with 95 % intervals, and how much of the catalogue it shows."""
    result = Table(title="by cutoff, ± half of the 95 % interval (bootstrap over users)", pad_edge=False)
    for name in ("", "at", *_METRICS, "coverage"):
        result.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in rows:
        for place, at in enumerate(row.ranking.at):
            figures = [interval(getattr(at, metric)) for metric in _METRICS.values()]
            shown = f"{row.coverage[at.cutoff]:.1%}" if row.coverage else ""
            result.add_row("" if place else row.name, str(at.cutoff), *figures, shown)
        result.add_section()
    return result


def groups_table(title: str, rows: Sequence[Row], groups: Callable[[Row], Mapping[str, Ranking]]) -> Table:
    """NDCG@10 of each method in each group of users."""
    result = Table(title=f"NDCG@10 {title}", pad_edge=False)
    result.add_column("\nusers", no_wrap=True)
    for name, group in groups(rows[0]).items():
        result.add_column(f"{name}\n{group.users:,}", justify="right", no_wrap=True)
    for row in rows:
        result.add_row(row.name, *(f"{of.ndcg_10:.4f}" for of in groups(row).values()))
    return result


def calibration_table(found: Mapping[str, Calibration]) -> Table:
    """How far probabilities of topics can be believed: the less, the better."""
    result = Table(title="probabilities of the next item's topics", pad_edge=False)
    for name in ("", "Brier", "calibration error"):
        result.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, of in found.items():
        result.add_row(name, f"{of.brier:.4f}", f"{of.error:.4f}")
    return result


def ablation_table(found: Sequence[Ablated]) -> Table:
    """What the ranking loses without each part of the state, and with one facet in the place of all."""
    note = "lost: NDCG@10 of the whole model less that of the line, user by user, ± half of the 95 % interval."
    result = Table(title="what each part is worth", caption=note, pad_edge=False)
    for name in ("", "HR@10", "NDCG@10", "lost", "accuracy"):
        result.add_column(name, justify="right" if name else "left", no_wrap=True)
    for place, one in enumerate(found):
        of, topics = one.row.ranking, one.row.topics
        lost = f"{one.lost.value:.4f} ±{(one.lost.high - one.lost.low) / 2:.4f}" if place else ""
        accuracy = f"{topics.accuracy:.3f}" if topics else ""
        result.add_row(one.row.name, f"{of.hit_rate_10:.4f}", f"{of.ndcg_10:.4f}", lost, accuracy)
    return result


def summary(row: Row) -> dict[str, Any]:
    """The figures that a model keeps of its evaluation."""
    topics = asdict(row.topics) if row.topics else None
    return {
        "name": row.name,
        "users": row.ranking.users,
        "hit_rate_10": row.ranking.hit_rate_10,
        "ndcg_10": row.ranking.ndcg_10,
        "topics": topics,
    }


def document(
    data: Interactions,
    rows: Sequence[Row],
    topics: Mapping[str, Calibration] | None = None,
    ablated: Sequence[Ablated] = (),
) -> dict[str, Any]:
    """Everything, for `--json`; `topics`: how far their probabilities can be believed, by method."""
    return {
        **about(data),
        "cutoffs": list(CUTOFFS),
        "methods": [asdict(row) for row in rows],
        "calibration": {name: asdict(of) for name, of in (topics or {}).items()},
        "ablation": [asdict(one) for one in ablated],
    }


def about(data: Interactions) -> dict[str, Any]:
    """Of which data a document speaks."""
    return {"data": data.name, "terms": data.terms, "times": data.times, "items": len(data.items)}


def interval(mean: Mean) -> str:
    """`.234 ±.027`: the mean and half of its interval."""
    return " ±".join(f"{figure:.3f}".removeprefix("0") for figure in (mean.value, (mean.high - mean.low) / 2))
