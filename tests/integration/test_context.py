"""When and where users click, between a real worker, Kafka and Redis, through a kill -9."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from model_store.model import InterestModel
from model_store.state.advance import advance
from model_store.state.arena import Arena
from model_store.state.batch import EventBatch
from model_store.state.context import region_bins
from model_store.state.hashing import hash_ids
from model_store.state.layout import DIM, Kind
from model_store.training.evaluate import outputs_of
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import catalogue_model, current_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.service import Neighbour, new_user

# `tests/contract` tries the sinks on both servers; the worker is the same on both.
pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

ITEMS = [f"i{number}" for number in range(1, 9)]
MONDAY = (datetime.now(UTC) - timedelta(days=28)).replace(hour=0, minute=0, second=0, microsecond=0)
Click = tuple[str, int, str | None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("context")


@pytest.fixture(scope="module")
def model(folder: Path) -> InterestModel:
    return current_model(catalogue_model(folder / "models", 40, context=True), folder / "loaded")


@pytest.fixture(scope="module")
def member(kafka: LocalKafka, redis_url: str, folder: Path, model: InterestModel) -> Iterator[Member]:
    assert model.decays.keeps_context
    url = redis_url.removesuffix("0") + "6"
    settings = member_settings(kafka.bootstrap, url, str(folder / "models"), unique("context"), folder)
    make_topics(settings)
    with Member(settings, folder / "worker.log") as worker:
        worker.wait_ready()
        yield worker


def clicks(hour: int, region: str | None) -> list[Click]:
    """One click a day at that hour."""
    days = (MONDAY + timedelta(days=day, hours=hour) for day in range(len(ITEMS)))
    return [(item, int(day.timestamp() * 1000), region) for item, day in zip(ITEMS, days, strict=True)]


def in_memory(model: InterestModel, done: list[Click]) -> np.ndarray:
    """float32 [DIM]: the vector after these clicks."""
    arena, count = Arena(), len(done)
    batch = EventBatch(
        keys=[b"u"] * count,
        kind=np.full(count, Kind.CLICK, np.int8),
        offset=np.arange(count),
        ts_ms=np.array([ts_ms for _, ts_ms, _ in done]),
        event=np.arange(1, count + 1).astype(np.uint64),
        item=hash_ids([item for item, _, _ in done]).hash,
        value=np.zeros(count, np.float32),
        region=np.array([region_bins([region])[0] if region else 0 for _, _, region in done], np.uint8),
        event_ids=[""] * count,
    )
    advance(arena, arena.rows_of(batch.keys), batch, model.writes, model.decays)
    return outputs_of(model, arena.records, np.zeros(1, np.int64))[0, :DIM]


@pytest.fixture
def service(member: Member) -> Iterator[Neighbour]:
    neighbour = Neighbour(member.settings)
    yield neighbour
    neighbour.close()


def test_hours_and_regions_reach_the_vector_and_survive_a_kill(
    member: Member, model: InterestModel, service: Neighbour
) -> None:
    assert len(set(region_bins(["north", "east"]).tolist())) == 2  # of eight
    done = {new_user(): clicks(*of) for of in ((8, None), (20, None), (8, "north"), (8, "east"))}
    for half in (slice(None, 4), slice(4, None)):
        for user, all_of_them in done.items():
            for item, ts_ms, region in all_of_them[half]:
                service.send("click", user, item_id=item, ts=ts_ms, **({"region": region} if region else {}))
        for user in done:
            service.events_of(user, half.stop or len(ITEMS))
        service.until_committed()
        member.kill()
        member.start()
        member.wait_ready()
    vectors = [service.reader.get(user).vector for user in done]
    for vector, all_of_them in zip(vectors, done.values(), strict=True):
        np.testing.assert_allclose(vector, in_memory(model, all_of_them), atol=1e-5)
    apart = [np.abs(one - vectors[0]).max() for one in vectors[1:]]
    assert min(apart) > 1e-3, "hour and region say nothing"
    assert np.abs(vectors[2] - vectors[3]).max() > 1e-3
