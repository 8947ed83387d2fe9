"""Writes `metrics.md` from the code's registries: `make dashboards`, or python -m deploy.docs.metrics_page.

A test compares.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from stream_app.catalog.metrics import CatalogMetrics
from stream_app.observability import WorkerMetrics
from stream_app.trainer.metrics import TrainerMetrics
from stream_app.web.metrics import WebMetrics

DEPLOY = Path(__file__).parents[1]
PAGE = Path(__file__).parent / "metrics.md"

SERVICES = {
    "interest worker": WorkerMetrics,
    "interest trainer": TrainerMetrics,
    "interest catalog": CatalogMetrics,
    "interest web": WebMetrics,
}
OF_PROCESS = re.compile(r"process_|python_")

FOR_DIGGING = {
    "process_virtual_memory_bytes": "address space, which says little with TensorFlow",
    "interest_web_streams": "pages that are open, INTEREST_WEB__STREAMS at most",
    "interest_web_streams_dropped_total": "pages whose readers were too slow; they connect again by themselves",
    "process_max_fds": "the bound of process_open_fds",
    "python_gc_objects_collected_total": "what a collection found",
    "python_gc_objects_uncollectable_total": "0, unless an extension is broken",
}
"""Metrics that no dashboard and no alert needs, and why they are there."""

HEAD = """# Metrics

Written by `make dashboards` from the code; a test compares. `interest worker`, `trainer` and `catalog` answer
`/metrics` on port 9108 (`--metrics-port`), `interest web` on its own port, with its token. No label ever has a user or
an item in it. Counters tell of every known label value from the start, at 0, so that the first of what should never
happen is an increase.

Histograms have `_bucket`, `_count` and `_sum`. The last column is where a metric is looked at: dashboards
(`deploy/grafana/dashboards`), alerts ([runbook](runbook.md)), or nowhere, and then why it is there.
"""


@dataclass(frozen=True)
class Told:
    """A metric as the page has it. `name`: as it is scraped, a histogram's without its endings."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str


def told_by(registry: CollectorRegistry) -> list[Told]:
    """All of a registry, in the order of registration."""
    return [_told(metric, _labels(registry, metric)) for metric in registry.collect()]


def exposed(told: Told) -> set[str]:
    """Names of its series."""
    return {told.name} | ({f"{told.name}_{end}" for end in _ENDS} if told.kind == "histogram" else set())


def everything() -> list[Told]:
    """Of all services, each once."""
    return list({one.name: one for made in SERVICES.values() for one in told_by(made().registry)}.values())


_ENDS = ("bucket", "count", "sum")


def _told(metric: Metric, labels: tuple[str, ...]) -> Told:
    name = f"{metric.name}_total" if metric.type == "counter" else metric.name
    return Told(name, metric.type, labels, metric.documentation)


def _labels(registry: CollectorRegistry, metric: Metric) -> tuple[str, ...]:
    """Of its samples; before the first one, what it was made with, which prometheus-client does not tell otherwise."""
    found = dict.fromkeys(label for sample in metric.samples for label in sample.labels if label != "le")
    return tuple(found) or tuple(getattr(registry._names_to_collectors.get(metric.name), "_labelnames", ()))


# -- who looks at a metric


def uses() -> dict[str, list[str]]:
    """Name of a series -> dashboards and alerts that look at it, recorded sums resolved."""
    recorded = {rule["record"]: rule["expr"] for rule in _rules() if "record" in rule}
    found: dict[str, list[str]] = {}
    for place, expr in _expressions():
        for name in _names(expr, recorded):
            places = found.setdefault(name, [])
            if place not in places:
                places.append(place)
    return found


def _rules() -> Iterator[dict[str, Any]]:
    for file in sorted((DEPLOY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            yield from group["rules"]


def _expressions() -> Iterator[tuple[str, str]]:
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            yield from ((file.stem, target["expr"]) for target in panel.get("targets", ()))
    for rule in _rules():
        if "alert" in rule:
            yield rule["alert"], rule["expr"]


def _names(expr: str, recorded: Mapping[str, str]) -> set[str]:
    """Series that an expression looks at, those behind recorded ones in their place."""
    found = set(re.findall(r"(?<![\w:])[a-z_][\w:]*", expr))
    behind = [_names(recorded[name], recorded) for name in found & recorded.keys()]
    return (found - recorded.keys()).union(*behind)


# -- the page


def page() -> str:
    """The whole text."""
    used = uses()
    services = {name: told_by(made().registry) for name, made in SERVICES.items()}
    tables = [_section(f"`{name}`", _own(told), used) for name, told in services.items()]
    process = [one for one in everything() if OF_PROCESS.match(one.name)]
    return "\n".join([HEAD, *tables, _section("Each process, as every Prometheus client names it", process, used)])


def _own(told: Iterable[Told]) -> list[Told]:
    return [one for one in told if not OF_PROCESS.match(one.name)]


def _section(title: str, told: Iterable[Told], used: Mapping[str, list[str]]) -> str:
    rows = [f"| `{_shown(one)}` | {one.kind} | {_meaning(one)} | {_looked_at(one, used)} |" for one in told]
    return "\n".join(
        [f"## {title}\n", "| metric | | what it tells | looked at |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _shown(one: Told) -> str:
    return one.name + (f"{{{','.join(one.labels)}}}" if one.labels else "")


def _meaning(one: Told) -> str:
    return one.meaning.replace("|", "\\|").rstrip(".")


def _looked_at(one: Told, used: Mapping[str, list[str]]) -> str:
    places = dict.fromkeys(place for name in sorted(exposed(one)) for place in used.get(name, ()))
    return ", ".join(map(_linked, places)) or f"nowhere: {FOR_DIGGING.get(one.name, '?')}"


def _linked(place: str) -> str:
    return f"[{place}](runbook.md#{place.lower()})" if place.startswith("Interest") else place


if __name__ == "__main__":
    PAGE.write_text(page())
