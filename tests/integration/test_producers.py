"""What producers send, through a real Kafka and a real worker: CloudEvents as their SDK writes them, and whether
`interest check-events` says of bad events what the worker says."""

import json
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from stream_app.cli import app
from stream_app.contracts.reasons import Reason
from stream_app.local import LocalKafka
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.letters import letter_of
from tests.failure.nursery import Nursery
from tests.failure.poison import Poisoner, poisons
from tests.failure.service import Neighbour, new_user, now_ms, wait_for

pytestmark = pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")

PARTITIONS = 3


@pytest.fixture(scope="module")
def worker(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Member]:
    folder = tmp_path_factory.mktemp("producers")
    url = redis_url.removesuffix("0") + "12"
    settings = member_settings(
        kafka.bootstrap, url, catalogue_model(folder / "models", 40), unique("producers"), folder, PARTITIONS
    )
    make_topics(settings)
    with Member(settings, folder / "worker.log", nursery) as member:
        member.wait_ready()
        yield member


@pytest.fixture(scope="module")
def service(worker: Member) -> Iterator[Neighbour]:
    neighbour = Neighbour(worker.settings)
    yield neighbour
    neighbour.close()


def send_enveloped(service: Neighbour, mode: str, kind: str, attributes: dict[str, Any], data: dict[str, Any]) -> None:
    """As CloudEvents' own SDK binds an event to Kafka."""
    from cloudevents.core.bindings.kafka import to_binary, to_structured
    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    base = {"source": "/shop", "specversion": "1.0", "datacontenttype": "application/json"}
    event = CloudEvent(attributes={**base, **attributes}, data=data)
    write = {"binary": to_binary, "structured": to_structured}[mode]
    message = write(event, JSONFormat(), key_mapper=lambda _: attributes.get("subject") or data["user_id"])
    key = message.key.encode() if isinstance(message.key, str) else message.key
    service.send_raw(kind, key, message.value, headers=list(message.headers.items()))


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_a_cloud_event_counts_as_the_plain_event_does(service: Neighbour, mode: str) -> None:
    plain, enveloped, now = new_user(), new_user(), now_ms() // 1000 * 1000
    attributes = {"time": datetime.fromtimestamp(now / 1000, UTC), "subject": enveloped}
    click, rating = {"item_id": "i1", "dwell_ms": 1500}, {"item_id": "i2", "rating": 4}
    service.send("click", plain, ts=now, **click)
    service.send("rating", plain, ts=now, **rating)
    send_enveloped(service, mode, "click", {**attributes, "id": uuid.uuid4().hex, "type": "interest.click.v1"}, click)
    send_enveloped(service, mode, "rating", {**attributes, "id": uuid.uuid4().hex, "type": "com.shop.rated"}, rating)
    expected, found = service.events_of(plain, 2), service.events_of(enveloped, 2)
    assert (found.event_ts_ms, found.windows) == (now, expected.windows)
    assert found.topics == expected.topics
    np.testing.assert_array_equal(found.vector, expected.vector)


def test_a_retry_in_another_mode_counts_once(service: Neighbour) -> None:
    user, now = new_user(), now_ms()
    sent = service.send("click", user, event_id="the same", ts=now)
    for mode in ("binary", "structured"):
        attributes = {"id": "the same", "subject": user, "type": "clicked"}
        send_enveloped(service, mode, "click", attributes, {"item_id": sent["item_id"], "ts": now})
        send_enveloped(service, mode, "click", {"id": "another", "type": "clicked"}, sent)
    service.send("click", user, item_id="i2")
    interest = service.events_of(user, 2)
    assert (interest.version, interest.windows["1h"].clicks) == (6, 2)


def test_an_erasure_may_be_all_envelope(service: Neighbour) -> None:
    user = new_user()
    service.send("click", user, ts=now_ms() - 60_000)
    service.events_of(user, 1)
    attributes = {"id": "forget", "subject": user, "type": "interest.erasure.v1", "time": datetime.now(UTC)}
    send_enveloped(service, "binary", "erasure", attributes, {})
    service.flush()
    wait_for("erasure", lambda: service.reader.get(user) is None or None)


def test_bad_envelopes_are_dead_lettered_as_they_came(service: Neighbour) -> None:
    user = new_user()
    before = len(service.dead_letters())
    send_enveloped(service, "structured", "click", {"id": "1", "type": "interest.rating.v1", "subject": user}, {})
    service.send_raw("click", user.encode(), b"[]", headers=[("content-type", b"application/cloudevents-batch+json")])
    service.until_committed()
    letters = wait_for("letters", lambda: service.dead_letters()[before:] or None)
    assert sorted((letter.value() or b"")[:2] for letter in letters) == [b"[]", b'{"']
    for letter in letters:
        assert letter_of(letter).said["reason"] == Reason.BAD_ENVELOPE
        assert (letter.headers() or [])[0][0] == "content-type"


def test_the_check_says_of_every_record_what_the_worker_says(worker: Member, service: Neighbour) -> None:
    poisoner = Poisoner(worker.settings.kafka)
    for one in poisons(random.Random(5), PARTITIONS):
        poisoner.send(one)
    poisoner.finish()
    user = new_user()
    for kind in ("click", "follow", "rating", "erasure"):
        service.send(kind, user)
        send_enveloped(service, "binary", kind, {"id": "x", "type": "of.mine", "subject": user}, {"ts": "no"})
    service.until_committed()
    said = {one.place: (one.said["reason"], one.said["error"]) for one in map(letter_of, service.dead_letters())}
    found: dict[Any, Any] = {}
    events = 0
    for topic in worker.settings.kafka.topics.inputs:
        errors, summary = checked(worker, topic)
        found |= errors
        events += summary["events"]
    assert len(said) > 100
    assert _undated(found) == _undated(said)
    assert events == sum(
        end for (topic, _), end in _ends(worker).items() if topic in worker.settings.kafka.topics.inputs
    )
    assert {reason for reason, _ in said.values()} == set(Reason)


def test_the_last_records_and_a_few_are_a_part(worker: Member) -> None:
    clicks = worker.settings.kafka.topics.clicks
    assert checked(worker, clicks, "--last", str(3 * PARTITIONS))[1]["events"] == 3 * PARTITIONS
    assert checked(worker, clicks, "--max", "4")[1]["events"] == 4


def checked(worker: Member, topic: str, *options: str) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Place -> reason and message of the errors; and the summary."""
    kafka = worker.settings.kafka
    kind = dict(zip(kafka.topics.inputs, ("click", "follow", "rating", "erasure"), strict=True))[topic]
    arguments = ["check-events", topic, "--kafka", kafka.bootstrap, "--kind", kind, "--json", *options]
    done = CliRunner().invoke(app, arguments)
    *findings, summary = map(json.loads, done.output.splitlines())
    assert done.exit_code == (1 if summary["summary"]["bad"] else 0)
    errors = [one for one in findings if one["severity"] == "error"]
    return {_place(one["where"]): (one["reason"], one["message"]) for one in errors}, summary["summary"]


def _place(where: str) -> tuple[str, int, int]:
    topic, _, rest = where.partition("[")
    partition, _, offset = rest.partition("] offset ")
    return topic, int(partition), int(offset)


def _undated(found: Mapping[Any, tuple[str, str]]) -> dict[Any, Any]:
    """How far ahead a time is changes with the clock."""
    return {
        place: (reason, "" if reason == Reason.TS_IN_FUTURE else message[:1_000])
        for place, (reason, message) in found.items()
    }


def _ends(worker: Member) -> Mapping[tuple[str, int], int]:
    from tests.bench.ground import Broker

    return Broker(worker.settings.kafka.bootstrap).ends(list(worker.settings.kafka.topics.inputs))
