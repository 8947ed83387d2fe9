"""From what was learnt to a version that workers serve, or to the reason why not."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from model_store.manifest import ModelError
from model_store.model import InterestModel, ModelParts, export, load_model
from model_store.registry import ModelRegistry
from model_store.training.online.examples import Clicks
from model_store.training.online.guard import judge
from stream_app.settings import Trainer as Policy
from stream_app.trainer.metrics import TrainerMetrics

log = structlog.get_logger(__name__)

PREFIX = "online"


@dataclass(slots=True)
class Served:
    """The version that a candidate is compared with: the one that workers serve, as far as the trainer knows."""

    version: str
    model: InterestModel


class Publisher:
    """Publishes versions and promotes them. One thread; blocks on the store."""

    def __init__(self, registry: ModelRegistry, served: Served, policy: Policy, metrics: TrainerMetrics) -> None:
        self._registry, self._policy, self._metrics = registry, policy, metrics
        self.served = served

    def offer(self, parts: ModelParts, held_out: Clicks, now: datetime) -> str:
        """Make a version of the parts, and let workers serve it if it is sound, no worse than the one they serve, and
        that one is the trainer's own (or the one it began with). Returns the outcome, as the metric names it.

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
            folder = Path(scratch) / version
            export(parts, folder, version)
            candidate = load_model(folder)
            verdict = judge(candidate, self.served.model, held_out, self._policy.held_out_enough)
            self._metrics.rank.labels("candidate").set(verdict.candidate)
            self._metrics.rank.labels("served").set(verdict.served)
            if not verdict.promote:
                log.warning(
                    "a version is not promoted: it is worse than the served one", version=version, why=verdict.why
                )
                return "refused"
            self._registry.publish(folder, version)
            self._remove_old(parts.generation)
        current = self._registry.current(parts.generation)
        if current != self.served.version:
            log.warning(
                "a version is published and not promoted: somebody has put another one than the trainer's in service."
                " Promote one of the trainer's to let it go on, or start it with --anew to go on from that one",
                version=version, served=current, trainers=self.served.version,
            )  # fmt: skip
            return "held_back"
        self._registry.promote(version)
        self.served = Served(version, candidate)
        log.info("promoted", version=version, why=verdict.why)
        return "promoted"

    def _remove_old(self, generation: int) -> None:
        own = [version for version in self._registry.list() if version.startswith(_prefix(generation))]
        served = self._registry.current(generation)
        for version in own[: -self._policy.keep_versions]:
            if version not in (served, self.served.version):
                self._registry.remove(version)


def _prefix(generation: int) -> str:
    return f"{PREFIX}-g{generation}-"
