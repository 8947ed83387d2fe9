"""What the updater counts, on a world without Kafka and Redis."""

import threading
from dataclasses import replace
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from model_store.encoder.readout import Readout
from model_store.model import InterestModel
from stream_app.compute import Bench
from stream_app.contracts.errors import StopWorker
from stream_app.updater import Updater
from tests.failure.test_races import NOW_MS, World, model, record, run, running, settled, slab, until, user_in

DAY_MS = 86_400_000

__all__ = ["model"]  # the fixture


def test_an_event_older_than_the_windows_is_counted_and_applied_where_it_still_counts(model: InterestModel) -> None:
    async def story() -> None:
        async with running(model) as (updater, world):
            user = user_in(0)
            updater.put(slab(world, "click", [user], ts=NOW_MS - 30 * DAY_MS))
            updater.put(slab(world, "click", [user], ts=NOW_MS - 30 * DAY_MS - 1))
            await until(lambda: record(updater, user)["events"] == 2)
            late = updater._metrics.registry.get_sample_value("interest_late_events_total", {"kind": "click"})
            assert late == 1
            assert record(updater, user)["rank_weight"].all()

    run(story())


def test_no_id_reaches_a_metric_whatever_it_looks_like(model: InterestModel) -> None:
    """Labels are counted, too: each new one would be kept for as long as the worker lives."""
    hostile = [
        'mallory"} 1\nmallory 2',
        "mallory\0",
        'mallory",kind="x',
        "mallory{}",
        "mallory\\",
        "mallory\u2028\N{FIRE}",
        "mallory" * 100,
        "",
    ]

    async def story() -> None:
        async with running(model, Lenient()) as (updater, world):
            before = await _series_after(updater, world, ["good", "mallory\n"])
            assert await _series_after(updater, world, hostile) == before

    run(story())


async def _series_after(updater: Updater, world: World, users: list[str]) -> set[str]:
    """Names and labels of all series when the users' events have had their effects."""
    registry = updater._metrics.registry

    def counted() -> float:
        each = [{"kind": "click", "outcome": outcome} for outcome in ("applied", "dead_lettered")]
        return sum(registry.get_sample_value("interest_events_total", labels) or 0 for labels in each)

    due = counted() + len(users)
    for user in users:
        updater.put(slab(world, "click", [user.encode()], item=f"{user}'s"))
    await until(lambda: counted() == due)
    await settled(updater)
    text = generate_latest(registry).decode()
    assert "mallory" not in text
    return {line.rpartition(" ")[0] for line in text.splitlines()}


class Lenient(World):
    """Takes any number of bad events, and keeps none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.dead_letters = cast(Any, self)

    def check(self, now_s: float, events: int, rejected: int, latest: Any = ()) -> None: ...

    async def publish(self, rejected: Any) -> None: ...


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_stop_the_worker_before_anything_is_written(
    model: InterestModel, value: float
) -> None:
    world, readout = World(), BrokenReadout(model.readout, value)

    async def story() -> None:
        async with running(replace(model, readout=cast(Any, readout)), world) as (updater, _):
            updater.put(slab(world, "click", [user_in(0)]))
            await until(lambda: readout.asked)

    with pytest.raises(StopWorker, match=rf"model {model.version} gives NaN or infinity for 1 of 1 users"):
        run(story())
    assert (world.redis, world.published, world.logged) == ({}, [], 0)


class BrokenReadout:
    """One weight too many."""

    def __init__(self, readout: Readout, value: float) -> None:
        self._readout, self._value = readout, value
        self.asked = False

    def small(self, rows: Any) -> Any:
        outputs, self.asked = self._readout.small(rows), True
        outputs[0, 3] = self._value
        return outputs


def test_work_that_does_not_come_back_stops_the_worker() -> None:
    over = threading.Event()

    async def story() -> None:
        with pytest.raises(StopWorker, match=r"the readout thread has not come back from .*wait for 0.05 s"):
            await Bench("readout", 0.05).run(False, over.wait, 10.0)
        over.set()

    run(story())


def test_a_worker_is_ready_when_it_has_recovered_and_not_before(model: InterestModel) -> None:
    async def story() -> None:
        async with running(model) as (updater, _):
            registry = updater._metrics.registry
            updater.restored({0: 0}, generation=1)
            assert registry.get_sample_value("interest_ready") == 1
            await updater.drain(fenced=False)
            updater.restore(1, [], 3)
            updater.restoring({1: 5})
            assert registry.get_sample_value("interest_ready") == 0
            assert registry.get_sample_value("interest_restore_remaining_records") == 5
            updater.restored({0: 0, 1: 8}, generation=1)
            assert registry.get_sample_value("interest_ready") == 1
            assert registry.get_sample_value("interest_restore_remaining_records") == 0
            assert registry.get_sample_value("interest_partitions") == 2

    run(story())
