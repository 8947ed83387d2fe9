"""An evaluation in one pass, with its progress, and as people and scripts read it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from model_store.state.content import ItemContent
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking
from model_store.training.online.halves import SCORED_FROM, Curve, second_half
from model_store.training.online.prequential import Ages, Followed
from model_store.training.report import about, interval


def second_half_with_progress(
    data: Interactions,
    seed: int,
    variants: Mapping[str, Ages],
    console: Console,
    content: ItemContent | None = None,
    *,
    catalogue: bool = False,
) -> Followed:
    """`second_half` with a bar on `console` for the training and one for the pass, each with the time left."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        training = bars.add_task("training on the first part", total=None)
        passing = bars.add_task("one pass over the stream", total=None)

        def passed(done: int) -> None:
            if bars.tasks[passing].total is None:
                bars.reset(passing, total=len(data))
            bars.update(passing, completed=done)

        return second_half(
            data,
            seed,
            variants,
            lambda now: bars.update(training, completed=now.step, total=now.steps),
            passed,
            content,
            catalogue=catalogue,
        )


def stream_table(data: Interactions, found: Mapping[str, Ranking]) -> Table:
    """HR, NDCG and MRR at 10 of each method on the scored part of the stream."""
    clicks = next(iter(found.values())).users
    title = f"{data.name}: each of the last {clicks:,} clicks, predicted, then learnt from"
    result = Table(title=title, caption=_caption(data), pad_edge=False)
    for name in ("", "HR@10", "NDCG@10", "MRR@10"):
        result.add_column(name, justify="right" if name else "left", no_wrap=True)
    for name, of in found.items():
        at = of.of(10)
        result.add_row(name, *(interval(mean) for mean in (at.hit_rate, at.ndcg, at.reciprocal_rank)))
    return result


def freshness_table(curve: Curve) -> Table:
    """HR@10 by age of each part of a score."""
    result = Table(title="HR@10 by age of what the score is made of, the rest being fresh", pad_edge=False)
    for name in ("", *next(iter(curve.values()))):
        result.add_column(name, justify="right" if name else "left", no_wrap=True)
    for part, of in hit_rates(curve).items():
        result.add_row(part, *(f"{hit_rate:.4f}" for hit_rate in of.values()))
    return result


def hit_rates(curve: Curve) -> dict[str, dict[str, float]]:
    """HR@10 alone."""
    return {part: {age: of.hit_rate_10 for age, of in ages.items()} for part, ages in curve.items()}


def stream_document(data: Interactions, seed: int, found: Mapping[str, Ranking], curve: Curve) -> dict[str, Any]:
    """Everything, for `--json`."""
    return {
        **about(data),
        "seed": seed,
        "scored_from": SCORED_FROM,
        "methods": {name: asdict(of) for name, of in found.items()},
        "freshness": {part: {age: asdict(of) for age, of in ages.items()} for part, ages in curve.items()},
    }


def _caption(data: Interactions) -> str:
    note = (
        "All items met so far are ranked, those left out that the user had; ties against the method; the first click "
        "on an item is a miss for everyone. ± half of the 95 % interval (bootstrap over clicks)."
    )
    return note if data.times == "recorded" else f"{note} The times of this set are {data.times}."
