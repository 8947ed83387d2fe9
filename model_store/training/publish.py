"""Train a model, compare it with its rivals, and put it into the model store."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.index import ItemIndex
from model_store.model import InterestModel, ModelParts, export, load_model
from model_store.registry import ModelRegistry
from model_store.state.content import ItemContent
from model_store.training import train as training
from model_store.training.checkpoints import Checkpoints
from model_store.training.evaluate import HELD_OUT, Row, best_transition_weight, evaluate
from model_store.training.harness import Recipe, Report
from model_store.training.interactions import Interactions
from model_store.training.recipes import recipe_for
from model_store.training.report import summary, table
from model_store.training.rivals.fitted import Scores, trained
from model_store.training.texts import content_of


def train_and_publish(
    data: Interactions,
    registry: ModelRegistry,
    *,
    recipe: Recipe | None = None,
    version: str | None = None,
    generation: int = 1,
    promote: bool = True,
    console: Console | None = None,
    checkpoints: Checkpoints | None = None,
    content: ItemContent | None = None,
) -> str:
    """Train on all but each user's last two interactions, evaluate on the last, publish, promote; returns the version.

    Shows progress with the time left, and one table with the model beside popularity and item transitions. Call
    `encoder.runtime.use_threads` first. `version`: a name made of the data set and the time, if none is given.
    `content`: of the items, by default their topics.
    """
    console, recipe = console or Console(), recipe or recipe_for(data)
    version = version or version_name(data.name, datetime.now(UTC))
    parts = train_with_progress(data.without_last(HELD_OUT), recipe, generation, console, checkpoints, content)
    with tempfile.TemporaryDirectory(prefix="interest-model-") as scratch:
        folder = Path(scratch) / version
        export(parts, folder, version)
        model = load_model(folder)
        index = weighted(model, data)
        rows = evaluate(replace(model, index=index), data)
        export(_noted(replace(parts, index=index), rows), folder, version)
        registry.publish(folder, version)
    if checkpoints:
        checkpoints.remove()
    if promote:
        registry.promote(version)
    console.print(table(data, rows))
    return version


def weighted(model: InterestModel, data: Interactions) -> ItemIndex:
    """The model's index with the transitions' weight that is best for the validation items."""
    if model.index.transitions is None:
        return model.index
    return replace(model.index, transitions=model.index.transitions.weighted(best_transition_weight(model, data)))


def version_name(data: str, now: datetime) -> str:
    """`ml-100k-20260131-235959`; sorts by time within a data set."""
    return f"{data}-{now:%Y%m%d-%H%M%S}"


def train_with_progress(
    data: Interactions,
    recipe: Recipe,
    generation: int,
    console: Console,
    checkpoints: Checkpoints | None = None,
    content: ItemContent | None = None,
) -> ModelParts:
    """`train` with a bar on `console`."""
    with _bars(console) as report:
        return training.train(data, recipe, generation, report("training"), checkpoints, content)


def content_with_progress(data: Interactions, encoder: TextEncoder, console: Console) -> ItemContent:
    """`content_of` with a bar on `console`."""
    columns = (TextColumn("encoding items"), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=len(data.items))
        return content_of(data, encoder, lambda done: bars.update(task, completed=done))


def trained_rivals(data: Interactions, recipe: Recipe, back: int, console: Console) -> dict[str, Scores]:
    """What the model is compared with, trained by this recipe, with a bar for each; asked for what comes after all but
    the last `back` + 1 interactions of each user."""
    train, before = data.without_last(HELD_OUT), data.without_last(back + 1)
    with _bars(console) as report:
        return dict(trained(train, before, recipe, report))


@contextmanager
def _bars(console: Console) -> Iterator[Callable[[str], Report]]:
    """Yields what gives a bar of a name; the bar takes the progress of a training run."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("loss {task.fields[loss]:.3f}"),
               TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bars:

        def bar(name: str) -> Report:
            task = bars.add_task(name, total=None, loss=float("nan"))

            def show(now: training.Progress) -> None:
                if now.step == now.began + 1:
                    # What an earlier run did, and the compilation of the first step, say nothing of the time left.
                    bars.reset(task, completed=now.began, loss=now.loss)
                bars.update(task, completed=now.step, total=now.steps, loss=now.loss)

            return show

        yield bar


def _noted(parts: ModelParts, rows: tuple[Row, ...]) -> ModelParts:
    return replace(parts, made={**parts.made, "test": [summary(row) for row in rows]})


__all__ = ["content_with_progress", "train_and_publish", "train_with_progress", "trained_rivals", "version_name"]
