"""Whether reasons are true: without the named event the score falls more than without another one.

    python -m tests.bench.explanations --data FOLDER --dataset ml-100k --seeds 3 --json FILE

The truth shares no code with what is judged: histories are replayed without one event (a click and its rating), for
each of a user's last 50 in turn, and the picks are scored again. Users have all but their last interaction, and at
least two. JSON: `mean` over the seeds and `runs`, each with `share` (of the other events without which the score falls
less, mean over all named reasons), `share_first` (of first picks only), `most` (share of reasons that name the very
event without which it falls most), `named` (share of picks with a reason), and `cpu_us_per_user` (CPU time to find the
reasons of ten picks, 256 users at a time); the same of `alike`, which names the most alike of the last 50 items
(cosine); and `by_length` of the history.
"""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from model_store.catalog.explain import Explainer
from model_store.catalog.index import Picks
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model
from model_store.state.layout import RING
from model_store.training import datasets
from model_store.training.evaluate import HELD_OUT, index_rows, outputs_of
from model_store.training.interactions import Interactions
from model_store.training.publish import train_with_progress, weighted
from model_store.training.recipes import recipe_for
from model_store.training.states import states_of
from model_store.training.train import Recipe
from tests.bench.report import console, plain, run, save, show

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

ITEMS = 10
TOGETHER = 256
"""Users explained in one go, as a worker does."""
LENGTHS = (2, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True)
class Shown:
    """What n users are shown, and what they did.

    Attributes:
        model: that picked.
        history: what the users did.
        records: `USER` [n], their states.
        picks: n users' `ITEMS` items.
    """

    model: InterestModel
    history: Interactions
    records: npt.NDArray[np.void]
    picks: Picks

    @staticmethod
    def of(model: InterestModel, history: Interactions) -> "Shown":
        """All users of a set."""
        records = states_of(history, model.writes, model.decays).records[: len(history.users)]
        rows = np.arange(len(records))
        picks = model.index.recommend(
            records, rows, outputs_of(model, records, rows), ITEMS, np.zeros(len(rows), np.bool_)
        )
        return Shown(model, history, records, picks)

    def clicked(self) -> Int64:
        """int64 [n, RING]: rows of the items that users did last, newest first; -1 where there is none."""
        known, age = index_rows(self.model, list(self.history.items)), self.history.from_last()
        last = age < RING
        out = np.full((len(self.records), RING), -1)
        out[self.history.user[last], age[last]] = known[self.history.item[last]]
        return out


def falls(of: Shown) -> Float32:
    """float32 [n, ITEMS, RING]: by how much a pick's score falls without each of the last events; NaN for none."""
    age, rows = of.history.from_last(), np.arange(len(of.records))
    lengths = np.bincount(of.history.user, minlength=len(rows))
    out = np.full((len(rows), ITEMS, RING), np.nan, np.float32)
    whole = _scores(of, of.records)
    for without in range(RING):
        users = lengths > without
        history = of.history.take(age != without)
        records = states_of(history, of.model.writes, of.model.decays).records[: len(rows)]
        out[users, :, without] = (whole - _scores(of, records))[users]
    out[of.picks.item < 0] = np.nan
    return out


def _scores(of: Shown, records: npt.NDArray[np.void]) -> Float32:
    """float32 [n, ITEMS]: the picks' scores from these states, by the index's whole search."""
    out = np.empty(of.picks.item.shape, np.float32)
    for part in _parts(len(records)):
        rows = np.arange(part.start, part.stop)
        scores = of.model.index.scores(records, rows, outputs_of(of.model, records, rows))
        out[part] = np.take_along_axis(scores, np.maximum(of.picks.item[part], 0).astype(np.int64), axis=1)
    return out


def explained(of: Shown) -> tuple[Int64, float]:
    """What the product names, as int64 [n, ITEMS] rows of the index or -1, and the CPU microseconds it takes a user."""
    explainer = Explainer(of.model.index, of.model.writes, of.model.decays)
    out, seconds = np.empty(of.picks.item.shape, np.int64), 0.0
    for warm in (False, True):
        began_s = time.process_time()
        for part in _parts(len(of.records)):
            picks = Picks(of.picks.item[part], of.picks.score[part], of.picks.facet[part], of.picks.topic[part])
            rows = np.arange(part.start, part.stop)
            out[part] = explainer.because(of.records, rows, picks, of.model.readout.large)
        seconds = time.process_time() - began_s if warm else seconds
    return out, seconds / len(of.records) * 1e6


def most_alike(of: Shown) -> Int64:
    """int64 [n, ITEMS]: of the last items the one with the largest cosine to the pick; -1 where none is known."""
    vectors = of.model.index.vectors
    directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    clicked = of.clicked()
    out = np.empty(of.picks.item.shape, np.int64)
    for user, (items, last) in enumerate(zip(of.picks.item, clicked, strict=True)):
        alike = np.where(last >= 0, directions[items] @ directions[last].T, -np.inf)
        out[user] = last[alike.argmax(axis=1)]
    return out


def judged(fall: Float32, named: Int64, clicked: Int64) -> dict[str, float]:
    """Figures of named items (int64 [n, ITEMS], -1 for none), of users with at least two events."""
    events = np.isfinite(fall).sum(axis=2)
    asked = events >= 2
    is_named = (clicked[:, None, :] == named[:, :, None]) & np.isfinite(fall)
    has = asked & (named >= 0) & is_named.any(axis=2)
    age = is_named.argmax(axis=2)
    own = np.take_along_axis(fall, age[:, :, None], axis=2)
    less = (fall < own).sum(axis=2) / np.maximum(events - 1, 1)
    most = (fall > own).sum(axis=2) == 0
    return {
        "share": _mean(less[has]),
        "share_first": _mean(less[:, 0][has[:, 0]]),
        "most": _mean(most[has]),
        "named": float(has.sum() / max(1, asked.sum())),
    }


def _mean(values: npt.NDArray[Any]) -> float:
    return float(values.mean()) if len(values) else 0.0


def measure(data: Interactions, recipe: Recipe) -> dict[str, Any]:
    """Figures of one seed."""
    model = trained(data, recipe)
    of = Shown.of(model, data.without_last(1))
    fall, clicked = falls(of), of.clicked()
    (named, cpu_us_per_user), alike = explained(of), most_alike(of)
    lengths = np.bincount(of.history.user, minlength=len(of.records))
    return {
        "seed": recipe.seed,
        **judged(fall, named, clicked),
        "cpu_us_per_user": cpu_us_per_user,
        "alike": judged(fall, alike, clicked),
        "by_length": {
            name: {"share": judged(fall[users], named[users], clicked[users])["share"], "users": int(users.sum())}
            for name, users in groups(lengths)
        },
    }


def trained(data: Interactions, recipe: Recipe) -> InterestModel:
    """A model that saw all but each user's last two interactions."""
    parts = train_with_progress(data.without_last(HELD_OUT), recipe, 1, console)
    with tempfile.TemporaryDirectory(prefix="interest-explanations-") as folder:
        export(parts, Path(folder), "explanations")
        model = load_model(Path(folder))
    return replace(model, index=weighted(model, data))


def groups(lengths: Int64) -> Iterator[tuple[str, Bool]]:
    """Users by the length of their history; those that hold anybody."""
    for start, end in zip(LENGTHS, (*LENGTHS[1:], None), strict=True):
        users = (lengths >= start) & (lengths < end if end else True)
        if users.any():
            yield f"{start}-{end - 1}" if end else f"{start}+", users


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(count, start + TOGETHER)) for start in range(0, count, TOGETHER))


def mean_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the seeds, figure by figure."""
    return {
        name: mean_of([one[name] for one in runs])
        if isinstance(value, dict)
        else _mean(np.array([one[name] for one in runs]))
        for name, value in runs[0].items()
        if name != "seed"
    }


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a data set.")],
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 3,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, dataset)
    recipe = recipe_for(interactions)
    if epochs is not None:
        recipe = replace(recipe, epochs=epochs)
    runs = [measure(interactions, replace(recipe, seed=seed)) for seed in range(seeds)]
    mean = mean_of(runs)
    show(f"{interactions.name}, each seed", [plain(one) for one in runs])
    show("mean", [{"reason": "by deletion", **_judgement(mean)}, {"reason": "most alike", **mean["alike"]}])
    show("by length of the history", [{"events": name, **of} for name, of in mean["by_length"].items()])
    save(json, {"data": interactions.name, "mean": mean, "runs": runs})


def _judgement(mean: dict[str, Any]) -> dict[str, float]:
    return {name: mean[name] for name in mean["alike"]}


if __name__ == "__main__":
    run(main)
