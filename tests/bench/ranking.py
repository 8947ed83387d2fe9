"""How well the model ranks: trained and evaluated from scratch for each seed, beside its rivals.

    python -m tests.bench.ranking --data FOLDER --dataset ml-1m-order --seeds 3 --json FILE

Leave-one-out on a public set, full ranking, seen items left out, ties against the method, all users; states by the step
form. JSON: `mean` over the seeds and `runs`, each with `hr10, ndcg10` (test), `validation_hr10, validation_ndcg10`,
`transition_weight`, `seconds` (of training, all its threads), `state_bytes` (of what the readout reads); and `rivals`.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.encoder.runtime import use_threads
from model_store.model import export, load_model
from model_store.state.layout import USER
from model_store.training import datasets
from model_store.training.evaluate import HELD_OUT, evaluate
from model_store.training.interactions import Interactions
from model_store.training.publish import train_with_progress, weighted
from model_store.training.recipes import recipe_for
from model_store.training.train import Recipe
from tests.bench.report import console, run, save, show

MEMORY = ("rank", "time", "content", "social", "rank_weight", "time_weight", "content_weight", "social_weight")
"""Fields of the state that the readout reads."""


def state_bytes() -> int:
    """Bytes of a user's state that the readout reads."""
    return sum(USER.fields[name][0].itemsize for name in MEMORY if USER.fields)


def measure(data: Interactions, recipe: Recipe) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Figures of one seed, and of the rivals."""
    began_s = time.monotonic()
    parts = train_with_progress(data.without_last(HELD_OUT), recipe, 1, console)
    seconds = time.monotonic() - began_s
    with tempfile.TemporaryDirectory(prefix="interest-ranking-") as folder:
        export(parts, Path(folder), "ranking")
        model = load_model(Path(folder))
    model = replace(model, index=weighted(model, data))
    validation, (test, *rivals) = evaluate(model, data, back=1)[0], evaluate(model, data)
    figures = {
        "seed": recipe.seed,
        "hr10": test.ranking.hit_rate_10,
        "ndcg10": test.ranking.ndcg_10,
        "validation_hr10": validation.ranking.hit_rate_10,
        "validation_ndcg10": validation.ranking.ndcg_10,
        "transition_weight": model.index.transitions.weight if model.index.transitions else 0.0,
        "seconds": seconds,
        "state_bytes": state_bytes(),
    }
    others = {row.name: {"hr10": row.ranking.hit_rate_10, "ndcg10": row.ranking.ndcg_10} for row in rivals}
    return figures, others


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
    found = [measure(interactions, replace(recipe, seed=seed)) for seed in range(seeds)]
    runs, rivals = [figures for figures, _ in found], found[0][1]
    mean = {name: float(np.mean([figures[name] for figures in runs])) for name in runs[0] if name != "seed"}
    show(f"{interactions.name}, each seed", runs)
    methods = {"model": {name: mean[name] for name in ("hr10", "ndcg10")}, **rivals}
    show("HR@10 and NDCG@10 on the test items", [{"method": name, **of} for name, of in methods.items()])
    save(json, {"data": interactions.name, "mean": mean, "runs": runs, "rivals": rivals})


if __name__ == "__main__":
    run(main)
