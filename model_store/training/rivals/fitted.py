"""Every rival, trained and ready to score: by the budget that the model's own recipe gives."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from model_store.training.harness import Recipe, Report
from model_store.training.interactions import Interactions
from model_store.training.rivals.counts import DecayedPopularity, NextItem, Popularity, recent_items
from model_store.training.rivals.factors import Bpr, Factors, Ncf, fit
from model_store.training.rivals.networks import Gru4Rec, Network, Sasrec, TrainedNetwork

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]

Scores = Callable[[Int64], Float32]
"""From users, int64 [n], to scores of all items, float32 [n, m]."""

FACTORS: dict[str, Callable[[Interactions, Recipe], Factors]] = {"BPR": Bpr, "NCF": Ncf}
NETWORKS: dict[str, Callable[[Recipe], Network]] = {
    "GRU4Rec": Gru4Rec,
    "SASRec (full CE)": lambda recipe: Sasrec(recipe.longest, recipe),
}


def counted(train: Interactions, before: Interactions) -> dict[str, Scores]:
    """Those that only count `train`, asked for what comes after `before`."""
    recent, popularity, transitions = recent_items(before), Popularity.fit(train), NextItem.fit(train)
    decayed = DecayedPopularity(train, before)
    return {
        "popularity": lambda users: popularity.scores(recent[users]),
        "decayed popularity": decayed.scores,
        "item transitions": lambda users: transitions.scores(recent[users]),
    }


def trained(
    train: Interactions, before: Interactions, recipe: Recipe, report: Callable[[str], Report]
) -> Iterator[tuple[str, Scores]]:
    """Those that have weights, one after the other; `report(name)` takes the progress of each."""
    for name, factors_of in FACTORS.items():
        factors = factors_of(train, recipe)
        fit(factors, train, recipe, report(name))
        yield name, factors.scores
    for name, network_of in NETWORKS.items():
        network = TrainedNetwork(train, recipe, network_of(recipe), report(name))
        yield name, network.after(before)
