"""What events notice of a language model's endpoint that hangs, or is gone: latency, side by side.

    python -m tests.bench.endpoint_hangs --rounds 3 --json FILE

In each round the same load is measured three times, as `latency.py` does, each time beside a catalogue service that
has items to describe: without a language model; with one whose endpoint takes requests and never answers; and with one
whose endpoint is not there. JSON: `rows`, a line each with `beside`, the medians over the rounds of `p50_ms, p95_ms,
p99_ms`, and `probes`, `lost`, `items` (described by then, by tags where no model answers), `asked` (requests that
reached the endpoint); `rounds`, all of them; `p99_ratio`, of the medians, of each to the first.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.request import urlopen

import msgspec
import numpy as np
import typer

from stream_app.contracts.items import Item
from stream_app.local import LeashedProcess
from stream_app.local.server import free_port
from stream_app.settings import Metrics, Settings, environment
from tests.bench.ground import Ground, ground, unique
from tests.bench.latency import measure
from tests.bench.load import Sender
from tests.bench.model import TOPICS, catalogue_model
from tests.bench.report import run, save, show
from tests.bench.setup import Beside, WorkerSetup
from tests.bench.worker import Scrape
from tests.fake_openai import FakeOpenAI, hanging

NONE, HANGS, GONE = "no model", "a model that hangs", "a model that is gone"
FIGURES = ("p50_ms", "p95_ms", "p99_ms")


class Catalogue:
    """The service in a process of its own, with items enough for the whole measurement."""

    def __init__(self, on: Ground, url: str, items: int) -> None:
        self._on, self._url, self._items = on, url, items
        self.described = 0.0

    @contextmanager
    def __call__(self, settings: Settings) -> Iterator[None]:
        self._publish(settings)
        annotator = settings.catalog.annotator.model_copy(
            update={"base_url": self._url, "model": "any" if self._url else "", "timeout_s": 10.0}
        )
        encoder = settings.catalog.encoder.model_copy(update={"kind": "hashing"})
        told = settings.model_copy(
            update={
                "catalog": settings.catalog.model_copy(update={"annotator": annotator, "encoder": encoder}),
                "metrics": Metrics(port=free_port()),
            }
        )
        log = self._on.folder / f"{settings.kafka.group}-catalog.log"
        process = LeashedProcess([sys.executable, "-m", "stream_app", "catalog"], log, environment(told, os.environ))
        try:
            yield
            with urlopen(f"http://{told.metrics.host}:{told.metrics.port}/metrics", timeout=5) as answer:
                self.described = Scrape(answer.read().decode()).total("interest_catalog_items_total")
        finally:
            process.stop(10)

    def _publish(self, settings: Settings) -> None:
        with Sender(self._on.bootstrap, linger_ms=5) as sender:
            for number in range(self._items):
                item = Item(f"new-{number}", f"Item {number} of many", tags=(TOPICS[number % len(TOPICS)],))
                sender.send(settings.kafka.topics.items, item.item_id.encode(), msgspec.json.encode(item))


def rounds_of(on: Ground, rate: float, seconds: float, items: int, rounds: int) -> Iterator[dict[str, Any]]:
    """One line for each measurement, in the order in which they are made."""
    model = catalogue_model(on.folder / "models", 5_000)

    def measured(name: str, beside: Beside) -> dict[str, Any]:
        figures = measure(on, WorkerSetup(unique("hangs"), model, 4, 20_000, 5_000, 0.0), rate, seconds, beside)
        on.empty_redis()
        return {"beside": name, **{key: figures[key] for key in (*FIGURES, "probes", "lost")}}

    for number in range(rounds):
        # Each is first, second and third as often as the others.
        for name in np.roll([NONE, HANGS, GONE], number).tolist():
            yield with_endpoint(name, lambda beside, name=name: measured(name, beside), on, items)


def with_endpoint(name: str, measured: Callable[[Beside], dict[str, Any]], on: Ground, items: int) -> dict[str, Any]:
    """A measurement beside what `name` says."""
    with ExitStack() as stack:
        server = stack.enter_context(FakeOpenAI(usual=hanging)) if name == HANGS else None
        urls = {NONE: "", GONE: f"http://127.0.0.1:{free_port()}/v1"}
        catalogue = Catalogue(on, server.url if server else urls[name], items)
        found = measured(catalogue)
        return {**found, "items": int(catalogue.described), "asked": len(server.requests) if server else 0}


def summary(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds, sums of what is counted."""
    rows = []
    for name in (NONE, HANGS, GONE):
        of = [line for line in lines if line["beside"] == name]
        medians = {key: float(np.median([line[key] for line in of])) for key in FIGURES}
        counts = {key: sum(line[key] for line in of) for key in ("probes", "lost", "items", "asked")}
        rows.append({"beside": name, **medians, **counts})
    return rows


def main(
    rate: Annotated[float, typer.Option(help="Events a second.")] = 500.0,
    seconds: Annotated[float, typer.Option(help="How long each measurement takes, after 5 s of settling.")] = 20.0,
    items: Annotated[int, typer.Option(help="Items that wait to be annotated.")] = 2_000,
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    with ground() as on:
        lines = list(rounds_of(on, rate, seconds, items, rounds))
    rows = summary(lines)
    show(f"published to readable in Redis, {rate:g} events/s, median of {rounds}", rows)
    ratios = {row["beside"]: row["p99_ms"] / rows[0]["p99_ms"] for row in rows}
    save(json, {"rate": rate, "rows": rows, "rounds": lines, "p99_ratio": ratios})
    if any(row["lost"] for row in rows):
        raise SystemExit("probes were lost: the percentiles are too good")


if __name__ == "__main__":
    run(main)
