"""What a catalogue is worth to items that hardly anybody has clicked: one pass in order of time, with it and without.

    python -m tests.bench.cold_items --data FOLDER --dataset movietweetings-100k --seeds 3 --json FILE

All items can be recommended from the first event on, in both passes; with the catalogue their titles and topics are
known, without it nothing is. Evaluate then learn, scored on the second half, full ranking, what a user had left out,
ties against the method. JSON: `mean` over the seeds and `runs`, each with `cold` (clicks on items with fewer than 5
before) and `all`, each with `clicks` and, `with` the catalogue and `without`, `hr10, ndcg10`; `cold_gain` is the ratio
of the two hr10.
"""

import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.catalog.encoders.build import EncoderConfig, Kind, build_encoder
from model_store.encoder.runtime import use_threads
from model_store.state.content import ItemContent
from model_store.training import datasets
from model_store.training.interactions import Interactions
from model_store.training.online.halves import FRESH
from model_store.training.online.prequential import Followed
from model_store.training.online.told import second_half_with_progress
from model_store.training.texts import content_of
from tests.bench.report import console, run, save, show

COLD = 5
"""An item with fewer clicks so far is cold."""


def figures(told: Followed, untold: Followed) -> dict[str, Any]:
    """Of one seed."""
    cold = told.clicks_before < COLD
    found: dict[str, Any] = {}
    for name, among in (("cold", cold), ("all", np.ones_like(cold))):
        rankings = {"with": told.rankings(among)["model"], "without": untold.rankings(among)["model"]}
        found[name] = {"clicks": int(among.sum())} | {
            which: {"hr10": of.hit_rate_10, "ndcg10": of.ndcg_10} for which, of in rankings.items()
        }
    return found


def measured(data: Interactions, content: ItemContent, seed: int) -> dict[str, Any]:
    """With the catalogue, and without a word of it."""
    began_s = time.monotonic()
    told, untold = (
        second_half_with_progress(data, seed, FRESH, console, of, catalogue=True)
        for of in (content, content.silenced())
    )
    return {"seed": seed, **figures(told, untold), "seconds": time.monotonic() - began_s}


def mean_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the seeds; `cold_gain` is a ratio of means."""
    mean: dict[str, Any] = {
        name: {
            which: {figure: float(np.mean([one[name][which][figure] for one in runs])) for figure in ("hr10", "ndcg10")}
            for which in ("with", "without")
        }
        for name in ("cold", "all")
    }
    return {**mean, "cold_gain": mean["cold"]["with"]["hr10"] / max(1e-12, mean["cold"]["without"]["hr10"])}


def row(name: str, of: dict[str, Any]) -> dict[str, Any]:
    """For people."""
    return {
        "clicks on": name,
        **{f"{which} {figure}": of[which][figure] for which in ("without", "with") for figure in ("hr10", "ndcg10")},
    }


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of a data set.")],
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    encoder: Annotated[Kind, typer.Option(help="What reads titles and topics.")] = "sentence",
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, dataset)
    content = content_of(interactions, build_encoder(EncoderConfig(encoder, threads=threads)))
    runs = [measured(interactions, content, seed) for seed in range(seeds)]
    mean = mean_of(runs)
    clicks = runs[0]
    names = {"cold": f"items with fewer than {COLD} before ({clicks['cold']['clicks']:,})", "all": "all items"}
    show(f"{interactions.name}, second half, {encoder}", [row(names[name], mean[name]) for name in ("cold", "all")])
    console.print(f"cold items: {mean['cold_gain']:.1f} times the hit rate without the catalogue")
    save(json, {"data": interactions.name, "encoder": content.space.encoder, "mean": mean, "runs": runs})


if __name__ == "__main__":
    run(main)
