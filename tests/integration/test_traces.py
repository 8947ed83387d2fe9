"""Spans of a real worker, read back out of what a collector receives: OTLP over HTTP, decoded by its own schema."""

import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from stream_app.local import LocalKafka
from stream_app.local.server import free_port
from stream_app.settings import Settings
from tests.bench.ground import unique
from tests.bench.model import catalogue_model
from tests.failure.crew import Member, make_topics, member_settings
from tests.failure.nursery import Nursery
from tests.failure.service import Neighbour, new_user, wait_for

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ALWAYS = {"decode", "advance", "readout", "redis", "publish"}


class Collector:
    """Takes what is sent to `/v1/traces`."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(body)
                self.send_response(200)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the tests' output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def take(self, body: bytes) -> None:
        self.raw.append(body)
        for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(_attributes(of_resource.resource))
            for of_scope in of_resource.scope_spans:
                self.spans += of_scope.spans

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def settings_with(kafka: LocalKafka, redis_url: str, folder: Path, endpoint: str, share: float = 1.0) -> Settings:
    store = catalogue_model(folder / "models", 40)
    settings = member_settings(
        kafka.bootstrap, redis_url, store, unique("traces"), folder, 2,
        traces={"endpoint": endpoint, "share": share},
    )  # fmt: skip
    make_topics(settings)
    return settings


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")
def test_a_cycle_and_its_stages_arrive_with_links_and_no_user(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path, collector: Collector
) -> None:
    settings, user = settings_with(kafka, redis_url, tmp_path, collector.endpoint), new_user()
    service = Neighbour(settings)
    with Member(settings, tmp_path / "worker.log", nursery) as member:
        member.wait_ready()
        body = b'{"event_id": "e-1", "user_id": "%s", "item_id": "i1", "ts": 1}' % user.encode()
        for header in (f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00", "nonsense"):
            service.send_raw("click", user.encode(), body, headers=[("traceparent", header.encode())])
        service.events_of(user, 1)
        service.send_raw("click", user.encode(), b"no event")
        service.until_committed()
        assert member.terminate() == 0  # what is left is sent at the end

    by_id = {span.span_id: span for span in collector.spans}
    cycles = [span for span in collector.spans if span.name == "cycle"]
    assert cycles
    children: dict[bytes, set[str]] = defaultdict(set)
    for span in collector.spans:
        if span.parent_span_id:
            parent = by_id[span.parent_span_id]
            children[parent.span_id].add(span.name)
            assert span.trace_id == parent.trace_id
            assert span.start_time_unix_nano <= span.end_time_unix_nano <= parent.end_time_unix_nano
    whole = [cycle for cycle in cycles if children[cycle.span_id] >= ALWAYS]
    assert whole
    assert {"interest.events", "interest.slabs", "interest.partitions", "interest.refreshed_users"} == set(
        _attributes(whole[0])
    )
    assert sum(_attributes(cycle)["interest.events"] for cycle in cycles) == 4
    assert any("dead_letter" in children[cycle.span_id] for cycle in cycles)
    links = [(link.trace_id.hex(), link.span_id.hex()) for cycle in cycles for link in cycle.links]
    assert links == [(TRACE, PARENT)]
    flushes = [span for span in collector.spans if span.name == "flush"]
    assert any("changelog" in children[flush.span_id] for flush in flushes)
    assert {link.span_id for flush in flushes for link in flush.links} == {cycle.span_id for cycle in cycles}
    assert collector.resources[0]["service.name"] == "interest-worker"
    assert not any(user.encode() in body for body in collector.raw)


@pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session")
def test_a_collector_that_is_away_stops_nothing(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path: Path
) -> None:
    settings, user = settings_with(kafka, redis_url, tmp_path, f"http://127.0.0.1:{free_port()}/v1/traces"), new_user()
    service = Neighbour(settings)
    with Member(settings, tmp_path / "worker.log", nursery) as member:
        member.wait_ready()
        for number in range(1, 201):
            service.send("click", user, item_id=f"i{number % 40}")
            if number % 20 == 0:
                service.events_of(user, number)
        wait_for("a word on it", lambda: "opentelemetry" in member.log_text() or None)
        service.until_committed()
        assert member.terminate() == 0
    assert member.log_text().count("opentelemetry") < 20
    assert user not in member.log_text()
