"""What each part of a state, and each facet by itself, is worth to the ranking of the next item.

A part is taken out of the states that the readout is given; nothing is trained again, so what is seen is what the
model relies on, not what could be had without the part.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from model_store.encoder.columns import Outputs
from model_store.model import InterestModel
from model_store.training.evaluate import (
    Question,
    Row,
    Scorer,
    answers,
    in_columns,
    index_rows,
    model_scorer,
    outputs_of,
    rows_of,
    states_and_social,
)
from model_store.training.interactions import Interactions
from model_store.training.metrics import Mean, gains_at, mean_of

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
Records = npt.NDArray[np.void]

WHOLE = "model"
PARTS = {
    "lanes by order": ("rank", "rank_weight"),
    "lanes by time": ("time", "time_weight"),
    "content": ("content", "content_weight"),
}
"""Fields of `USER`: the sum, and the weight that it is divided by."""


@dataclass(frozen=True, slots=True)
class Ablated:
    """One line: `row` without a part or by a facet alone, and what the whole model's NDCG@10 is more, user by user."""

    row: Row
    lost: Mean


def ablation(model: InterestModel, data: Interactions, back: int = 0) -> tuple[Ablated, ...]:
    """The whole model, the model without each part that any user has, and each trained facet by itself."""
    asked = Question.of(data, back)
    found = answers(asked, dict(_methods(model, data, *states_and_social(model, asked.before))))
    gains = {name: gains_at(10, of.rank)[1] for name, of in found.items()}
    return tuple(Ablated(row, mean_of(gains[WHOLE] - gains[row.name])) for row in rows_of(data, asked, found))


def _methods(
    model: InterestModel, data: Interactions, records: Records, social: Float32 | None
) -> Iterator[tuple[str, Scorer]]:
    yield WHOLE, model_scorer(model, data, records, social)
    for name, fields in PARTS.items():
        if records[fields[0]].any():
            yield f"without {name}", model_scorer(model, data, without(records, fields), social)
    if social is not None:
        yield "without social", model_scorer(model, data, records)
    if model.index.transitions is not None:
        plain = replace(model, index=replace(model.index, transitions=None))
        yield "without transitions", model_scorer(plain, data, records, social)
    for facet in model.index.reasons:
        if facet != "social" or social is not None:
            yield f"{facet} alone", _facet_scorer(model, data, records, social, facet)


def without(records: Records, fields: tuple[str, ...]) -> Records:
    """A copy of states in which these fields are empty."""
    emptied = records.copy()
    for name in fields:
        emptied[name] = 0
    return emptied


def _facet_scorer(
    model: InterestModel, data: Interactions, records: Records, social: Float32 | None, facet: str
) -> Scorer:
    """The facet's vector . item vector + bias, for which it was trained; it tells no topics."""
    rows, index = index_rows(model, list(data.items)), model.index

    def scores(users: Int64) -> tuple[Float32, Float32]:
        vector: Float32 = getattr(Outputs.of(outputs_of(model, records, users, social)), facet)
        return in_columns(vector @ index.vectors.T + index.bias, rows), np.empty((len(users), 0), np.float32)

    return scores
