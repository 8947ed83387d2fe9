"""The only place where parts are joined. Importing it does nothing."""

import asyncio
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

import faust
import structlog
from kafka.errors import KafkaError
from mode.loop import use as use_event_loop

from model_store.model import InterestModel
from stream_app.agreement import terms_of
from stream_app.contracts.errors import StopWorker
from stream_app.contracts.redis_layout import ModelCard
from stream_app.faust_slab.admission import stop_when_refused
from stream_app.faust_slab.app import SlabApp
from stream_app.faust_slab.fatal import stop_process
from stream_app.health import Health
from stream_app.observability import WorkerMetrics
from stream_app.publishing import Publishing
from stream_app.reaching import KafkaUnreachableError
from stream_app.refresh import Voice
from stream_app.rehearsal import rehearse
from stream_app.settings import Settings
from stream_app.shelf import Catalogue
from stream_app.signals import process_name
from stream_app.sinks.changelog import KafkaChangelog
from stream_app.sinks.dead_letters import FloodGuard, KafkaDeadLetters
from stream_app.sinks.kafka_batches import wall_clock_ms
from stream_app.sinks.recommendations import KafkaRecommendations
from stream_app.sinks.redis import Loss, RedisSink
from stream_app.traces import SentTraces
from stream_app.updater import Updater
from stream_app.versions import Versions

log = structlog.get_logger(__name__)

HEARTBEAT_S = 0.1
STACK_FRAMES = 8
"""Innermost frames that the watchdog shows of a loop that hangs."""


Task = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class WorkerSinks:
    """The real sinks (`updater.Sinks`)."""

    interests: RedisSink
    recommendations: KafkaRecommendations
    dead_letters: KafkaDeadLetters
    changelog: KafkaChangelog


def build_app(
    settings: Settings, model: InterestModel, metrics: WorkerMetrics, catalogue: Catalogue | None = None
) -> SlabApp:
    """A worker: Faust app, updater, sinks. Nothing is connected before it is started. `catalogue`: what it has told so
    far is known from the first event on."""
    app = SlabApp(settings)
    topics, give_up_s = settings.kafka.topics, settings.flush.timeout_s
    sinks = WorkerSinks(
        RedisSink(
            settings.redis,
            on_retry=metrics.redis_retries.inc,
            on_loss=partial(_tell_loss, metrics),
        ),
        KafkaRecommendations(app.kafka_producer, topics.recommendations, give_up_s=give_up_s),
        KafkaDeadLetters(app.kafka_producer, topics.dead_letters, give_up_s=give_up_s),
        KafkaChangelog(app.kafka_producer, settings.kafka.changelog, give_up_s=give_up_s),
    )
    base = Voice.of(model).model
    told = catalogue.put_into(base) if catalogue else base
    updater = Updater(settings, told, sinks, FloodGuard.of(settings.accept), metrics, wall_clock_ms)
    app.engine, app.terms = updater, terms_of(settings, model)
    publishing = Publishing(sinks.interests, settings.kafka, metrics, wall_clock_ms)
    updater.may_publish = publishing.may
    heartbeat = _crash_only("heartbeat", Heartbeat(settings, metrics, updater).beat_forever)
    app.before_start = _opening(app, sinks.interests, model, publishing, heartbeat)
    _add_agent(app, updater, settings)
    _note_assignments(app, metrics.health)
    app.on_group_answer = metrics.health.hear_group
    tasks = {
        "advance": updater.advance_forever,
        "refresh": updater.refresh_forever,
        "revisit": updater.revisit_forever,
        "write": updater.write_forever,
        "publish": updater.publish_forever,
        "flush": updater.flush_forever,
        "sweep": updater.sweep_forever,
        "gauge": updater.gauge_forever,
        "publishing": publishing.watch_forever,
    }
    if settings.models.poll_s:
        versions = Versions(settings, base, updater, sinks.interests, metrics, wall_clock_ms, catalogue)
        tasks["versions"] = versions.watch_forever
    for name, task in tasks.items():
        app.task(_crash_only(name, task))
    return app


def _tell_loss(metrics: WorkerMetrics, found: Loss) -> None:
    metrics.redis_losses.labels(found).inc()
    what = {
        "empty": "holds nothing of ours: it is new, or has lost everything",
        "replaced": "was restarted or failed over, and may lack its last writes",
    }[found]
    log.warning("Redis has lost something; to refill it: interest rebuild-redis", found=found, redis=what)


def _add_agent(app: SlabApp, updater: Updater, settings: Settings) -> None:
    source = app.topic(*settings.kafka.topics.inputs, key_serializer="raw", value_serializer="raw")

    @app.agent(source, name="events")
    async def events(stream: Any) -> None:
        updater.source = app.consumer
        async for event in stream.noack().events():
            for slab in event.message.value:
                updater.put(slab)


def _note_assignments(app: SlabApp, health: Health) -> None:
    @app.on_partitions_assigned.connect(weak=False)
    async def note(*_args: Any, **_options: Any) -> None:
        health.assigned = True


def _opening(app: SlabApp, redis: RedisSink, model: InterestModel, publishing: Publishing, heartbeat: Task) -> Task:
    """Redis must answer before this worker joins the group and takes partitions from others. The loop is watched from
    the start: Faust's own tasks begin after recovery only."""

    async def open_redis() -> None:
        app.add_future(heartbeat())
        try:
            await redis.open()
            await publishing.begin()
            await redis.announce(ModelCard(model.version, model.topics, generation=model.generation), wall_clock_ms())
        except StopWorker as error:
            stop_process("start", error)

    return open_redis


def _crash_only(name: str, task: Callable[[], Coroutine[Any, Any, NoReturn]]) -> Task:
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
    """Ends the process when the event loop hangs, or when a cycle that has begun never ends: Kafka's heartbeats come
    from another thread and would go on."""

    def __init__(self, settings: Settings, metrics: WorkerMetrics, updater: Updater) -> None:
        self._metrics, self._health, self._updater = metrics, metrics.health, updater
        self._stall_s = settings.cycle.stall_s
        # All that a cycle may wait for one after the other, each of which gives up by itself.
        self._cycle_s = settings.cycle.stall_s + settings.redis.give_up_s + settings.flush.timeout_s
        self._loop_thread = 0

    async def beat_forever(self) -> NoReturn:
        self._loop_thread = threading.get_ident()
        self._health.beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        while True:
            before = time.monotonic()
            await asyncio.sleep(HEARTBEAT_S)
            self._health.beat()
            self._metrics.loop_lag.observe(max(0.0, time.monotonic() - before - HEARTBEAT_S))

    def _watch(self) -> None:
        while True:
            time.sleep(self._stall_s / 10)
            fault = self._fault()
            if fault:
                stop_process("watchdog", StopWorker(fault))

    def _fault(self) -> str | None:
        beat_age_s, commit_age_s = self._health.beat_age_s(), self._health.commit_age_s()
        if beat_age_s > self._stall_s:
            stack = traceback.format_stack(sys._current_frames()[self._loop_thread])
            return f"the event loop has not turned for {beat_age_s:.0f} s; it is in\n{''.join(stack[-STACK_FRAMES:])}"
        if commit_age_s > self._cycle_s:
            return f"events applied {commit_age_s:.0f} s ago are not durable yet: {self._updater.standing}"
        return None


def _settle_interpreter() -> None:
    """What is alive now stays for good, so the collector need not look at it again (a full collection takes 100 ms
    with TensorFlow loaded). It rarely needs to look at the rest: events in flight are many, and hold no cycles. And the
    consumer's thread waits at most a millisecond for the interpreter, not five."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    sys.setswitchinterval(0.001)


def _catalogue(settings: Settings, model: InterestModel, metrics: WorkerMetrics) -> Catalogue:
    """With all that was told so far; what a worker writes depends on it."""
    try:
        return Catalogue.follow(settings, model, metrics)
    except (KafkaUnreachableError, KafkaError) as error:
        where = settings.kafka.bootstrap
        stop_process("start", StopWorker(f"no Kafka answers at {where} any more, where the catalogue is read: {error}"))


def run_worker(settings: Settings, model: InterestModel) -> NoReturn:
    """Serve until SIGTERM or SIGINT (then exit status 0), or until a fault (70)."""
    use_event_loop("uvloop")  # a third less CPU an event than asyncio's own (measured)
    metrics = WorkerMetrics(settings.health)
    metrics.show_model(model.version, model.generation, model.made_at_ms)
    if settings.traces.endpoint:
        metrics.traces = SentTraces(settings.traces, process_name(), model.generation)
    port = metrics.serve(settings.metrics)
    log.info("metrics and health are served", url=f"http://{settings.metrics.host}:{port}/metrics")
    log.info("warming up", model=model.version)
    rehearse(settings, model)
    metrics.health.warm = True
    catalogue = _catalogue(settings, model, metrics)
    _settle_interpreter()
    stop_when_refused()
    app = build_app(settings, model, metrics, catalogue)
    log.info("starting", kafka=settings.kafka.bootstrap, group=settings.kafka.consumer_group, model=model.version)
    # What it would draw between the lines of the log is for a terminal.
    worker = faust.Worker(app, override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None
    try:
        worker.execute_from_commandline()  # which exits
    finally:
        metrics.traces.close()
    sys.stdout.flush()
    os._exit(0)
