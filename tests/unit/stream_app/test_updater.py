"""What the updater counts, on a world without Kafka and Redis."""

from model_store.model import InterestModel
from tests.failure.test_races import NOW_MS, model, record, run, running, slab, until, user_in

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
