"""How well the model ranks on a stream: one pass in order of time, evaluate then learn, scored on the second half.

    python -m tests.bench.prequential --data FOLDER --dataset movietweetings-100k --seeds 3 --json FILE

Full ranking of all items met so far, seen ones left out, ties against the method. JSON: `mean` over the seeds and
`runs`, each with `hr10, ndcg10, seconds`; `rivals`, which only count: popularity, popularity with half-lives of 6 hours
and of 1, 7 (the model's lead over that is `over_recent_popularity`) and 30 days, and item transitions.
"""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.encoder.runtime import use_threads
from model_store.training import datasets
from model_store.training.interactions import Interactions
from model_store.training.metrics import Ranking
from model_store.training.online.halves import FRESH
from model_store.training.online.prequential import RECENT_POPULARITY, Ages
from model_store.training.online.told import second_half_with_progress
from tests.bench.report import console, run, save, show


def measured(data: Interactions, seed: int, variants: dict[str, Ages]) -> tuple[dict[str, Ranking], float]:
    """Figures of every method, and how many seconds the pass took, training on the first part among them."""
    began_s = time.monotonic()
    found = second_half_with_progress(data, seed, variants, console).rankings()
    return found, time.monotonic() - began_s


def figures(of: Ranking) -> dict[str, float]:
    """What is reported of a method."""
    return {"hr10": of.hit_rate_10, "ndcg10": of.ndcg_10}


def mean_of(runs: list[Mapping[str, Ranking]]) -> dict[str, dict[str, float]]:
    """Over the seeds, method by method."""
    told = {name: [figures(one[name]) for one in runs] for name in runs[0]}
    return {name: {key: float(np.mean([one[key] for one in of])) for key in of[0]} for name, of in told.items()}


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a data set.")],
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, dataset)
    found = [measured(interactions, seed, dict(FRESH)) for seed in range(seeds)]
    mean = mean_of([of for of, _ in found])
    runs: list[dict[str, Any]] = [
        {"seed": seed, **figures(of["model"]), "seconds": seconds} for seed, (of, seconds) in enumerate(found)
    ]
    show(f"{interactions.name}, second half, each seed", runs)
    show("mean", [{"method": name, **of} for name, of in mean.items()])
    lead = {key: mean["model"][key] - mean[RECENT_POPULARITY][key] for key in ("hr10", "ndcg10")}
    console.print(f"over {RECENT_POPULARITY}: {lead['hr10']:+.4f} / {lead['ndcg10']:+.4f}")
    rivals = {name: of for name, of in mean.items() if name != "model"}
    summary = {**mean["model"], "seconds": float(np.mean([one["seconds"] for one in runs]))}
    save(
        json,
        {"data": interactions.name, "mean": summary, "runs": runs, "rivals": rivals, "over_recent_popularity": lead},
    )


if __name__ == "__main__":
    run(main)
