"""Everything at once, as it is deployed: a worker, a trainer, a catalogue service, the pages, and what they are sent.

Processes are real commands on servers that are given. `busy` sends events of every kind, bad ones among them, items and
requests to the pages, until the end of its block.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from confluent_kafka import Producer

from model_store.catalog.encoders.hashing import HashingEncoder
from model_store.encoder.runtime import use_threads
from model_store.model import ModelParts, export
from model_store.registry import ModelRegistry
from model_store.state.content import ItemContent
from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from stream_app.settings import Settings, environment
from tests.bench.ground import unique
from tests.bench.model import TOPICS, VERSION, _parts
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, now_ms, wait_for
from tests.fake_openai import FakeOpenAI, annotation

USERS, ITEMS, NEW_ITEMS = 300, 60, 2_000
DAY_MS = 86_400_000
START_S = 120.0
TICK_S = 0.05
EVENTS_A_TICK = 8
HELD_BACK_MS = 1_500
KNOWS_TOPICS = annotation(topics=[{"name": TOPICS[1], "weight": 1.0}])
"""Answers as a good model would, of the topics that there are."""
PLENTY = {f"{what}_per_{time}": 10**9 for what in ("requests", "tokens") for time in ("hour", "day")}
OTHERS = ("trainer", "catalog", "web")
QUICK = {
    "trainer": {
        "publish_interval_s": 2.0, "snapshot_interval_s": 5.0, "learn_interval_s": 0.2, "held_out_share": 0.2,
        "held_out_enough": 5, "round_clicks": 20, "keep_versions": 3,
    },
    "models": {"poll_s": 0.5},
}  # fmt: skip


def model_parts() -> ModelParts:
    """Of a model whose content is what the catalogue service's own encoder reads."""
    parts, encoder = _parts(ITEMS, 1), HashingEncoder()
    content = ItemContent.encoded(encoder.name, encoder.encode(parts.index.titles))
    return replace(parts, writes=replace(parts.writes, content=content.coordinates, space=content.space))


def reading_model(store: Path) -> str:
    """Publishes and promotes such a model; returns the store's URL."""
    use_threads(1)
    registry, folder = ModelRegistry(str(store)), store.with_name("export")
    export(model_parts(), folder, VERSION)
    registry.publish(folder, VERSION)
    registry.promote(VERSION)
    return str(store)


@dataclass
class Scene:
    """`others`: name of a command -> its process. `language_model`: what annotates and words."""

    settings: Settings
    folder: Path
    nursery: Nursery
    language_model: FakeOpenAI
    ports: Mapping[str, int] = field(default_factory=lambda: {name: free_port() for name in OTHERS})
    others: dict[str, LeashedProcess] = field(default_factory=dict)
    workers: list[Member] = field(default_factory=list)

    @classmethod
    def on(
        cls, bootstrap: str, redis_url: str, folder: Path, nursery: Nursery, model: FakeOpenAI, **sections: Any
    ) -> Self:
        """A scene with topics and a model of its own. `sections` change settings."""
        where = {"base_url": model.url, "model": "m", "api_key": "secret", "attempts": 1, "timeout_s": 2.0, **PLENTY}
        quick = {name: {**QUICK.get(name, {}), **sections.pop(name, {})} for name in {*QUICK, *sections}}
        made = member_settings(
            bootstrap, redis_url, reading_model(folder / "models"), unique("scene"), folder,
            catalog={"annotator": where}, words=where, **quick,
        )  # fmt: skip
        make_topics(made)
        scene = cls(made, folder, nursery, model)
        scene.workers.append(Member(made, folder / "worker.log", nursery))
        return scene

    @property
    def targets(self) -> dict[str, list[str]]:
        """As Prometheus is to be told."""
        worker = [f"127.0.0.1:{member.settings.metrics.port}" for member in self.workers]
        return {"interest-worker": worker, **{f"interest-{name}": [f"127.0.0.1:{self.ports[name]}"] for name in OTHERS}}

    def start(self, name: str, **variables: str) -> None:
        """One of the other commands; returns at once."""
        port = ["--port" if name == "web" else "--metrics-port", str(self.ports[name])]
        command = [sys.executable, "-m", "stream_app", name, *port]
        env = environment(self.settings, os.environ) | variables
        self.others[name] = LeashedProcess(command, self.folder / f"{name}.log", env)

    def answers(self, name: str) -> bool:
        """Whether it is at work. Raises RuntimeError with the end of its log once it has ended."""
        process = self.others[name]
        if process.exit_code() is not None:
            raise RuntimeError(f"{name} ended with {process.exit_code()}:\n{process.log_tail(30)}")
        try:
            with urlopen(f"http://127.0.0.1:{self.ports[name]}/healthz", timeout=5):
                return True
        except OSError:
            return False

    def wait_ready(self) -> None:
        for member in self.workers:
            member.wait_ready()
        for name in self.others:
            wait_for(f"{name} to answer", lambda name=name: self.answers(name) or None, START_S)

    @contextmanager
    def open(self) -> Iterator[Self]:
        """Everything runs and is ready."""
        with ExitStack() as stack:
            stack.callback(self.close)
            for name in OTHERS:
                self.start(name)
            for member in self.workers:
                member.start()
            self.wait_ready()
            yield self

    def close(self) -> None:
        """Nobody waits for an end in order here."""
        for process in self.others.values():
            process.kill()
        for member in self.workers:
            with suppress(AttributeError):  # it was never started
                member.kill()

    @contextmanager
    def busy(self) -> Iterator["Traffic"]:
        """Traffic, until the end of the block."""
        traffic = Traffic(self)
        thread = threading.Thread(target=traffic.flow, name="traffic", daemon=True)
        thread.start()
        try:
            yield traffic
        finally:
            traffic.over.set()
            thread.join(60)
            traffic.close()
        if traffic.error is not None:
            raise traffic.error


class Traffic:
    """Events, items and requests. `bad`: how many events of a tick are bad; `holds_back`: whether at every third tick a
    click is sent that was made `HELD_BACK_MS` before."""

    def __init__(self, scene: Scene) -> None:
        self.over, self.error = threading.Event(), None
        self.bad, self.holds_back = 0, False
        self._scene, self._events = scene, Neighbour(scene.settings)
        self._producer = Producer(
            {"bootstrap.servers": scene.settings.kafka.bootstrap, "partitioner": "murmur2_random", "log_level": 2}
        )
        self._ticks = itertools.count()
        self.error: BaseException | None = None
        self.new_items = True

    def flow(self) -> None:
        try:
            while not self.over.wait(TICK_S):
                self._tick(next(self._ticks))
        except BaseException as error:
            self.error = error

    def close(self) -> None:
        self._events.close()
        self._producer.flush(5)

    def _tick(self, number: int) -> None:
        for place in range(EVENTS_A_TICK):
            user = f"u{(number * EVENTS_A_TICK + place) % USERS}"
            self._events.send(
                "click", user, item_id=f"i{number * place % (place * place + 3)}", event_id=f"{number}-{place}"
            )
        for place in range(self.bad):
            self._events.send_raw("click", f"u{place}".encode(), b"{")
        if self.holds_back and number % 3 == 0:
            self._send_late(f"u{number % USERS}", f"late-{number}")
        if number % 10 == 0:
            self._seldom(number // 10)

    def _send_late(self, user: str, event_id: str) -> None:
        made_ms = now_ms() - HELD_BACK_MS
        click = {"event_id": event_id, "user_id": user, "ts": made_ms, "item_id": "i1"}
        self._producer.produce(self._scene.settings.kafka.topics.clicks, json.dumps(click), user, timestamp=made_ms)
        self._producer.poll(0)

    def _seldom(self, number: int) -> None:
        """Twice a second, one of each."""
        user, send = f"u{number % USERS}", self._events.send
        send("rating", user, item_id=f"i{number % ITEMS}", rating=4)
        send("follow", user, target_id=f"u{(number + 7) % USERS}", target_type="user")
        for _ in range(2):
            send("click", user, item_id="i1", event_id=f"twice-{number}")
        send("click", user, item_id="i2", ts=now_ms() - 40 * DAY_MS)
        if number % 20 == 0:
            self._events.send_raw("click", user.encode(), b"{")
            send("erasure", f"u{USERS - 1}")
        if self.new_items:
            item = f"n{number % NEW_ITEMS}"
            text = b'{"item_id": "%s", "title": "Item %d", "tags": ["topic 1"]}' % (item.encode(), number)
            self._producer.produce(self._scene.settings.kafka.topics.items, text, item)
            self._producer.poll(0)
        with suppress(OSError):
            self._look_at(user)

    def _look_at(self, user: str) -> None:
        """At the explanation of a user, as a browser does."""
        url = f"http://127.0.0.1:{self._scene.ports['web']}/users/{user}/explanation"
        with urlopen(Request(url), timeout=3) as answer:
            answer.read()


def until(what: str, so: Any, timeout_s: float = 60.0) -> float:
    """Seconds until something is so. Raises TimeoutError."""
    began_s = time.monotonic()
    wait_for(what, lambda: so() or None, timeout_s)
    return time.monotonic() - began_s
