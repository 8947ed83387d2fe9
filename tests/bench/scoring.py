"""How many users a second are read out and given the best of all items, on one thread.

    python -m tests.bench.scoring --json FILE

The model is trained on MovieLens 100K for a short time; larger catalogues are made of its items, each new one a mixture
of two of them and noise. The users are its users. JSON: `readout_users_per_second` and `features_users_per_second`,
4,096 at a time, and `catalogues`, a list of `items, searched, users_per_second`, `recall` of the exact best 100 unseen
ones, `build_seconds`, `index_bytes`.
"""

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.catalog.index import ItemIndex
from model_store.catalog.transitions import Transitions
from model_store.encoder.columns import BLEND, PRIORS
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model
from model_store.state.features import features
from model_store.state.hashing import hash_ids
from model_store.training.evaluate import HELD_OUT
from model_store.training.interactions import Interactions
from model_store.training.publish import train_with_progress, weighted
from model_store.training.states import states_of
from model_store.training.train import QUICK
from stream_app.commands.data import ML_100K, load_data
from tests.bench.report import console, run, save, show

BATCH = 4_096
TOP = 100
COMPARED = 256
POPULARITY = (0.0, 0.6, 0.2, 0.0)


def trained(data: Interactions) -> InterestModel:
    parts = train_with_progress(data.without_last(HELD_OUT), QUICK, 1, console)
    with tempfile.TemporaryDirectory(prefix="interest-scoring-") as folder:
        export(parts, Path(folder), "scoring")
        model = load_model(Path(folder))
    return replace(model, index=weighted(model, data))


def catalogue_like(index: ItemIndex, items: int, rng: np.random.Generator) -> ItemIndex:
    """The items of the index, cut off or with others added that are like them; with popularity."""
    more = max(0, items - len(index))
    one, other = rng.integers(0, len(index), (2, more))
    mean, spread = index.vectors.mean(axis=0), index.vectors.std(axis=0)
    noise = rng.normal(0, 0.3, (more, index.vectors.shape[1])) * spread
    vectors = 0.8 * index.vectors[one] + 0.5 * (index.vectors[other] - mean) + noise
    ids = (*index.item_ids, *(f"new-{number}" for number in range(more)))[:items]
    return ItemIndex(
        ids,
        ids,
        hash_ids(list(ids)).hash,
        np.concatenate([index.vectors, vectors.astype(np.float32)])[:items],
        np.concatenate([index.bias, (index.bias[one] + rng.normal(0, 0.3, more)).astype(np.float32)])[:items],
        np.full(items, -1, np.int16),
        transitions=_padded(index.transitions, items),
        priors=np.abs(rng.normal(0, 1, (items, PRIORS))).astype(np.float32),
    )


def _padded(transitions: Transitions | None, items: int) -> Transitions | None:
    if transitions is None or items + 1 < len(transitions.bounds):
        return None
    last = np.full(items + 1 - len(transitions.bounds), transitions.bounds[-1])
    return replace(transitions, bounds=np.concatenate([transitions.bounds, last]))


def per_second(work: Callable[[], object], users: int, seconds: float) -> float:
    """Users a second, of as many repetitions as take about so long; the first is not counted."""
    work()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        work()
        done += users
    return done / (time.perf_counter() - began)


def measure(model: InterestModel, data: Interactions, sizes: list[int], seconds: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    records = states_of(data, model.writes, model.decays).records
    rows = rng.integers(0, len(data.users), BATCH)
    read = features(records, rows)
    outputs = model.readout.large(read)
    outputs[:, -BLEND:][:, :PRIORS] = np.array(POPULARITY) + rng.normal(0, 0.15, (BATCH, PRIORS))
    nobody = np.zeros(BATCH, np.bool_)
    found = []
    for items in sizes:
        index = catalogue_like(model.index, items, rng)
        exact = index.recommend(records, rows[:COMPARED], outputs[:COMPARED], TOP, nobody).item
        for searched in (False, True):
            began = time.perf_counter()
            using = index.searched(outputs[COMPARED:]) if searched else index
            built_s, some = time.perf_counter() - began, min(BATCH, max(COMPARED, 4_000_000_000 // items // 1_000))
            picks = using.recommend(records, rows[:COMPARED], outputs[:COMPARED], TOP, nobody).item
            common = [len(np.intersect1d(a, b)) for a, b in zip(picks, exact, strict=True)]
            work = _recommending(using, records, rows[:some], outputs[:some], nobody)
            found.append(
                {
                    "items": items,
                    "searched": searched,
                    "users_per_second": per_second(work, some, seconds),
                    "recall": float(np.mean(common)) / TOP,
                    "build_seconds": built_s if searched else 0.0,
                    "index_bytes": using.candidates.nbytes if using.candidates else 0,
                }
            )
    return {
        "readout_users_per_second": per_second(lambda: model.readout.large(read), BATCH, seconds),
        "features_users_per_second": per_second(lambda: features(records, rows), BATCH, seconds),
        "catalogues": found,
    }


def _recommending(
    index: ItemIndex, records: np.ndarray, rows: np.ndarray, outputs: np.ndarray, nobody: np.ndarray
) -> Callable[[], object]:
    return lambda: index.recommend(records, rows, outputs, TOP, nobody)


def main(
    items: Annotated[
        list[int] | None, typer.Option(help="Sizes of catalogues; 3,416 and a million by default.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long each figure is measured.")] = 5.0,
    data_dir: Annotated[Path, typer.Option(help="Where MovieLens 100K is kept, or goes.")] = Path(".interest"),
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    use_threads(1)
    data = load_data(ML_100K, None, data_dir)
    figures = measure(trained(data), data, items or [3_416, 1_000_000], seconds)
    show("best 100 items, one core", figures["catalogues"])
    console.print(f"readout: {figures['readout_users_per_second']:,.0f} users/s, {BATCH:,} at a time")
    save(json, figures)


if __name__ == "__main__":
    run(main)
