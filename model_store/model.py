"""A model version in memory, and its folder: everything that a worker needs to turn states into interests."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from model_store import manifest
from model_store.card import CARD, Card, read_card
from model_store.catalog.index import ItemIndex
from model_store.encoder.columns import FEATURES
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.readout import Readout, export_readout, restored_network
from model_store.items import WRITES, read_writes
from model_store.state.memory import Decays
from model_store.state.writes import WriteTable

_SAMPLE = 1_024

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class InterestModel:
    """One version of the model, loaded and warmed up.

    Attributes:
        version: its name in the registry.
        generation: states made with another generation's decays or write table cannot be read by this one.
        made_at_ms: when it was exported, UTC; 0 if that is not known.
        topics: names of the topics, in the order of the readout's probabilities.
        decays, writes: what `state.advance` needs; the same for all versions of a generation.
        readout: features -> vectors and topics.
        index: the items that can be recommended.
        creators: whose each of those items is, as far as a catalogue has told; empty where none has.
    """

    version: str
    generation: int
    topics: tuple[str, ...]
    decays: Decays
    writes: WriteTable
    readout: Readout
    index: ItemIndex
    made_at_ms: int = 0
    creators: tuple[str, ...] = ()

    def searched(self) -> "InterestModel":
        """The same, that finds the best of very many items without scoring them all (`ItemIndex.searched`)."""
        return replace(self, index=self.index.searched(self.readout.large(made_up_features(_SAMPLE))))

    def reads_states_of(self, other: "InterestModel") -> bool:
        """Whether states that were made with the other one mean the same to this one."""
        return self.generation == other.generation and self.decays == other.decays and self.writes.is_same(other.writes)


def made_up_features(rows: int) -> Float32:
    """float32 [rows, FEATURES]: of states that nobody has lived, from none to long ones."""
    sizes = np.linspace(0, 3, rows)[:, None]
    features: Float32 = (np.random.default_rng(0).normal(0, 1, (rows, FEATURES)) * sizes).astype(np.float32)
    return features


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What training hands over to `export`."""

    generation: int
    topics: tuple[str, ...]
    decays: Decays
    writes: WriteTable
    network: ReadoutNetwork
    index: ItemIndex
    made: dict[str, Any]


def export(parts: ModelParts, folder: Path, version: str) -> None:
    """Write a model version into `folder` (made if it is missing), its manifest last. `load_model` reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    export_readout(parts.network, folder)
    parts.index.save(folder)
    np.savez(folder / WRITES, **parts.writes.arrays())  # type: ignore[arg-type]  # numpy's other options
    decays = parts.decays
    card = Card(
        parts.generation,
        parts.topics,
        decays.rank_half_lives_events,
        decays.time_half_lives_ms,
        decays.content_half_life_ms,
        parts.made,
        time.time_ns() // 1_000_000,
        parts.network.interest_count,
        decays.context_half_life_ms,
    )
    (folder / CARD).write_bytes(msgspec.json.format(msgspec.json.encode(card)))
    manifest.write(folder, version)


def load_model(folder: Path) -> InterestModel:
    """Load and warm up the version in `folder`, after its checksums were compared. About a second.

    Raises `ModelError` if it is incomplete, damaged or of another format.
    """
    version = manifest.verify(folder).version
    card = read_card(folder)
    return InterestModel(
        version,
        card.generation,
        card.topics,
        card.decays,
        writes=read_writes(folder),
        readout=Readout(folder),
        index=ItemIndex.load(folder),
        made_at_ms=card.made_at_ms,
    )


def load_parts(folder: Path) -> ModelParts:
    """What the version in `folder` was made of, to be trained further; raises as `load_model` does."""
    manifest.verify(folder)
    card = read_card(folder)
    return ModelParts(
        card.generation,
        card.topics,
        card.decays,
        writes=read_writes(folder),
        network=restored_network(folder, len(card.topics), card.interests, context=card.decays.keeps_context),
        index=ItemIndex.load(folder),
        made=card.made,
    )
