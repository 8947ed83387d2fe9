"""From what was learnt to a version that workers serve, or to the reason why not."""

import shutil
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import structlog

from model_store.catalog.index import ItemIndex
from model_store.manifest import ModelError
from model_store.model import InterestModel, ModelParts, export, load_model
from model_store.registry import ModelRegistry
from model_store.training.online.examples import Clicks
from model_store.training.online.guard import judge
from model_store.training.online.settled import settled
from stream_app.settings import Trainer as Policy
from stream_app.trainer.metrics import TrainerMetrics

log = structlog.get_logger(__name__)

PREFIX = "online"


class Publisher:
    """Publishes versions and promotes them, a version as its differences from an earlier one where that is much
    shorter. One thread; blocks on the store.

    `served`: the version that a candidate is compared with, the one that workers serve as far as the trainer knows.
    """

    def __init__(
        self, registry: ModelRegistry, served: InterestModel, policy: Policy, metrics: TrainerMetrics, folder: Path
    ) -> None:
        """`folder`: a place for a copy of the last version that was published whole; emptied."""
        self._registry, self._policy, self._metrics = registry, policy, metrics
        self.served = served
        self._folder, self._differences = folder, 0
        self._published: ItemIndex | None = None
        shutil.rmtree(folder, ignore_errors=True)

    def offer(self, parts: ModelParts, held_out: Clicks, now: datetime) -> str:
        """Make a version of the parts, and let workers serve it if it is sound, no worse than the one they serve, and
        that one is the one promoted last (or the one it began with). Returns the outcome, as the metric names it.

        A store that cannot be reached costs this version, and nothing else: the next one holds all that this one did.
        """
        version = f"{_prefix(parts.generation)}{now.astimezone(UTC):%Y%m%d-%H%M%S}"
        try:
            outcome = self._offer(parts, held_out, version)
        except (ModelError, OSError) as error:
            log.warning(
                "a version was not published; the next one will hold all that it did", version=version, why=str(error)
            )
            outcome = "failed"
        self._metrics.versions.labels(outcome).inc()
        return outcome

    def _offer(self, parts: ModelParts, held_out: Clicks, version: str) -> str:
        with tempfile.TemporaryDirectory(prefix="interest-trainer-") as scratch:
            folder, base = Path(scratch) / version, self._base()
            if base and self._published:
                parts = replace(parts, index=settled(parts.index, self._published, self._policy.min_change))
            export(parts, folder, version)
            candidate = load_model(folder)
            verdict = judge(candidate, self.served, held_out, self._policy.held_out_enough)
            self._metrics.rank.labels("candidate").set(verdict.candidate)
            self._metrics.rank.labels("served").set(verdict.served)
            if not verdict.promote:
                log.warning(
                    "a version is not promoted: it is worse than the served one", version=version, why=verdict.why
                )
                return "refused"
            self._publish(folder, version, base)
            self._published = parts.index
            self._remove_old(parts.generation)
        current = self._registry.current(parts.generation)
        if current != self.served.version:
            log.warning(
                "a version is published and not promoted: somebody has put another one than the trainer's in service."
                " Promote the one it promoted last to let it go on, or start it with --anew to go on from that one",
                version=version, served=current, trainers=self.served.version,
            )  # fmt: skip
            return "held_back"
        self._registry.promote(version)
        self.served = candidate
        log.info("promoted", version=version, why=verdict.why)
        return "promoted"

    def _base(self) -> Path | None:
        """What the next version is to be stored as differences from."""
        return self._folder if self._folder.exists() and self._differences + 1 < self._policy.whole_every else None

    def _publish(self, folder: Path, version: str, base: Path | None) -> None:
        manifest = self._registry.publish(folder, version, base)
        if manifest.base:
            self._differences += 1
        else:
            self._keep(folder)
        self._metrics.published_bytes.labels("differences" if manifest.base else "whole").inc(manifest.stored())

    def _keep(self, folder: Path) -> None:
        """As what the next versions differ from; a copy that broke off is none."""
        partial = self._folder.with_name(f"{self._folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(folder, partial)
        shutil.rmtree(self._folder, ignore_errors=True)
        partial.rename(self._folder)
        self._differences = 0

    def _remove_old(self, generation: int) -> None:
        own = [version for version in self._registry.list() if is_own(version, generation)]
        kept = {self._registry.current(generation), self.served.version}
        for version in own[: -self._policy.keep_versions]:
            if version not in kept | self._registry.bases():
                self._registry.remove(version)


def is_own(version: str, generation: int) -> bool:
    """Whether a trainer of that generation made the version."""
    return version.startswith(_prefix(generation))


def _prefix(generation: int) -> str:
    return f"{PREFIX}-g{generation}-"
