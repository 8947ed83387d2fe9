"""How well the model ranks: trained and evaluated from scratch for each seed, beside its rivals.

    python -m tests.bench.ranking --data FOLDER --dataset ml-1m-order --seeds 3 --json FILE

Leave-one-out on a public set, full ranking, seen items left out, ties against the method, all users; states by the step
form. JSON: `mean` over the seeds and `runs`, each with `hr10, ndcg10` (test), `validation_hr10, validation_ndcg10`,
`transition_weight`, `seconds` (of training, all its threads), `state_bytes` (of what the readout reads), `int8_hr10,
int8_ndcg10` (of states that were written with `flush.sums` int8 and read again); and `rivals`.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model
from model_store.state.layout import USER
from model_store.state.quantised import quantised, restored
from model_store.training import datasets
from model_store.training.evaluate import (
    HELD_OUT,
    Question,
    Row,
    answers,
    evaluate,
    model_scorer,
    rows_of,
    states_and_social,
)
from model_store.training.interactions import Interactions
from model_store.training.publish import train_with_progress, trained_rivals, weighted
from model_store.training.recipes import recipe_for
from model_store.training.train import Recipe
from tests.bench.report import console, run, save, show

MEMORY = ("rank", "time", "content", "rank_weight", "time_weight", "content_weight", "followee", "followee_active")
"""Fields of the state that the readout reads."""


def from_bytes(model: InterestModel, data: Interactions) -> Row:
    """What is left of the ranking when states have been through the changelog with their sums in bytes."""
    asked = Question.of(data)
    records, social = states_and_social(model, asked.before)
    found = {"int8": model_scorer(model, data, restored(quantised(records)), social)}
    (row,) = rows_of(data, asked, answers(asked, found))
    return row


def state_bytes() -> int:
    """Bytes of a user's state that the readout reads."""
    return sum(USER.fields[name][0].itemsize for name in MEMORY if USER.fields)


def measure(data: Interactions, recipe: Recipe, rivals: bool) -> tuple[dict[str, Any], dict[str, dict[str, float]]]:
    """Figures of one seed, and of the rivals: those that count, and if `rivals` those that are trained as well."""
    began_s = time.monotonic()
    parts = train_with_progress(data.without_last(HELD_OUT), recipe, 1, console)
    seconds = time.monotonic() - began_s
    with tempfile.TemporaryDirectory(prefix="interest-ranking-") as folder:
        export(parts, Path(folder), "ranking")
        model = load_model(Path(folder))
    model = replace(model, index=weighted(model, data))
    networks = trained_rivals(data, recipe, 0, console) if rivals else {}
    validation, (test, *others) = evaluate(model, data, back=1)[0], evaluate(model, data, rivals=networks)
    in_bytes = from_bytes(model, data).ranking
    figures = {
        "seed": recipe.seed,
        "hr10": test.ranking.hit_rate_10,
        "ndcg10": test.ranking.ndcg_10,
        "validation_hr10": validation.ranking.hit_rate_10,
        "validation_ndcg10": validation.ranking.ndcg_10,
        "transition_weight": model.index.transitions.weight if model.index.transitions else 0.0,
        "seconds": seconds,
        "state_bytes": state_bytes(),
        "int8_hr10": in_bytes.hit_rate_10,
        "int8_ndcg10": in_bytes.ndcg_10,
    }
    return figures, {row.name: {"hr10": row.ranking.hit_rate_10, "ndcg10": row.ranking.ndcg_10} for row in others}


def _means(seeds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Of each method's figures over the seeds."""
    return {
        name: {figure: float(np.mean([seed[name][figure] for seed in seeds])) for figure in figures}
        for name, figures in seeds[0].items()
    }


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a data set.")],
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with one seed each.")] = 3,
    first_seed: Annotated[int, typer.Option(min=0, help="The others follow it.")] = 0,
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")] = None,
    interests: Annotated[int | None, typer.Option(min=1, max=8, help="Instead of the recipe's.")] = None,
    rivals: Annotated[
        bool, typer.Option("--rivals", help="Train BPR, NCF, GRU4Rec and SASRec too, as long as the model.")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, dataset)
    recipe = recipe_for(interactions)
    recipe = replace(recipe, epochs=epochs or recipe.epochs, interests=interests or recipe.interests)
    found = [
        measure(interactions, replace(recipe, seed=seed), rivals) for seed in range(first_seed, first_seed + seeds)
    ]
    runs, others = [figures for figures, _ in found], _means([others for _, others in found])
    mean = {name: float(np.mean([figures[name] for figures in runs])) for name in runs[0] if name != "seed"}
    show(f"{interactions.name}, each seed", runs)
    methods = {"model": {name: mean[name] for name in ("hr10", "ndcg10")}, **others}
    show("HR@10 and NDCG@10 on the test items", [{"method": name, **of} for name, of in methods.items()])
    save(json, {"data": interactions.name, "mean": mean, "runs": runs, "rivals": others})


if __name__ == "__main__":
    run(main)
