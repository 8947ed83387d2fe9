"""What followees are worth: users whose every listen is hidden, known only by their friends, and all others.

    python -m tests.bench.social --data FOLDER --seeds 3 --json FILE

Last.fm (HetRec 2011): who listens to which artists, without order, and who is a friend of whom, taken as follows. A
fifth of the users is hidden, drawn by the seed: no training, no count and no state sees a listen of theirs. Of each of
them the artist whom they play most is to be in the first 20 (`first`), and each of their up to 50 artists (`every`; 20
places cannot hold 50). Of the others the last artist in the shuffled order is held out (`known`, seen ones left out).
The friends' own ranking, by how many of them listen to an artist, shows what there is in friendships.

States, follows and vectors are made as workers make them. JSON: `mean` over the seeds and `runs`, each with `hidden`
users; `first`, `every`: HR@20 of `popularity`, `friends`, and the model's `vector` without and with followees
(`alone`, `vector`) and its `social` facet; `known`: HR@20 and NDCG@10 `without` and `with` them; `times_popularity`:
`vector` over `popularity`.
"""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from model_store.encoder.columns import Outputs
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, export, load_model
from model_store.training import datasets
from model_store.training.evaluate import (
    Question,
    answers,
    index_rows,
    model_scorer,
    outputs_of,
    rows_of,
    states_and_social,
)
from model_store.training.interactions import Interactions
from model_store.training.metrics import top_items
from model_store.training.publish import train_with_progress
from model_store.training.recipes import recipe_for
from tests.bench.report import console, run, save, show

Bool = npt.NDArray[np.bool_]
Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

DATASET = "lastfm"
HIDDEN_SHARE = 0.2
PLACES = 20


@dataclass(frozen=True, slots=True)
class World:
    """What is known, and what is to be found.

    Attributes:
        data: everything.
        left: what anybody may learn from: no listen of hidden users, all but the last of the others.
        hidden: int64 [n], users.
        plays: float32 [users, items].
    """

    data: Interactions
    left: Interactions
    hidden: Int64
    plays: Float32

    @staticmethod
    def of(data: Interactions, plays: Float32, seed: int) -> "World":
        hidden = np.sort(
            np.random.default_rng(seed).permutation(len(data.users))[: int(HIDDEN_SHARE * len(data.users))]
        )
        left = data.without_last(1)
        return World(data, left.take(~np.isin(left.user, hidden)), hidden, plays)


def plays_of(folder: Path, data: Interactions) -> Float32:
    """float32 [users, items]: how often each user played each artist."""
    user, item = ({name: place for place, name in enumerate(names)} for names in (data.users, data.items))
    rows = [line.split("\t") for line in (folder / "user_artists.dat").read_text().splitlines()[1:]]
    plays = np.zeros((len(data.users), len(data.items)), np.float32)
    plays[[user[row[0]] for row in rows], [item[row[1]] for row in rows]] = [float(row[2]) for row in rows]
    return plays


def trained(world: World, seed: int) -> InterestModel:
    """Listens have no order, so what follows what says nothing and is left out."""
    recipe = replace(recipe_for(world.data), seed=seed)
    parts = train_with_progress(world.left, recipe, 1, console)
    with tempfile.TemporaryDirectory(prefix="interest-social-") as folder:
        export(replace(parts, index=replace(parts.index, transitions=None)), Path(folder), "social")
        return load_model(Path(folder))


def of_hidden(world: World, model: InterestModel) -> dict[str, Float32]:
    """Scores of all items for the hidden users by each method, float32 [n, items]."""
    records, social = states_and_social(model, world.left)
    columns, listened = index_rows(model, list(world.data.items)), np.zeros_like(world.plays)
    listened[world.left.user, world.left.item] = 1
    popular, index = listened.sum(axis=0), model.index

    def scores(vectors: Float32) -> Float32:
        return (vectors @ index.vectors.T + index.bias)[:, columns]

    alone = Outputs.of(outputs_of(model, records, world.hidden))
    found = Outputs.of(outputs_of(model, records, world.hidden, social))
    return {
        "popularity": np.tile(popular, (len(world.hidden), 1)),
        "friends": friends(world.data)[world.hidden] @ listened + popular / (1 + popular.max()),
        "alone": scores(alone.vector),
        "vector": scores(found.vector),
        "social": scores(found.social),
    }


def friends(data: Interactions) -> Float32:
    """float32 [users, users]: 1 where the first follows the second."""
    place = {name: number for number, name in enumerate(data.users)}
    pairs = [(place[one], place[other]) for one, other in data.follows if one in place and other in place]
    found = np.zeros((len(data.users), len(data.users)), np.float32)
    found[tuple(np.array(pairs).T)] = 1
    return found


def hit_rate(scores: Float32, wanted: Bool) -> float:
    """Share of the wanted (user, item) pairs whose item is among the user's best; bool [n, items]."""
    best = top_items(scores, np.zeros_like(wanted), PLACES)
    return float(np.take_along_axis(wanted, best, axis=1).sum() / wanted.sum())


def known(world: World, model: InterestModel) -> dict[str, dict[str, float]]:
    """The users who are not hidden, with whom they follow and without."""
    asked = Question(world.left, *_held_out(world))
    records, social = states_and_social(model, world.left)
    methods = {
        "without": model_scorer(model, world.data, records),
        "with": model_scorer(model, world.data, records, social),
    }
    rows = rows_of(world.data, asked, answers(asked, methods))
    return {row.name: {"hr20": row.ranking.of(PLACES).hit_rate.value, "ndcg10": row.ranking.ndcg_10} for row in rows}


def _held_out(world: World) -> tuple[Int64, Int64]:
    users = np.unique(world.left.user).astype(np.int64)
    return users, world.data.last()[users].astype(np.int64)


def measured(data: Interactions, plays: Float32, seed: int) -> dict[str, Any]:
    """Of one seed."""
    began_s = time.monotonic()
    world = World.of(data, plays, seed)
    model = trained(world, seed)
    scores, theirs = of_hidden(world, model), plays[world.hidden]
    first = np.zeros_like(theirs, np.bool_)
    first[np.arange(len(theirs)), theirs.argmax(axis=1)] = True
    return {
        "seed": seed,
        "hidden": len(world.hidden),
        "first": {name: hit_rate(of, first) for name, of in scores.items()},
        "every": {name: hit_rate(of, theirs > 0) for name, of in scores.items()},
        "known": known(world, model),
        "seconds": time.monotonic() - began_s,
    }


def mean_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Over the seeds; a ratio is one of means."""
    mean: dict[str, Any] = {
        name: {method: float(np.mean([one[name][method] for one in runs])) for method in runs[0][name]}
        for name in ("first", "every")
    }
    mean["known"] = {
        which: {figure: float(np.mean([one["known"][which][figure] for one in runs])) for figure in ("hr20", "ndcg10")}
        for which in ("without", "with")
    }
    mean["times_popularity"] = {name: mean[name]["vector"] / mean[name]["popularity"] for name in ("first", "every")}
    return mean


def main(
    data: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder of Last.fm, HetRec 2011.")],
    seeds: Annotated[int, typer.Option(min=1, help="Runs, with the seeds 0, 1, ...")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="Threads for TensorFlow.")] = 2,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    use_threads(threads)
    interactions = datasets.load(data, DATASET)
    plays = plays_of(data, interactions)
    runs = [measured(interactions, plays, seed) for seed in range(seeds)]
    mean = mean_of(runs)
    rows = [
        {"method": method, "most played": mean["first"][method], "every artist": mean["every"][method]}
        for method in mean["first"]
    ]
    show(f"{interactions.name}, HR@{PLACES} of users without a listen", rows)
    times = mean["times_popularity"]
    console.print(f"vector over popularity: {times['first']:.2f} and {times['every']:.2f} times")
    show("users with listens", [{"followees": which, **of} for which, of in mean["known"].items()])
    save(json, {"data": interactions.name, "mean": mean, "runs": runs})


if __name__ == "__main__":
    run(main)
