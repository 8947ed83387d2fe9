"""What a version knows of items; nothing here needs TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store import manifest
from model_store.card import read_card
from model_store.catalog.index import ItemIndex
from model_store.state.content import ContentSpace
from model_store.state.writes import WriteTable

WRITES = "writes.npz"


@dataclass(frozen=True, slots=True)
class ItemSide:
    """What a version says of items, without what reads users out: `topics` of the model, the generation's `space`."""

    version: str
    generation: int
    topics: tuple[str, ...]
    space: ContentSpace
    index: ItemIndex


def load_items(folder: Path) -> ItemSide:
    """The items of the version in `folder`; raises as `load_model` does."""
    version = manifest.verify(folder).version
    card = read_card(folder)
    return ItemSide(version, card.generation, card.topics, read_writes(folder).space, ItemIndex.load(folder))


def read_writes(folder: Path) -> WriteTable:
    """The write table of the version in `folder`."""
    with np.load(folder / WRITES, allow_pickle=False) as arrays:
        return WriteTable.of_arrays(arrays)
