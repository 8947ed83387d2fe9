"""What a version says of items, without what reads users out; nothing here needs TensorFlow."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store import manifest
from model_store.card import read_card
from model_store.catalog.index import ItemIndex
from model_store.state.content import ContentSpace
from model_store.state.writes import WriteTable


@dataclass(frozen=True, slots=True)
class ItemSide:
    """`topics`: of the model; `space`: of its generation; `index`: the items that can be recommended."""

    version: str
    generation: int
    topics: tuple[str, ...]
    space: ContentSpace
    index: ItemIndex


def load_items(folder: Path) -> ItemSide:
    """Those of the version in `folder`, after its checksums were compared. Raises `ModelError` if it is incomplete,
    damaged or of another format."""
    version = manifest.verify(folder).version
    card = read_card(folder)
    with np.load(folder / "writes.npz", allow_pickle=False) as arrays:
        space = WriteTable.of_arrays(arrays).space
    return ItemSide(version, card.generation, card.topics, space, ItemIndex.load(folder))
