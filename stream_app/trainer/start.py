"""Joins the trainer's parts, and goes on where the last snapshot ends."""

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from model_store.model import InterestModel, load_model, load_parts
from model_store.registry import ModelRegistry
from model_store.training.online.learner import OnlineLearner, OnlineRecipe
from stream_app.intake import limits_of
from stream_app.settings import Settings
from stream_app.settings import Trainer as Policy
from stream_app.shelf import Catalogue, KnowledgeFeed, Shelf
from stream_app.signals import stop_on_signals
from stream_app.trainer.feed import Feed
from stream_app.trainer.loop import Trainer
from stream_app.trainer.metrics import TrainerMetrics
from stream_app.trainer.publisher import Publisher, is_own
from stream_app.trainer.snapshots import Snapshots

log = structlog.get_logger(__name__)


def run_trainer(
    settings: Settings, model: InterestModel, folder_of: Callable[[str], Path], *, anew: bool = False
) -> None:
    """Learn until SIGTERM or SIGINT, then take a last snapshot.

    `model`: the version that is served. `folder_of`: a local copy of a version. `anew`: forget the snapshots, and
    learn from the oldest events on, beginning with the served version.
    """
    metrics, stop = TrainerMetrics(), threading.Event()
    port = metrics.serve(settings.metrics)
    log.info("metrics and health are served", url=f"http://{settings.metrics.host}:{port}/metrics")
    snapshots = Snapshots(_folder(settings))
    try:
        if anew:
            snapshots.clear()
        trainer = build_trainer(settings, model, folder_of, snapshots, metrics)
        stop_on_signals(stop, "a last snapshot is taken")
        try:
            trainer.run(stop)
        finally:
            trainer.close()
    finally:
        snapshots.close()


def build_trainer(
    settings: Settings,
    model: InterestModel,
    folder_of: Callable[[str], Path],
    snapshots: Snapshots,
    metrics: TrainerMetrics,
) -> Trainer:
    """A trainer that stands where the last snapshot ends, or at the oldest events."""
    snapshot = snapshots.latest()
    base = snapshot.progress.base if snapshot else model.version
    parts = load_parts(folder_of(base))
    learner = OnlineLearner(parts, recipe_of(settings.trainer))
    promoted = snapshot.progress.promoted if snapshot else base
    # After a crash the served version may be one that was promoted since the snapshot.
    goes_on = promoted == model.version or is_own(model.version, model.generation)
    served = model if goes_on else load_model(folder_of(promoted))
    registry = ModelRegistry(settings.models.url)
    publisher = Publisher(registry, served, settings.trainer, metrics, _folder(settings) / "whole")
    feed = Feed(settings, limits_of(settings), _offsets(snapshot.progress.offsets) if snapshot else {})
    generation = parts.writes, parts.decays
    shelf = Shelf(parts.writes.space, parts.topics, vectors=True)
    catalogue = Catalogue(shelf, KnowledgeFeed(settings, shelf, metrics))
    trainer = Trainer(settings, generation, base, learner, publisher, feed, catalogue, snapshots, metrics)
    if snapshot:
        learner.restore(snapshot.learner)
        trainer.restore(snapshot.held_out, snapshot.states)
        log.info("going on from a snapshot", base=base, promoted=promoted, items=len(learner.item_ids))
    else:
        log.info("learning from the oldest events on", base=base, topics=settings.kafka.topics.inputs)
    trainer.hear_all()
    return trainer


def _folder(settings: Settings) -> Path:
    return settings.data_dir / "trainer" / f"generation-{settings.kafka.generation}"


def recipe_of(policy: Policy) -> OnlineRecipe:
    """How the settings say to learn."""
    return OnlineRecipe(
        rate=policy.rate,
        table_rate=policy.table_rate,
        passes=policy.passes,
        replays=policy.replays,
        rounds_kept=policy.rounds_kept,
        seed=policy.seed,
    )


def _offsets(by_topic: dict[str, dict[int, int]]) -> dict[tuple[str, int], int]:
    return {(topic, partition): offset for topic, of in by_topic.items() for partition, offset in of.items()}
