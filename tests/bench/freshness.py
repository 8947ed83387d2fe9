"""What freshness is worth: the same metric with users' states, weights or counts a minute, an hour or a day old.

    python -m tests.bench.freshness --data FOLDER --dataset movietweetings-100k --json FILE

The pass of `prequential`, every variant scored on the same clicks. JSON: `hr10, ndcg10` by part (`state`, `weights`,
`counts`, `all`) and age (`0` is fresh); `frozen` is as old as the beginning of the scored half.
"""

from pathlib import Path
from typing import Annotated

import typer

from model_store.encoder.runtime import use_threads
from model_store.training import datasets
from model_store.training.online.halves import FRESHNESS, freshness_curve, methods
from tests.bench.prequential import mean_of, measured
from tests.bench.report import run, save, show


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a data set.")],
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, dataset)
    runs = [measured(interactions, seed, dict(FRESHNESS))[0] for seed in range(seeds)]
    by_part = [freshness_curve(found) for found in runs]
    curve = {part: mean_of([one[part] for one in by_part]) for part in by_part[0]}
    for key in ("hr10", "ndcg10"):
        show(key, [{"part": part, **{age: of[key] for age, of in ages.items()}} for part, ages in curve.items()])
    others = mean_of([methods(found) for found in runs])
    show("the model, fresh, and those that count", [{"method": name, **of} for name, of in others.items()])
    rivals = {name: of for name, of in others.items() if name != "model"}
    save(json, {"data": interactions.name, "curve": curve, "rivals": rivals})


if __name__ == "__main__":
    run(main)
