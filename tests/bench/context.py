"""What hours, weekdays and regions are worth to a ranking: one pass in order of time, with them and without.

    python -m tests.bench.context --data FOLDER --dataset movietweetings-100k --seeds 1 --json FILE
    python -m tests.bench.context --synthetic --json FILE

Evaluate then learn, scored on the second half, full ranking, what a user had left out, ties against the method. No
public set has regions, so it is hours and weekdays that are measured. `synthetic`: made-up visits, in the morning or in
the evening, nine of ten clicks on the topic that the user likes at that time: `own` topics of each user, or `shared`
ones (half of the topics are everybody's mornings', half the evenings'). JSON: a list of sets, each `data, clicks`,
`mean` over the seeds and `runs`, with `hr10, ndcg10` of each way of `WAYS`.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from model_store.encoder.readout import restored_network
from model_store.encoder.runtime import use_threads
from model_store.model import ModelParts, export, load_parts
from model_store.state.memory import HOUR_MS, Decays
from model_store.training import datasets
from model_store.training.interactions import Interactions, ItemFacts, Log, assemble
from model_store.training.online.halves import first_part, plan_for
from model_store.training.online.learner import OnlineRecipe
from model_store.training.online.prequential import prequential
from model_store.training.recipes import recipe_for, with_context
from tests.bench.report import console, run, save, show

WAYS = ("without", "served", "asked")
"""Without the context; with it as of the last event, as a worker writes it; with it as of the click that is to come."""

KINDS = ("own", "shared")
START_MS = 1_356_998_400_000
USERS, VISITS, DAYS, TOPICS, OF_EACH = 500, 22, 60, 12, 60
ON_TOPIC, MORNING_H, EVENING_H, SPREAD_H, STEP_H = 0.9, 8, 20, 1.2, 0.05


def made_up(kind: str) -> Interactions:
    """Visits of one to four clicks. Items of a topic are popular as 1 / rank; nobody clicks one twice."""
    dice, clicks = np.random.default_rng(7), []
    for user in range(USERS):
        clicks += visits(user, topics_of(kind, dice), dice)
    clicks.sort()
    at_h, users, items = zip(*clicks, strict=True)
    times = START_MS + (np.array(at_h) * HOUR_MS).astype(np.int64)
    unrated = np.full(len(clicks), np.nan, np.float32)
    facts = ItemFacts({}, {f"i{item}": [f"topic {item // OF_EACH}"] for item in range(TOPICS * OF_EACH)})
    log = Log([f"u{user}" for user in users], [f"i{item}" for item in items], times, unrated, 1.0, "synthetic")
    return assemble(f"{kind} mornings and evenings", "none", log, facts)


def topics_of(kind: str, dice: np.random.Generator) -> tuple[int, int]:
    """A user's topic in the morning, and in the evening."""
    if kind == "own":
        morning, evening = dice.choice(TOPICS, 2, replace=False)
        return int(morning), int(evening)
    return int(dice.integers(TOPICS // 2)), int(TOPICS // 2 + dice.integers(TOPICS // 2))


def visits(user: int, topics: tuple[int, int], dice: np.random.Generator) -> list[tuple[float, int, int]]:
    """Hour, user and item of each click."""
    popular, clicks, had = 1 / np.arange(1, OF_EACH + 1), [], np.zeros((TOPICS, OF_EACH), np.bool_)
    for day in np.sort(dice.choice(DAYS, VISITS, replace=False)):
        late = int(dice.random() < 0.5)
        at_h = 24 * day + (MORNING_H, EVENING_H)[late] + dice.normal(0, SPREAD_H)
        for click in range(min(4, dice.geometric(0.5))):
            topic = topics[late] if dice.random() < ON_TOPIC else int(dice.integers(TOPICS))
            chance = popular * ~had[topic]
            item = int(dice.choice(OF_EACH, p=chance / chance.sum()))
            had[topic, item] = True
            clicks.append((at_h + click * STEP_H, user, topic * OF_EACH + item))
    return clicks


def measured(data: Interactions, seed: int) -> dict[str, Any]:
    """All ways, from the same beginning."""
    began_s, recipe = time.monotonic(), replace(recipe_for(data), seed=seed)
    kept, found = with_context(recipe), dict[str, Any](seed=seed)
    with tempfile.TemporaryDirectory(prefix="interest-context-") as folder:
        export(first_part(data, kept), Path(folder), "beginning")
        for way in WAYS:
            plan = replace(plan_for(data), asked_then=way == "asked")
            base = beginning(Path(folder), (recipe if way == "without" else kept).decays)
            ranking = prequential(data, base, OnlineRecipe(seed=seed), plan).rankings()["model"]
            found[way] = {"hr10": ranking.hit_rate_10, "ndcg10": ranking.ndcg_10}
            console.print(f"{data.name}, seed {seed}, {way}: {found[way]}, {time.monotonic() - began_s:.0f} s")
    return {**found, "seconds": time.monotonic() - began_s}


def beginning(folder: Path, decays: Decays) -> ModelParts:
    """The version in `folder`, to be trained further with other half-lives of the context, or none."""
    parts = load_parts(folder)
    network = restored_network(folder, len(parts.topics), parts.network.interest_count, context=decays.keeps_context)
    return replace(parts, decays=decays, network=network)


def document(data: Interactions, seeds: int) -> dict[str, Any]:
    """Of one set."""
    runs = [measured(data, seed) for seed in range(seeds)]
    mean = {
        way: {figure: float(np.mean([one[way][figure] for one in runs])) for figure in ("hr10", "ndcg10")}
        for way in WAYS
    }
    return {"data": data.name, "clicks": len(data), "mean": mean, "runs": runs}


def main(
    data: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Folder of a data set.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Which, where the folder holds several.")] = None,
    synthetic: Annotated[bool, typer.Option("--synthetic", help="The made-up sets.")] = False,
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 1,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    if data is None and not synthetic:
        raise typer.BadParameter("give a folder, or --synthetic", param_hint="--data")
    use_threads(threads)
    sets = [made_up(kind) for kind in KINDS] if synthetic else []
    if data is not None:
        sets.append(datasets.load(data, dataset))
    found = [document(one, seeds) for one in sets]
    for one in found:
        rows = [{"context": way, **one["mean"][way]} for way in WAYS]
        show(f"{one['data']}, second half of {one['clicks']:,} clicks", rows)
    save(json, {"sets": found})


if __name__ == "__main__":
    run(main)
