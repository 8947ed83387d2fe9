"""The version of the model that is read out with: the one that the store's pointer names, also when it changes, with
what the catalogue tells of items.

A new version is fetched, loaded and tried in a thread of its own, and taken up between two refreshes, so no event waits
for it and no user is read out with one version and named by another. One that cannot be used changes nothing.
"""

import asyncio
import gc
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import structlog

from model_store import manifest
from model_store.catalog.index import ItemIndex
from model_store.manifest import MANIFEST, ModelError
from model_store.model import InterestModel, load_model, made_up_features
from model_store.registry import ModelRegistry
from stream_app.contracts.redis_layout import ModelCard
from stream_app.observability import WorkerMetrics
from stream_app.ports import Clock
from stream_app.refresh import Voice
from stream_app.settings import Settings

log = structlog.get_logger(__name__)

T = TypeVar("T")

TRIED_ROWS = 256
REST = 9
"""So many times as long as it took to tell the reader of all items nothing but deletions is told."""
KEPT_S = 3600.0
"""A local copy that is older may go: other workers on this machine have loaded it, or will fetch it again."""


class Reader(Protocol):
    """Who reads out: `updater.Updater`."""

    @property
    def voice(self) -> Voice:
        """In use now, or from the next refresh on."""

    def take_up(self, voice: Voice, /) -> None:
        """Use another from the next refresh on."""


class Announcer(Protocol):
    """Who tells the readers: `sinks.redis.RedisSink`."""

    async def announce(self, card: ModelCard, now_ms: int, /) -> None: ...


class Catalogue(Protocol):
    """Who tells of items: `shelf.KnowledgeFeed`."""

    def news(self) -> bool:
        """Whether anything was said since the last call. Blocks for a moment."""

    def put_into(self, model: InterestModel, /) -> InterestModel:
        """The model that knows all that was said."""

    def withdrawn(self, index: ItemIndex, /) -> npt.NDArray[np.int64]:
        """int64 [n]: rows of the items that it still offers and that were deleted."""


class Refused(Exception):  # noqa: N818  # what it is
    """A version that cannot be used. `reason` is one of `observability.REFUSALS`."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class Versions:
    """Looks at the pointer every `models.poll_s`."""

    def __init__(
        self,
        settings: Settings,
        base: InterestModel,
        reader: Reader,
        announcer: Announcer,
        metrics: WorkerMetrics,
        clock: Clock,
        catalogue: Catalogue | None = None,
    ) -> None:
        """`base`: what the reader began with, without what the catalogue had told."""
        self._base, self._catalogue = base, catalogue
        self._reader, self._announcer, self._metrics, self._clock = reader, announcer, metrics, clock
        self._poll_s = settings.models.poll_s
        self._store = _Store(settings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="versions")
        self._refused: str | None = None
        self._news = False  # the catalogue has told of items, and the reader does not know yet
        self._rests_until_s = 0.0

    async def watch_forever(self) -> NoReturn:
        """Look again and again."""
        while True:
            await asyncio.sleep(self._poll_s)
            await self.look()

    async def look(self) -> None:
        """Take up the version that the pointer names, if it is another one than that in use and can be used; or else
        what the catalogue has told since."""
        if self._catalogue is not None and await self._aside(self._catalogue.news):
            self._news = True
            await self._withdraw(self._catalogue)
        base = await self._another()
        if base is not None:
            await self._take_up(base, await self._aside(lambda: self._voice_of(base)))
        elif self._news and time.monotonic() >= self._rests_until_s:
            await self._tell_news()

    async def _withdraw(self, catalogue: Catalogue) -> None:
        """What is deleted is offered no more, before anything else is told, which may take long."""
        voice = self._reader.voice
        gone = await self._aside(lambda: catalogue.withdrawn(voice.model.index))
        if len(gone):
            self._reader.take_up(await self._aside(lambda: voice.without(gone)))

    async def _tell_news(self) -> None:
        began_s = time.monotonic()
        self._reader.take_up(await self._aside(lambda: self._voice_of(self._base)))
        self._news, ended_s = False, time.monotonic()
        self._rests_until_s = ended_s + REST * (ended_s - began_s)

    async def _another(self) -> InterestModel | None:
        """The version that the pointer names, if it is to be taken up."""
        wanted = None
        try:
            wanted = await self._aside(self._store.current)
            if wanted != self._refused:
                self._refused = None  # the pointer has moved since: what was refused may be tried again
            if wanted in (None, self._base.version, self._refused):
                return None
            return await self._aside(lambda: self._store.load(wanted or "", self._base))
        except Refused as refused:
            self._refused = wanted
            self._count(refused.reason, wanted, str(refused))
        except OSError as error:
            self._count("unreachable", wanted, str(error))
        return None

    def _voice_of(self, base: InterestModel) -> Voice:
        return Voice.of(self._catalogue.put_into(base) if self._catalogue else base)

    async def _take_up(self, base: InterestModel, voice: Voice) -> None:
        model, self._base, self._refused, self._news = voice.model, base, None, False
        self._reader.take_up(voice)
        self._metrics.show_model(model.version, model.generation, model.made_at_ms)
        self._metrics.model_swaps.inc()
        log.info("another version is in use", version=model.version, items=len(model.index))
        card = ModelCard(model.version, model.topics, generation=model.generation)
        await self._announcer.announce(card, self._clock())
        await self._aside(lambda: self._store.tidy(model.version))
        # The version before is full of cycles, and the collector is told to look at old objects once in days.
        await self._aside(gc.collect)

    def _count(self, reason: str, version: str | None, why: str) -> None:
        self._metrics.model_refused.labels(reason).inc()
        log.warning(
            "the version in use stays: another is served by the store, and cannot be taken up",
            version=version, using=self._base.version, reason=reason, why=why,
        )  # fmt: skip

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)


class _Store:
    """The model store and its local copies. Blocks."""

    def __init__(self, settings: Settings) -> None:
        self._registry = ModelRegistry(settings.models.url)
        self._generation, self._folder = settings.kafka.generation, settings.local_copies

    def current(self) -> str | None:
        """The version that is served; None if there is none. Raises Refused, OSError."""
        try:
            return self._registry.current(self._generation)
        except ModelError as error:
            raise Refused("damaged", str(error)) from error

    def load(self, version: str, using: InterestModel) -> InterestModel:
        """The version, loaded and tried, to take the place of `using`. Raises Refused, OSError."""
        folder = self._fetched(version)
        try:
            model = load_model(folder)
            finite = _is_finite(model)
        except Exception as error:  # numpy, TensorFlow and TensorFlow Lite each have errors of their own
            raise Refused("damaged", f"it cannot be loaded and read out: {error!r:.300}; publish another") from error
        if not model.reads_states_of(using):
            raise Refused(
                "generation",
                "it has another generation, write table or half-lives than the states that are held:"
                f" `interest worker --generation {model.generation}` builds states for it",
            )
        if not finite:
            raise Refused("not_finite", "it gives NaN or infinity: `interest models roll-back`")
        return Voice.of(model).model

    def _fetched(self, version: str) -> Path:
        """A local copy that is whole. One that is not is fetched again, like its base: the store's may be sound."""
        folder = self._folder / version
        try:
            base = self._registry.manifest(version).base
            try:
                return self._registry.fetch(version, folder)
            except ModelError:
                copies = [self._folder / name for name in (version, base) if name and (self._folder / name).exists()]
                if not copies:
                    raise
                for copy in copies:
                    shutil.rmtree(copy)
                return self._registry.fetch(version, folder)
        except ModelError as error:
            raise Refused("damaged", str(error)) from error

    def tidy(self, version: str) -> None:
        """Remove old local copies of versions that are neither this one nor its base."""
        kept = {version, manifest.of_folder(self._folder / version).base}
        for path in self._folder.iterdir():
            if path.name not in kept and _age_s(path) > KEPT_S:
                shutil.rmtree(path, ignore_errors=True)


def _is_finite(model: InterestModel) -> bool:
    """Whether vectors and scores of some states, of none to long ones, are numbers."""
    rows = made_up_features(TRIED_ROWS)
    outputs = (model.readout.large(rows), model.readout.small(rows[:1]), model.readout.small(rows[-1:]))
    return model.index.is_finite() and all(bool(np.isfinite(one).all()) for one in outputs)


def _age_s(path: Path) -> float:
    try:
        return time.time() - (path / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0  # somebody is fetching it, or removing it
