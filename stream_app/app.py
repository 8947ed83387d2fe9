"""The only place where parts are joined. Importing it does nothing."""

import asyncio
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn

import faust
import structlog
from mode.loop import use as use_event_loop

from model_store.model import InterestModel
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.redis_layout import ModelCard
from stream_app.faust_slab.app import SlabApp
from stream_app.faust_slab.fatal import stop_process
from stream_app.observability import WorkerMetrics
from stream_app.rehearsal import rehearse
from stream_app.settings import Settings
from stream_app.sinks.changelog import KafkaChangelog
from stream_app.sinks.dead_letters import FloodGuard, KafkaDeadLetters
from stream_app.sinks.recommendations import KafkaRecommendations
from stream_app.sinks.redis import RedisSink
from stream_app.updater import Updater

log = structlog.get_logger(__name__)

HEARTBEAT_S = 0.1


@dataclass(frozen=True, slots=True)
class WorkerSinks:
    """The real sinks (`updater.Sinks`)."""

    interests: RedisSink
    recommendations: KafkaRecommendations
    dead_letters: KafkaDeadLetters
    changelog: KafkaChangelog


def build_app(settings: Settings, model: InterestModel, metrics: WorkerMetrics) -> SlabApp:
    """A worker: Faust app, updater, sinks. Nothing is connected before it is started."""
    app = SlabApp(settings)
    topics = settings.kafka.topics
    sinks = WorkerSinks(
        RedisSink(settings.redis, on_retry=metrics.redis_retries.inc),
        KafkaRecommendations(app.kafka_producer, topics.recommendations),
        KafkaDeadLetters(app.kafka_producer, topics.dead_letters),
        KafkaChangelog(app.kafka_producer, settings.kafka.changelog),
    )
    updater = Updater(settings, model, sinks, FloodGuard.of(settings.accept), metrics, wall_clock_ms)
    app.engine = updater
    app.before_start = _opening(sinks.interests, model)
    _add_agent(app, updater, settings)
    heartbeat = Heartbeat(settings.cycle.stall_s, metrics)
    for name, task in {
        "advance": updater.advance_forever,
        "refresh": updater.refresh_forever,
        "write": updater.write_forever,
        "publish": updater.publish_forever,
        "flush": updater.flush_forever,
        "sweep": updater.sweep_forever,
        "heartbeat": heartbeat.beat_forever,
    }.items():
        app.task(_crash_only(name, task))
    return app


def wall_clock_ms() -> int:
    """Milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


def _add_agent(app: SlabApp, updater: Updater, settings: Settings) -> None:
    source = app.topic(*settings.kafka.topics.inputs, key_serializer="raw", value_serializer="raw")

    @app.agent(source, name="events")
    async def events(stream: Any) -> None:
        updater.source = app.consumer
        async for event in stream.noack().events():
            for slab in event.message.value:
                updater.put(slab)


def _opening(redis: RedisSink, model: InterestModel) -> Callable[[], Coroutine[Any, Any, None]]:
    """Redis must answer before this worker joins the group and takes partitions from others."""

    async def open_redis() -> None:
        try:
            await redis.open()
            await redis.announce(ModelCard(model.version, model.topics, generation=model.generation), wall_clock_ms())
        except StopWorker as error:
            stop_process("start", error)

    return open_redis


def _crash_only(
    name: str, task: Callable[[], Coroutine[Any, Any, NoReturn]]
) -> Callable[[], Coroutine[Any, Any, None]]:
    """A task whose fault ends the process: Faust would log it and go on without the task."""

    async def run() -> None:
        try:
            await task()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            stop_process(name, error)

    run.__name__ = name
    return run


class Heartbeat:
    """Ends the process when the event loop hangs: Kafka's heartbeats come from another thread and would go on."""

    def __init__(self, stall_s: float, metrics: WorkerMetrics) -> None:
        self._stall_s, self._metrics = stall_s, metrics
        self._last = time.monotonic()

    async def beat_forever(self) -> NoReturn:
        self._last = time.monotonic()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        while True:
            before = time.monotonic()
            await asyncio.sleep(HEARTBEAT_S)
            self._last = time.monotonic()
            self._metrics.loop_lag.observe(max(0.0, self._last - before - HEARTBEAT_S))

    def _watch(self) -> None:
        while True:
            time.sleep(self._stall_s / 10)
            stalled = time.monotonic() - self._last
            if stalled > self._stall_s:
                stop_process("watchdog", StopWorker(f"the event loop has not run for {stalled:.0f} s"))


def _settle_interpreter() -> None:
    """What is alive now stays for good, so the collector need not look at it again (a full collection takes 100 ms
    with TensorFlow loaded). It rarely needs to look at the rest: events in flight are many, and hold no cycles. And the
    consumer's thread waits at most a millisecond for the interpreter, not five."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.001)


def run_worker(settings: Settings, model: InterestModel) -> NoReturn:
    """Serve until SIGTERM or SIGINT (then exit status 0), or until a fault (70)."""
    use_event_loop("uvloop")  # a third less CPU an event than asyncio's own (measured)
    metrics = WorkerMetrics()
    metrics.model.labels(model.version, str(model.generation)).set(1)
    port = metrics.serve(settings.metrics)
    log.info("metrics are served", url=f"http://{settings.metrics.host}:{port}/metrics")
    log.info("warming up", model=model.version)
    rehearse(settings, model)
    _settle_interpreter()
    app = build_app(settings, model, metrics)
    log.info("starting", kafka=settings.kafka.bootstrap, group=settings.kafka.group, model=model.version)
    faust.Worker(app, override_logging=False, redirect_stdouts=False).execute_from_commandline()
    sys.stdout.flush()
    os._exit(0)
