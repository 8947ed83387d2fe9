"""Every expression of dashboards and rules has something to say about a system that is at work.

A real Prometheus scrapes a real worker, trainer, catalogue service and the pages while they are busy.
"""

import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from stream_app.local import LocalKafka
from tests.failure.nursery import Nursery
from tests.fake_openai import FakeOpenAI
from tests.operate.expressions import Asked, asked_by, asked_by_dashboards, choices, marks, parts, selectors
from tests.operate.prometheus import BINARY, LocalPrometheus, QueryError, watching
from tests.operate.rules import all_rules
from tests.operate.scene import KNOWS_TOPICS, Scene, until

pytestmark = [
    pytest.mark.skipif(BINARY is None, reason="prometheus is not installed (Debian: prometheus)"),
    pytest.mark.parametrize("redis_server", ["valkey"], indirect=True, scope="session"),
]

RIGHTLY_EMPTY = {
    "overview: Alerts that fire": "none fires while all is well",
    "catalogue: Answers that were not believed": "no label before the first one, which never comes from a good model",
}
UNSEEN = {
    "ALERTS": "there while an alert waits or fires",
    "interest_catalog_unfit_answers_total": "no label before the first one",
}

PATIENCE_S = 60.0

HAS_BEGUN = (
    'interest_trainer_versions_total{outcome="promoted"} > 1',
    "interest_model_swaps_total > 0",
    'interest_trainer_held_out_reciprocal_rank{version="served"} >= 0',
    "rate(interest_recommendations_total[10s]) > 0",
    "interest_catalog_model_requests_total > 0",
    "rate(interest_words_explanations_total[10s]) > 0",
    "interest_trainer_snapshot_timestamp_seconds > 0",
    "job:interest_events_late:ratio_rate3d >= 0",
    "job:interest_lag:seconds >= 0",
    'rate(interest_events_total{outcome="duplicate"}[10s]) > 0',
    "rate(interest_catalog_placed_items_total[20s]) > 0",
)


@pytest.fixture(scope="module")
def prometheus(
    kafka: LocalKafka, redis_url: str, nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalPrometheus]:
    folder = tmp_path_factory.mktemp("scene")
    with FakeOpenAI(usual=KNOWS_TOPICS) as model:
        scene = Scene.on(kafka.bootstrap, redis_url.removesuffix("0") + "6", folder, nursery, model)
        with scene.open(), scene.busy(), watching(folder / "prometheus", scene.targets) as server:
            for begun in HAS_BEGUN:
                until(begun, lambda begun=begun: server.values(begun), 90)
            yield server


def empty(prometheus: LocalPrometheus, asked: Asked) -> str:
    """What is wrong with it; nothing if it has an answer."""
    try:
        return "" if prometheus.values(asked.filled_in) else f"{asked.where} has no data: {asked.filled_in}"
    except QueryError as error:
        return f"{asked.where}: {error}"


def still_empty(prometheus: LocalPrometheus, asked: Iterable[Asked]) -> list[str]:
    """What is wrong with those that have had no answer at any moment. A busy machine may miss a scrape or two, and then
    a rate over ten seconds has nothing to say."""
    left, deadline_s = list(asked), time.monotonic() + PATIENCE_S
    while True:
        left = [one for one in left if empty(prometheus, one)]
        if not left or time.monotonic() > deadline_s:
            return [empty(prometheus, one) for one in left]
        time.sleep(1)


def strangers(prometheus: LocalPrometheus, asked: Asked) -> list[str]:
    """Series that it looks at and that are not there."""
    wanted = [part for one in selectors(asked.filled_in) if one.name not in UNSEEN for part in parts(one)]
    return [f"{asked.where} looks at {part}, which is not there" for part in wanted if not prometheus.values(part)]


def test_every_panel_shows_something(prometheus: LocalPrometheus) -> None:
    asked = [one for one in asked_by_dashboards() if one.where not in RIGHTLY_EMPTY]
    assert len(asked) > 80
    assert still_empty(prometheus, asked) == []


def test_every_variable_has_values_and_every_mark_its_series(prometheus: LocalPrometheus) -> None:
    assert still_empty(prometheus, choices()) == []
    assert [problem for one in marks() for problem in strangers(prometheus, one)] == []


def test_every_recording_rule_gives_something(prometheus: LocalPrometheus) -> None:
    rules = [Asked(rule.name, rule.expr) for rule in all_rules() if not rule.is_alert]
    assert still_empty(prometheus, rules) == []


def test_every_series_that_an_alert_looks_at_is_there_and_none_fires(prometheus: LocalPrometheus) -> None:
    """An alert that looks at what is not there would never go off."""
    rules = [Asked(rule.name, rule.expr) for rule in all_rules() if rule.is_alert]
    rules += [one for one in asked_by_dashboards() if one.where in RIGHTLY_EMPTY]
    assert [problem for one in rules for problem in strangers(prometheus, one)] == []
    assert prometheus.firing().keys() <= {"InterestLatencyBudgetBurnsFast"}  # how fast this machine is says nothing


def test_a_broken_panel_is_noticed(prometheus: LocalPrometheus, tmp_path: Path) -> None:
    """The control: a metric by another name, a label value that does not exist, and no PromQL at all."""
    for expr in ("rate(interest_event_total[10s])", 'interest_lag_events{topic="nowhere"}', "sum(rate("):
        board = {"panels": [{"title": "Broken", "targets": [{"expr": expr}]}]}
        (broken,) = asked_by(json.loads(json.dumps(board)), Path("control.json"))
        assert "Broken" in empty(prometheus, broken)
    assert strangers(prometheus, Asked("alert", 'sum(interest_redis_losses_total{found=~"empty|gone"}) > 0')) == [
        'alert looks at interest_redis_losses_total{found="gone"}, which is not there'
    ]
