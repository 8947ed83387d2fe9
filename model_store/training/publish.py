"""Train a model, compare it with its rivals, and put it into the model store."""

import tempfile
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from model_store.model import ModelParts, export, load_model
from model_store.registry import ModelRegistry
from model_store.training import train as training
from model_store.training.evaluate import HELD_OUT, Row, evaluate
from model_store.training.interactions import Interactions
from model_store.training.train import Recipe


def train_and_publish(
    data: Interactions,
    registry: ModelRegistry,
    *,
    recipe: Recipe | None = None,
    version: str | None = None,
    generation: int = 1,
    promote: bool = True,
    console: Console | None = None,
) -> str:
    """Train on all but each user's last two interactions, evaluate on the last, publish, promote; returns the version.

    Shows progress with the time left, and one table with the model beside popularity and item transitions. Call
    `encoder.runtime.use_threads` first. `version`: a name made of the data set and the time, if none is given.
    """
    console, recipe = console or Console(), recipe or Recipe()
    version = version or version_name(data.name, datetime.now(UTC))
    parts = train_with_progress(data.without_last(HELD_OUT), recipe, generation, console)
    with tempfile.TemporaryDirectory(prefix="interest-model-") as scratch:
        folder = Path(scratch) / version
        export(parts, folder, version)
        rows = evaluate(load_model(folder), data)
        export(_noted(parts, rows), folder, version)
        registry.publish(folder, version)
    if promote:
        registry.promote(version)
    console.print(table(data, rows))
    return version


def version_name(data: str, now: datetime) -> str:
    """`ml-100k-20260131-235959`; sorts by time within a data set."""
    return f"{data}-{now:%Y%m%d-%H%M%S}"


def train_with_progress(data: Interactions, recipe: Recipe, generation: int, console: Console) -> ModelParts:
    """`train` with a bar on `console`."""
    columns = (TextColumn("training"), BarColumn(), TextColumn("loss {task.fields[loss]:.3f}"), TimeElapsedColumn(),
               TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("training", total=None, loss=float("nan"))
        return training.train(
            data,
            recipe,
            generation,
            lambda progress: bar.update(task, completed=progress.step, total=progress.steps, loss=progress.loss),
        )


def table(data: Interactions, rows: tuple[Row, ...]) -> Table:
    """The evaluation as people read it."""
    title = f"{data.name}: each user's last item among {len(data.items):,} ({rows[0].ranking.users:,} users)"
    result = Table(title=title, caption=_caption(data))
    result.add_column("", no_wrap=True)
    for name in ("HR@10", "NDCG@10", "precision", "recall", "F1", "accuracy"):
        result.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        topics = row.topics
        figures = [row.ranking.hit_rate_10, row.ranking.ndcg_10]
        figures += [topics.precision, topics.recall, topics.f1, topics.accuracy] if topics else []
        result.add_row(row.name, *(f"{figure:.4f}" for figure in figures))
    return result


def _caption(data: Interactions) -> str:
    note = (
        "HR, NDCG: all items ranked, seen ones left out, ties against the method. "
        "The rest: topics of the item, by the 3 most probable ones; accuracy by the first."
    )
    return note if data.times == "recorded" else f"{note} The times of this set are {data.times}."


def _noted(parts: ModelParts, rows: tuple[Row, ...]) -> ModelParts:
    return replace(parts, made={**parts.made, "test": [asdict(row) for row in rows]})


__all__ = ["table", "train_and_publish", "train_with_progress", "version_name"]
