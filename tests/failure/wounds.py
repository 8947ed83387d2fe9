"""What is done to a worker from inside: fail-points, protections taken out, faults planted.

Everything is put in from here, by wrapping methods before the worker starts; the product has no code for it. A worker
that is started by `nursery.py` reads its wounds from the variable `WOUNDS`, a JSON list:

    {"kill": "after KafkaChangelog.write", "at": 3}     kill -9 at the third crossing of a step's boundary
    {"linger": "Updater._snapshot", "seconds": 3}       it takes its time each time it comes to a step
    {"hold": "SlabRecovery.take", "while": FILE}        it is held before that step while the file is there
    {"hoard": 600, "while": FILE}                       it holds so many MB while the file is there
    {"control": "ack-before-flush"}                     a protection is taken out: the suite must notice
    {"plant": "tensorflow-gives-nan", "when": FILE}     its code goes wrong once the file is there (`plants.py`)
"""

import asyncio
import functools
import importlib
import inspect
import json
import mmap
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from tests.failure.plants import plant

VARIABLE = "WOUNDS"

STEPS: Mapping[str, str] = {
    # a cycle
    "Updater._decode": "stream_app.updater",
    "Updater._advance": "stream_app.updater",
    "Refresher.refresh": "stream_app.refresh",
    "RedisSink.write": "stream_app.sinks.redis",
    "RedisSink._round_trip": "stream_app.sinks.redis",
    "KafkaRecommendations.publish": "stream_app.sinks.recommendations",
    # a flush
    "Updater._snapshot": "stream_app.updater",
    "Updater._effects_through": "stream_app.updater",
    "KafkaChangelog.write": "stream_app.sinks.changelog",
    "SlabConsumer.done": "stream_app.faust_slab.transport",
    "SlabConsumer._commit": "stream_app.faust_slab.transport",
    # a rebalance
    "SlabConsumer.wait_empty": "stream_app.faust_slab.transport",
    "SlabRecovery.take": "stream_app.faust_slab.recovery",
    "SlabTable.on_recovery_completed": "stream_app.faust_slab.table",
    "SlabConsumer.perform_seek": "stream_app.faust_slab.transport",
}
"""Step -> its module. Its boundaries are `before STEP` and `after STEP`."""

DELAYED: Mapping[str, str] = {
    "SlabRecovery._build_offsets": "stream_app.faust_slab.recovery",
    "SlabRecovery._seek_offsets": "stream_app.faust_slab.recovery",
    "SlabRecovery.on_recovery_completed": "stream_app.faust_slab.recovery",
    "SlabRecovery._let_sources_in": "stream_app.faust_slab.recovery",
    "SlabConsumerThread.on_start": "stream_app.faust_slab.transport",
    "SlabConsumerThread._fetch_records": "stream_app.faust_slab.transport",
}
"""Where a worker may linger or be held, too."""

HELD = "is held before"
RECOVERY_ENDS = "SlabRecovery.on_recovery_completed"
RECOVERY = (
    "SlabRecovery._build_offsets",
    "SlabRecovery._seek_offsets",
    "SlabRecovery.take",
    RECOVERY_ENDS,
    "SlabTable.on_recovery_completed",
    "SlabConsumer.perform_seek",
    "SlabRecovery._let_sources_in",
)
"""Steps of a recovery, in order."""

REVOCATION = "SlabConsumer.wait_empty"
RARE = frozenset(
    step for step in STEPS if step.startswith("Slab") and step not in ("SlabConsumer.done", "SlabConsumer._commit")
)
"""Steps that are taken at a rebalance only."""

AT_WORK = tuple(step for step in STEPS if step not in RARE and step != "SlabConsumer.done")
"""Steps of a cycle and a flush at which a worker may be held."""

POINTS = tuple(f"{side} {step}" for step in STEPS for side in ("before", "after"))

Wound = Mapping[str, Any]


def environment(wounds: Sequence[Wound]) -> dict[str, str]:
    """The variable that gives a worker these wounds."""
    return {VARIABLE: json.dumps(list(wounds))}


def inflict() -> None:
    """Wound this process as its environment says. Raises ValueError for a wound that is not known."""
    for wound in json.loads(os.environ.get(VARIABLE, "[]")):
        if "kill" in wound:
            _kill_at(wound["kill"], wound["at"])
        elif "linger" in wound:
            _delay(wound["linger"], "lingers in", partial(asyncio.sleep, wound["seconds"]))
        elif "hold" in wound:
            file = Path(wound["while"])
            _delay(wound["hold"], HELD, partial(_until_gone, file), file.exists)
        elif "hoard" in wound:
            hoarding = partial(_hoard, wound["hoard"] * 10**6, Path(wound["while"]))
            threading.Thread(target=hoarding, name="hoard", daemon=True).start()
        elif wound.get("control") in CONTROLS:
            CONTROLS[wound["control"]]()
        elif "plant" in wound:
            plant(wound["plant"], Path(wound["when"]))
        else:
            raise ValueError(f"no such wound: {wound}")


# -- fail-points


def _kill_at(point: str, at: int) -> None:
    side, step = point.split(" ")
    crossings = 0

    def cross() -> None:
        nonlocal crossings
        crossings += 1
        if crossings == at:
            os.kill(os.getpid(), signal.SIGKILL)

    before, after = (cross, _pass) if side == "before" else (_pass, cross)
    _wrap(step, before, after)


def _pass() -> None:
    """The side of a step that is not hit."""


def _wrap(step: str, before: Callable[[], None], after: Callable[[], None]) -> None:
    owner = _owner(step)
    name = step.split(".")[1]
    original = getattr(owner, name)
    if inspect.iscoroutinefunction(original):

        @functools.wraps(original)
        async def waited(*args: Any, **kwargs: Any) -> Any:
            before()
            result = await original(*args, **kwargs)
            after()
            return result

        setattr(owner, name, waited)
    else:

        @functools.wraps(original)
        def called(*args: Any, **kwargs: Any) -> Any:
            before()
            result = original(*args, **kwargs)
            after()
            return result

        setattr(owner, name, called)


def _delay(step: str, told: str, wait: Callable[[], Awaitable[None]], due: Callable[[], bool] = lambda: True) -> None:
    """Wait before each crossing of a step while that is due, and everything else goes on; the first time, tell the
    log."""
    owner, name = _owner(step), step.split(".")[1]
    original = getattr(owner, name)
    waited: list[bool] = []

    @functools.wraps(original)
    async def slow(*args: Any, **kwargs: Any) -> Any:
        if due():
            if not waited:
                waited.append(True)
                sys.stderr.write(f"{told} {step}\n")
            await wait()
        return await original(*args, **kwargs)

    setattr(owner, name, slow)


async def _until_gone(file: Path) -> None:
    while file.exists():  # noqa: ASYNC110, ASYNC240  # a file has no event to wait for
        await asyncio.sleep(0.02)


def _hoard(size: int, file: Path) -> NoReturn:
    """Hold memory, all of it in use, whenever the file is there."""
    while True:
        if file.exists():
            with mmap.mmap(-1, size) as held:
                held[:: mmap.PAGESIZE] = bytes(-(-size // mmap.PAGESIZE))  # a page that nobody has touched takes none
                while file.exists():
                    time.sleep(0.1)
        time.sleep(0.1)


def _owner(step: str) -> Any:
    return getattr(importlib.import_module({**STEPS, **DELAYED}[step]), step.split(".")[0])


# -- controls: one protection less


def _stock_recovery() -> None:
    """After recovery all goes as Faust has it, order, seek and polling, and nobody notices missing records."""
    from faust.tables.recovery import Recovery
    from faust.transport.drivers import aiokafka as driver

    from stream_app.faust_slab import account, app, recovery, transport

    settings = app.faust_settings
    app.faust_settings = lambda given: {**settings(given), "consumer_auto_offset_reset": "earliest"}
    consumer = transport.SlabConsumer
    del consumer._getmany

    in_order, under_way = recovery.SlabRecovery.take, set()

    async def take(self: Any, *args: Any) -> None:
        # Faust restores what comes out of a queue: the next poll is under way by then.
        task = asyncio.create_task(in_order(self, *args))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    async def on_recovery_completed(self: Any, generation_id: int = 0) -> None:
        read_to = {tp.partition: self.active_offsets[tp] + 1 for tp in self.active_tps}
        self.app.engine.restored(read_to, generation_id)
        await Recovery.on_recovery_completed(self, generation_id)

    async def perform_seek(self: Any) -> None:
        await driver.Consumer.perform_seek(self)
        offsets = {tp: self._committed_offset[tp] or 0 for tp in self.assignment() if not self._is_changelog_tp(tp)}
        self._account.restart(offsets)

    def accept(self: Any, tp: Any, fetched: Any) -> Any:
        expected = self._next.get(tp, 0)
        self._delivered.setdefault(tp, deque())
        self._next[tp] = max(expected, fetched.end)
        return [record for record in fetched.records if record.offset >= expected]

    recovery.SlabRecovery.take = take
    recovery.SlabRecovery.on_recovery_completed = on_recovery_completed
    consumer.perform_seek = perform_seek
    account.Account.accept = accept


def _ack_before_flush() -> None:
    """Slabs are done as soon as they are applied: their offsets may be committed before the changelog has them."""
    from stream_app.updater import Updater

    original = Updater._apply

    async def apply(self: Any, slabs: Any) -> None:
        await original(self, slabs)
        self._source.done(slabs)

    Updater._apply = apply


def _no_offset_guard() -> None:
    """The offsets in the states are not looked at: what is delivered again is applied again."""
    from stream_app.updater import Updater

    original = Updater._advance

    async def advance(self: Any, partition: int, batch: Any) -> None:
        self.states[partition].records["next_offset"] = 0
        await original(self, partition, batch)

    Updater._advance = advance


CONTROLS: Mapping[str, Callable[[], None]] = {
    "stock-recovery": _stock_recovery,
    "ack-before-flush": _ack_before_flush,
    "no-offset-guard": _no_offset_guard,
}
"""Protections that can be taken out; `make chaos ARGS="--control NAME"` must then fail."""

EXPOSED: Mapping[str, Sequence[Wound]] = {"ack-before-flush": [{"linger": "KafkaChangelog.write", "seconds": 0.5}]}
"""What a control is given beside, so that its harm is no race that a run may miss."""
