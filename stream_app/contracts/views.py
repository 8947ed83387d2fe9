"""What is written to Redis in one go: the interests of the users that a cycle touched, as columns."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.state.layout import DIM
from model_store.state.windows import WindowCounts
from stream_app.contracts.redis_layout import FACETS

Int64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InterestViews:
    """n users, each at most once.

    Attributes:
        keys: n user ids, UTF-8.
        version: int64 [n], the states' versions; an older one never replaces a newer one.
        outputs: float32 [n, 4 * DIM + T], C order: vector, behaviour, social, content, and T topic weights >= 0.
        topics: T topic names.
        windows: of the n users.
        event_ts_ms: int64 [n], latest event time applied.
        events: int64 [n], applied since the last erasure.
        updated_at_ms: wall clock of the write.
        model_version: of the model that made `outputs`.
        erased: bool [n]: of these users nothing is left but the version.
        recommendations: index of a user -> JSON of the latest recommendation. A user without one keeps the last.
        generation: of the states; a later generation replaces an earlier one whatever their versions.
    """

    keys: list[bytes]
    version: Int64
    outputs: npt.NDArray[np.float32]
    topics: tuple[str, ...]
    windows: WindowCounts
    event_ts_ms: Int64
    events: Int64
    updated_at_ms: int
    model_version: str
    erased: npt.NDArray[np.bool_]
    recommendations: dict[int, bytes] = field(default_factory=dict)
    generation: int = 0

    def __post_init__(self) -> None:
        want = (len(self.keys), len(FACETS) * DIM + len(self.topics))
        if self.outputs.shape != want:
            raise ValueError(f"outputs have the shape {self.outputs.shape}, {want} is needed")

    def __len__(self) -> int:
        return len(self.keys)
