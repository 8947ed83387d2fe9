"""What a user did of late, as the state remembers it: clicks in their order, and events by time. Without TensorFlow."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model_store.items import load_items
from model_store.manifest import ModelError
from model_store.registry import ModelRegistry
from model_store.state.layout import RING
from model_store.state.windows import history
from stream_app.settings import Settings
from stream_app.web.logged_states import Records

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Past:
    """`version` of the state, 0 where there is none. `clicked`: hashes of the distinct items clicked last, newest
    first; `titles`: id and title by hash, of those that the model knows. `windows`: events by bucket, oldest first, by
    window."""

    version: int = 0
    clicked: tuple[int, ...] = ()
    windows: dict[str, list[int]] = field(default_factory=dict)
    titles: dict[int, tuple[str, str]] = field(default_factory=dict)


def past_of(record: Records) -> Past:
    """Of a state (`USER` [1]), as it stood at its latest event."""
    clicked = tuple(dict.fromkeys(ring(record).tolist()))[:SHOWN]
    return Past(int(record["version"][0]), clicked, history(record[0]))


def ring(record: Records) -> npt.NDArray[np.uint64]:
    """uint64: hashes of the items clicked last, newest first, of a state (`USER` [1])."""
    count = int(record["clicks"][0])
    slots = (count - 1 - np.arange(min(count, RING))) % RING
    hashes: npt.NDArray[np.uint64] = record["ring"][0][slots]
    return hashes


class Titles:
    """Of the served model's items, by hash; blocks where another version is served than before."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._version = settings, ""

    def of(self, hashes: tuple[int, ...], generation: int) -> dict[int, tuple[str, str]]:
        """Id and title of those that the model knows; none of them where the store has no model, or a bad one."""
        settings = self._settings.of_generation(generation)
        registry = ModelRegistry(settings.models.url)
        try:
            version = registry.current(generation)
            if version and version != self._version:
                self._index = load_items(registry.fetch(version, settings.local_copies / version)).index
                self._version = version
        except (ModelError, OSError):
            return {}
        if not version:
            return {}
        rows = self._index.rows_of(np.array(hashes, np.uint64)).tolist()
        return {
            one: (self._index.item_ids[row], self._index.titles[row])
            for one, row in zip(hashes, rows, strict=True)
            if row >= 0
        }
