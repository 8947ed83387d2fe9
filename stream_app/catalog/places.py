"""Where the served model has the items: what of it Redis does not know yet."""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog

from model_store.items import ItemSide, load_items
from model_store.manifest import ModelError
from model_store.registry import ModelRegistry
from model_store.state.hashing import hash_ids
from stream_app.catalog.sinks import Places
from stream_app.contracts.knowledge import Knowledge
from stream_app.settings import Settings
from stream_app.shelf import Shelf

log = structlog.get_logger(__name__)


class Store(Protocol):
    """Where versions come from: a `ServedItems`."""

    def changed(self, using: str) -> ItemSide | None:
        """The items of the version that is served, if it is another one than `using` and can be used."""


class Placing:
    """Items as a generation's model has them; of those that it was not trained on, where it puts them by what the
    catalogue knows of them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._model: ItemSide | None = None
        self._shelf: Shelf | None = None
        self._read: dict[str, Knowledge] = {}
        self._written: dict[str, bytes] = {}
        self._due: set[str] = set()
        self._share: Hashable = None

    def news(
        self, known: Mapping[str, Knowledge], is_mine: Callable[[str], bool], share: Hashable = None
    ) -> Places | None:
        """Of the items in `known` that are not deleted and are this process's: those that lie elsewhere than was
        written last; None for none of them.

        To be called again and again with all that is known; `wrote` says that what came of it is in Redis. `is_mine`
        answers as before while `share` is the same.
        """
        if self._follow() or share != self._share:
            self._share = share
            self._due |= known.keys()
        if self._model is None or self._shelf is None:
            return None
        self._learn(self._shelf, known)
        self._due = {item for item in self._due if not known[item].deleted and is_mine(item)}
        places = self._places(self._model, self._shelf, list(self._due))
        new = np.array([self._written.get(item) != raw for item, raw in _rows(places)], np.bool_)
        self._due = {item for item, is_new in zip(places.ids, new.tolist(), strict=True) if is_new}
        return _taken(places, new) if new.any() else None

    def wrote(self, places: Places) -> None:
        """These are in Redis."""
        self._written |= dict(_rows(places))
        self._due.difference_update(places.ids)

    def _follow(self) -> bool:
        model = self._store.changed(self._model.version if self._model else "")
        if model is None:
            return False
        before, self._model = self._model, model
        if before is None or (model.topics, model.space.encoder) != (before.topics, before.space.encoder):
            self._shelf, self._read = Shelf(model.space, model.topics), {}
        log.info("items are placed as another version has them", version=model.version, items=len(model.index))
        return True

    def _learn(self, shelf: Shelf, known: Mapping[str, Knowledge]) -> None:
        for item, one in known.items():
            before = self._read.get(item)
            if before is one:
                continue
            self._read[item] = one
            if before != one:  # its own knowledge comes back from the topic
                with suppress(ValueError):  # such an item lies where it did, or nowhere
                    shelf.put(one)
                self._written.pop(item, None)  # it may have been deleted in Redis meanwhile
                self._due.add(item)

    @staticmethod
    def _places(model: ItemSide, shelf: Shelf, ids: list[str]) -> Places:
        index, hashes = model.index, hash_ids(ids).hash
        unlisted = [ids[row] for row in np.flatnonzero(index.rows_of(hashes) < 0).tolist()]
        if unlisted:
            index = index.joined(shelf.told_of(unlisted))
        rows = index.rows_of(hashes)
        found = rows >= 0  # what the shelf cannot read lies nowhere
        there = [item for item, is_there in zip(ids, found.tolist(), strict=True) if is_there]
        return Places(model.version, there, index.vectors[rows[found]], index.bias[rows[found]])


@dataclass(slots=True)
class ServedItems:
    """The model store, of one generation; what cannot be used is said once and changes nothing."""

    settings: Settings
    _refused: str = field(default="", init=False)

    def changed(self, using: str) -> ItemSide | None:
        """See `Store`."""
        wanted = ""
        try:
            registry = ModelRegistry(self.settings.models.url)
            wanted = registry.current(self.settings.kafka.generation) or ""
            if wanted in ("", using, self._refused):
                return None
            return load_items(registry.fetch(wanted, _folder(self.settings, wanted)))
        except (ModelError, OSError) as error:
            if isinstance(error, ModelError):
                self._refused = wanted
            log.warning(
                "items stay where another version has them: the one that is served cannot be taken up",
                version=wanted, using=using, why=str(error)[:300],
            )  # fmt: skip
            return None


def _folder(settings: Settings, version: str) -> Path:
    return settings.local_copies / version


def _rows(places: Places) -> list[tuple[str, bytes]]:
    """Each item, and what Redis is to have of it."""
    raw = np.concatenate([places.vectors, places.bias[:, None]], axis=1)
    return [(item, row.tobytes()) for item, row in zip(places.ids, raw, strict=True)]


def _taken(places: Places, new: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> Places:
    ids = [places.ids[row] for row in np.flatnonzero(new).tolist()]
    return Places(places.version, ids, places.vectors[new], places.bias[new])
