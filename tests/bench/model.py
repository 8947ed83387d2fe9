"""A model for synthetic catalogues: the real network and formats, with weights as they are before training.

What the weights are does not change what a benchmark of speed measures; shapes, catalogue and topics do.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from model_store.catalog.index import ItemIndex
from model_store.encoder.network import ReadoutNetwork
from model_store.encoder.runtime import use_threads
from model_store.model import InterestModel, ModelParts, export, load_model
from model_store.registry import ModelRegistry
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, FACET_DIM
from model_store.state.memory import DAY_MS, Decays
from model_store.state.writes import WriteTable

TOPICS = tuple(f"topic {number}" for number in range(19))  # as many as MovieLens has genres
VERSION = "bench"


def catalogue_model(
    store: Path,
    items: int,
    seed: int = 1,
    generation: int = 1,
    topics: tuple[str, ...] = TOPICS,
    *,
    context: bool = False,
) -> str:
    """Publishes and promotes a model of the items `i0` .. `i{items - 1}`; returns the store's URL. `context`: it reads
    when and where users click."""
    use_threads(1)
    version = VERSION if generation == 1 else f"{VERSION}-g{generation}"
    folder = store.with_name(f"{store.name}-export-{version}")
    parts = replace(_parts(items, seed), generation=generation, topics=topics)
    export(_reading_context(parts, seed) if context else parts, folder, version)
    registry = ModelRegistry(str(store))
    registry.publish(folder, version)
    registry.promote(version)
    return str(store)


def current_model(url: str, folder: Path) -> InterestModel:
    """The promoted model of a store, loaded; `folder` takes its files."""
    registry = ModelRegistry(url)
    version = registry.current()
    if version is None:
        raise SystemExit(f"{url} has no promoted model")
    use_threads(1)
    return load_model(registry.fetch(version, folder / version))


def _reading_context(parts: ModelParts, seed: int) -> ModelParts:
    network = ReadoutNetwork(len(parts.topics), seed, context=True)
    for begins_at_zero in network._context:
        begins_at_zero.assign(np.random.default_rng(seed).normal(0, 0.3, begins_at_zero.shape))
    return replace(parts, network=network, decays=Decays(context_half_life_ms=30 * DAY_MS))


def _parts(items: int, seed: int) -> ModelParts:
    rng = np.random.default_rng(seed)
    names = tuple(f"i{number}" for number in range(items))
    hashes = hash_ids(names).hash
    written, read = (rng.normal(0, 0.1, (items, DIM)).astype(np.float32) for _ in range(2))
    content = np.abs(rng.normal(0, FACET_DIM**-0.5, (items, FACET_DIM))).astype(np.float32)
    topic = rng.integers(0, len(TOPICS), items).astype(np.int16)
    return ModelParts(
        generation=1,
        topics=TOPICS,
        decays=Decays(),
        writes=WriteTable(hashes, written, content),
        network=ReadoutNetwork(len(TOPICS), seed),
        index=ItemIndex(
            item_ids=names,
            titles=names,
            hashes=hashes,
            vectors=read,
            bias=np.zeros(items, np.float32),
            topic=topic,
            shares=np.eye(len(TOPICS), dtype=np.float32)[topic],
        ),
        made={"data": "synthetic catalogue of the benchmarks", "trained": False},
    )
