"""Joins the catalogue service's parts."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import structlog

from model_store.catalog.annotators import taxonomy as taxonomies
from model_store.catalog.annotators.build import build_annotator
from model_store.catalog.annotators.taxonomy import Taxonomy, Topic
from model_store.catalog.encoders.build import build_encoder
from model_store.catalog.encoders.port import TextEncoder
from model_store.catalog.encoders.remembering import RememberingEncoder
from stream_app.catalog.configs import annotator_config, encoder_config
from stream_app.catalog.describe import Describer
from stream_app.catalog.feed import ItemFeed, ItemTexts
from stream_app.catalog.known import Known
from stream_app.catalog.loop import Catalog, Progress
from stream_app.catalog.metrics import CatalogMetrics
from stream_app.catalog.patience import Stopping
from stream_app.catalog.places import Placing, ServedItems
from stream_app.catalog.sinks import ItemHashes, KnowledgeTopic
from stream_app.settings import Settings
from stream_app.shelf import KnowledgeFeed
from stream_app.signals import stop_on_signals

log = structlog.get_logger(__name__)


def run_catalog(
    settings: Settings,
    topics: tuple[str, ...],
    *,
    once: bool = False,
    refill_redis: bool = False,
    report: Callable[[Progress], None] = lambda _progress: None,
) -> None:
    """Serve until SIGTERM or SIGINT; with `once` until the group has nothing left to describe. With `refill_redis`
    all that is known is written there first.

    `topics`: of the served model, which are the taxonomy where no file is given. Raises MisconfiguredError,
    `KafkaUnreachableError`, TaxonomyError.
    """
    metrics, stop = CatalogMetrics(), threading.Event()
    port = metrics.serve(settings.metrics)
    log.info("metrics and health are served", url=f"http://{settings.metrics.host}:{port}/metrics")
    stop_on_signals(stop, "this batch is finished")
    with suppress(Stopping), catalog_of(settings, topics, metrics, stop) as catalog:
        if refill_redis:
            log.info("Redis has all that is known", items=catalog.refill_redis())
        catalog.run(once=once, report=report)


@contextmanager
def catalog_of(
    settings: Settings, topics: tuple[str, ...], metrics: CatalogMetrics, stop: threading.Event
) -> Iterator[Catalog]:
    """The service, which knows all that was found out before; closed at the end."""
    encoder = RememberingEncoder(build_encoder(encoder_config(settings.catalog.encoder)), settings.catalog.batch_items)
    with ExitStack() as stack:
        describers = stack.enter_context(
            closing(_Describers(settings, taxonomy_of(settings, topics), encoder, metrics))
        )
        known = Known()
        others = stack.enter_context(closing(KnowledgeFeed(settings, known, metrics)))
        others.catch_up()
        log.info("what was found out before is known", items=len(known), encoder=encoder.name)
        topic, hashes = stack.enter_context(closing(KnowledgeTopic(settings))), ItemHashes(settings)
        stack.enter_context(closing(hashes))
        feed, texts = (
            stack.enter_context(closing(ItemFeed(settings))),
            stack.enter_context(closing(ItemTexts(settings))),
        )
        placing = Placing(ServedItems(settings))
        catalog = Catalog(
            feed, texts, others, known, encoder.name, describers.get, topic, hashes, metrics, stop, placing,
            settings.models.poll_s, settings.catalog.batch_items,
        )  # fmt: skip
        yield stack.enter_context(closing(catalog))


class _Describers:
    """One describer, made when it is first asked for: that asks the encoder, which may be away, for the topics."""

    def __init__(self, settings: Settings, taxonomy: Taxonomy, encoder: TextEncoder, metrics: CatalogMetrics) -> None:
        self._parts, self._encoder = (annotator_config(settings), taxonomy, encoder, metrics), encoder
        self._stack = ExitStack()
        self._made: Describer | None = None

    def get(self) -> Describer:
        """Raises what the encoder raises, and may be asked again then."""
        if self._made is None:
            annotator = self._stack.enter_context(build_annotator(*self._parts))
            self._made = Describer(self._encoder, annotator)
        return self._made

    def close(self) -> None:
        self._stack.close()


def taxonomy_of(settings: Settings, topics: tuple[str, ...]) -> Taxonomy:
    """That of the file, else the model's topics by their names. Raises TaxonomyError."""
    if settings.catalog.taxonomy:
        return taxonomies.load(settings.catalog.taxonomy)
    return Taxonomy(tuple(Topic(name, name) for name in topics))
