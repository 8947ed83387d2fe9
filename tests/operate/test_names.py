"""Generated files are as generated; each metric has a meaning and a use; each name that is looked at or written about
exists; each alert has its section in the runbook."""

import itertools
import json
import re
from pathlib import Path

import pytest

from deploy.docs import metrics_page
from deploy.grafana.__main__ import FOLDER, written
from tests.operate.alarms import TRIALS
from tests.operate.expressions import Asked, asked_by_dashboards, choices, marks, selectors
from tests.operate.rules import ROOT, alerts, all_rules

METRICS = metrics_page.everything()
EXPOSED = {name for one in METRICS for name in metrics_page.exposed(one)}
USED = metrics_page.uses().keys()
RECORDED = {rule.name for rule in all_rules() if not rule.is_alert}
PROMETHEUS_OWN = {"up", "ALERTS"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "deploy" / "docs").glob("*.md"))]
RUNBOOK, MONITORING = (ROOT / "deploy" / "docs" / f"{name}.md" for name in ("runbook", "monitoring"))
HINT = "make dashboards writes it again"


def test_dashboards_are_as_generated() -> None:
    committed = {file.name: file.read_text() for file in FOLDER.iterdir()}
    assert committed == written(), HINT


def test_the_page_of_metrics_is_as_generated() -> None:
    assert metrics_page.PAGE.read_text() == metrics_page.page(), HINT


@pytest.mark.parametrize("asked", [*asked_by_dashboards(), *choices(), *marks()], ids=lambda one: one.where)
def test_what_dashboards_look_at_exists(asked: Asked) -> None:
    assert _unknown(asked.filled_in) == set()


@pytest.mark.parametrize("rule", all_rules(), ids=lambda rule: rule.name)
def test_what_rules_look_at_exists(rule: object) -> None:
    assert _unknown(rule.expr) == set()  # type: ignore[attr-defined]


def _unknown(expr: str) -> set[str]:
    return {one.name or "" for one in selectors(expr)} - EXPOSED - RECORDED - PROMETHEUS_OWN


def test_a_wrong_name_is_noticed() -> None:
    """The control."""
    assert _unknown("sum(rate(interest_event_total[5m])) / interest_users") == {"interest_event_total"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_written_about_exists(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"(?<![\w.:/-])interest_[a-z_]*[a-z](?![\w:.-]*[:.]\w)", text):
        assert name in EXPOSED, f"{page.name} tells of {name}, which no service exposes"
    for name in re.findall(r"job:interest_[\w:]+", text):
        assert name in RECORDED, f"{page.name} tells of {name}, which no rule records"


@pytest.mark.parametrize("metric", METRICS, ids=lambda one: one.name)
def test_every_metric_has_a_meaning_and_a_use(metric: metrics_page.Told) -> None:
    assert len(metric.meaning) > 10
    is_used = bool(metrics_page.exposed(metric) & USED)
    why = f"show {metric.name} on a dashboard, or say in metrics_page.FOR_DIGGING why it is there"
    assert is_used != (metric.name in metrics_page.FOR_DIGGING), why


def test_nothing_is_kept_for_digging_that_is_gone() -> None:
    assert metrics_page.FOR_DIGGING.keys() <= {one.name for one in METRICS}


def test_every_alert_has_a_section_in_the_runbook_and_the_reverse() -> None:
    sections = re.findall(r"^## (Interest\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(rule.name for rule in alerts())
    for rule in alerts():
        assert rule.told["runbook_url"] == f"deploy/docs/runbook.md#{rule.name.lower()}"
        assert rule.labels["severity"] in ("page", "ticket")
        assert rule.told["summary"]
        assert rule.told["description"]


def test_every_alert_is_tried_and_told_of() -> None:
    """By `make alerts`, which takes half an hour and is not run here."""
    names = {rule.name for rule in alerts()}
    assert {alert for trial in TRIALS for alert in trial.expected} == names
    rows = [
        line.split("|")[2]
        for line in MONITORING.read_text().splitlines()
        if line.startswith("| ") and "Interest" in line
    ]
    assert {alert for row in rows for alert in row.strip().split("; ")} == names


def test_the_readme_counts_them_right() -> None:
    assert f"{len(alerts())} alerts" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.stem)
def test_every_panel_is_explained_and_has_its_place(file: Path) -> None:
    known = {f"$runbook#{rule.name.lower()}" for rule in alerts()}
    panels = json.loads(file.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        if panel["type"] == "row":
            continue
        where = f"{file.stem}: {panel['title']}"
        assert len(panel.get("description", "")) > 30, where
        assert {link["url"] for link in panel.get("links") or ()} <= known, where
        references = [target["refId"] for target in panel["targets"]]
        assert references == [chr(ord("A") + place) for place in range(len(references))], where
    assert not any(_overlap(one["gridPos"], other["gridPos"]) for one, other in itertools.combinations(panels, 2))
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return (
        one["x"] < other["x"] + other["w"]
        and other["x"] < one["x"] + one["w"]
        and one["y"] < other["y"] + other["h"]
        and other["y"] < one["y"] + one["h"]
    )
