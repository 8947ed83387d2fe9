"""Each alert goes off when it should and not before, alone, and stays silent while all is well and after a restart.

`promtool test rules` computes; the expectations are written down here. A world is a set of series as a healthy system
has them, a sample a minute; a case changes some.
"""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from deploy.docs.metrics_page import SERVICES
from tests.operate.rules import RULE_FILES, RULES, alerts

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")

FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'
W1, W2 = ('job="interest-worker",instance="w1:9108"', 'job="interest-worker",instance="w2:9108"')
TRAINER, CATALOG, WEB = (f'job="interest-{name}",instance="{name}:9108"' for name in ("trainer", "catalog", "web"))
EVENTS, LATENCY, BLOCK = "interest_events_total", "interest_event_to_redis_seconds", "interest_loop_block_seconds"
REFUSALS = ("generation", "damaged", "not_finite", "unreachable")
LONG = 400

Series = dict[str, str]


def steady(value: float, minutes: int = LONG) -> str:
    return f"{value}x{minutes}"


def growing(by: float, minutes: int = LONG) -> str:
    """A counter, from 0."""
    return f"0+{by}x{minutes}"


def from_minute(minute: int, after: str, before: str = "0") -> str:
    """One value until a minute, and then what follows."""
    return f"{before}x{minute - 1} {after}"


def worker(at: str, minutes: int = LONG) -> Series:
    """6,000 events a minute, one in a thousand late or bad, one heartbeat in six hundred held up."""
    flat = {
        "up": 1, "interest_ready": 1, "interest_serving": 1, "interest_restore_remaining_records": 0,
        "interest_restored_users_total": 100_000, "interest_rebalances_total": 1, "process_start_time_seconds": 0,
        "process_resident_memory_bytes": 1.6e9, "interest_state_bytes": 4e8, "interest_catalogue_items": 1_000,
        "interest_commit_age_seconds": 0.3, "interest_foreign_writes_total": 0, "interest_model_age_seconds": 40,
    }  # fmt: skip
    told = {f"{name}{{{at}}}": steady(value, minutes) for name, value in flat.items()}
    told |= {f'interest_lag_events{{{at},topic="{topic}"}}': steady(150, minutes) for topic in ("clicks", "ratings")}
    told |= {
        f'interest_redis_losses_total{{{at},found="{found}"}}': steady(0, minutes) for found in ("empty", "replaced")
    }
    told |= {f'interest_model_refused_total{{{at},reason="{reason}"}}': steady(0, minutes) for reason in REFUSALS}
    told |= {f'interest_knowledge_unused_total{{{at},reason="foreign"}}': steady(0, minutes)}
    told |= {
        f'{EVENTS}{{{at},kind="click",outcome="applied"}}': growing(5_994, minutes),
        f'{EVENTS}{{{at},kind="click",outcome="dead_lettered"}}': growing(6, minutes),
        f'{LATENCY}_bucket{{{at},kind="click",le="0.25"}}': growing(5_994, minutes),
        f'{LATENCY}_bucket{{{at},kind="click",le="+Inf"}}': growing(6_000, minutes),
        f'{LATENCY}_count{{{at},kind="click"}}': growing(6_000, minutes),
        f'{BLOCK}_bucket{{{at},le="0.01"}}': growing(599, minutes),
        f'{BLOCK}_bucket{{{at},le="0.25"}}': growing(600, minutes),
        f'{BLOCK}_bucket{{{at},le="2.5"}}': growing(600, minutes),
        f'{BLOCK}_bucket{{{at},le="+Inf"}}': growing(600, minutes),
    }
    return told


def services(minutes: int = LONG) -> Series:
    """Trainer, catalogue and pages. promtool's clock begins at 0, so the last promotion is always a minute ago."""
    told = {f"up{{{at}}}": steady(1, minutes) for at in (TRAINER, CATALOG, WEB)}
    told |= {f"process_start_time_seconds{{{at}}}": steady(0, minutes) for at in (TRAINER, CATALOG, WEB)}
    told |= {
        f"interest_trainer_promoted_timestamp_seconds{{{TRAINER}}}": growing(60, minutes),
        f'interest_trainer_clicks_total{{{TRAINER},use="learnt"}}': growing(9_000, minutes),
        f"interest_catalog_lag_items{{{CATALOG}}}": f"0x5 50 0x{minutes}",
        f'interest_catalog_items_total{{{CATALOG},outcome="described"}}': growing(10, minutes),
        f'interest_catalog_cache_lookups_total{{{CATALOG},found="miss"}}': growing(10, minutes),
        f'interest_words_cache_lookups_total{{{WEB},found="miss"}}': growing(10, minutes),
        f'interest_web_requests_total{{{WEB},page="explanation",outcome="answered"}}': growing(100, minutes),
        f'interest_web_requests_total{{{WEB},page="explanation",outcome="failed"}}': growing(0, minutes),
    }
    for at, service in ((CATALOG, "catalog"), (WEB, "words")):
        for why in ("budget", "unavailable", "breaker"):
            told[f'interest_{service}_fallbacks_total{{{at},why="{why}"}}'] = steady(0, minutes)
    return told


def healthy(minutes: int = LONG) -> Series:
    return worker(W1, minutes) | worker(W2, minutes) | services(minutes)


def without(series: Series, *parts: str) -> Series:
    """What of them has none of these texts in its name."""
    return {name: values for name, values in series.items() if not any(part in name for part in parts)}


@dataclass(frozen=True)
class Case:
    """`but`: what is other than in the healthy world. At `quiet` nothing fires, at `fires` just the alert does.
    `others`: alerts that rightly fire with it."""

    alert: str
    quiet: int
    fires: int
    but: Series = field(default_factory=dict)
    others: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    minutes: int = LONG

    def world(self) -> Series:
        return without(healthy(self.minutes), *self.gone) | self.but


def both(metric: str, values: str, labels: str = "") -> Series:
    """Of both workers."""
    return {f"{metric}{{{at}{labels}}}": values for at in (W1, W2)}


def late(per_minute: int, before: int = 60, after: int = LONG) -> Series:
    """From minute `before` on so many of 6,000 events a minute are late; before it six."""
    good = f"0+5994x{before} {5_994 * before + 6_000 - per_minute}+{6_000 - per_minute}x{after}"
    return both(f"{LATENCY}_bucket", good, ',kind="click",le="0.25"')


def bad(per_minute: int) -> Series:
    """From minute 30 on so many of 6,000 events a minute are bad."""
    good = 6_000 - per_minute
    return {
        **both(EVENTS, f"0+6x30 {180 + per_minute}+{per_minute}x{LONG}", ',kind="click",outcome="dead_lettered"'),
        **both(EVENTS, f"0+5994x30 {5_994 * 30 + good}+{good}x{LONG}", ',kind="click",outcome="applied"'),
    }


def no_events(minute: int) -> Series:
    """From that minute on no event is taken in."""
    kinds = {
        ',kind="click",outcome="applied"': 5_994,
        ',kind="click",outcome="dead_lettered"': 6,
    }
    return {
        name: values
        for labels, rate in kinds.items()
        for name, values in both(EVENTS, f"0+{rate}x{minute} {rate * minute}x{LONG}", labels).items()
    }


CASES = [
    # A fifth of the events are late: 14.4 % of an hour is reached after 43 minutes, and two more are waited for.
    Case("InterestLatencyBudgetBurnsFast", 100, 110, late(1_200)),
    # A tenth: of six hours 6 %, after three and a half of them.
    Case("InterestLatencyBudgetBurnsFast", 405, 430, late(600, 200, 300), minutes=500),
    # A twentieth: of a day 3 %, and there must be a day.
    Case("InterestLatencyBudgetBurnsSlowly", 1_445, 1_465, late(300, 300, 1_200), minutes=1_500),
    Case(
        "InterestLagGrows", 33, 45,
        both("interest_lag_events", f"150x30 1000000+360000x{LONG}", ',topic="clicks"'),
    ),
    # Taken in is nothing at all: behind by infinity, though nothing grows any more.
    Case(
        "InterestLagGrows", 31, 60,
        both("interest_lag_events", f"150x30 400000x{LONG}", ',topic="clicks"') | no_events(30),
    ),
    Case("InterestCommitStuck", 30, 31, {f"interest_commit_age_seconds{{{W1}}}": f"0.3x29 30 31 33x{LONG}"}),
    Case(
        "InterestNoWorkerReady", 32, 33, both("interest_ready", from_minute(30, steady(0), "1")),
    ),
    # All of them are gone, and with them what they said; a worker that is not there is a ticket besides.
    Case(
        "InterestNoWorkerReady", 2, 9, both("up", f"0x{LONG}"), gone=("interest-worker",),
        others=("InterestServiceDown",),
    ),
    Case("InterestNobodyServes", 31, 33, both("interest_serving", from_minute(30, steady(0), "1"))),
    Case("InterestServiceDown", 34, 35, {f"up{{{TRAINER}}}": from_minute(30, steady(0), "1")}),
    Case("InterestWorkerNotReady", 39, 41, {f"interest_ready{{{W1}}}": from_minute(30, steady(0), "1")}),
    Case(
        "InterestRestoreStuck", 39, 41,
        {
            f"interest_ready{{{W1}}}": from_minute(30, steady(0), "1"),
            f"interest_restore_remaining_records{{{W1}}}": from_minute(30, steady(70_000)),
            f"interest_restored_users_total{{{W1}}}": f"100000x29 120000 140000x{LONG}",
        },
    ),
    Case("InterestWorkerRestarts", 42, 43, {f"process_start_time_seconds{{{W1}}}": f"0x30 1800x5 2100x5 2520x{LONG}"}),
    Case("InterestGroupUnsettled", 41, 56, {f"interest_rebalances_total{{{W1}}}": f"1x30 1+1x30 31x{LONG}"}),
    Case(
        "InterestEventLoopBlocked", 40, 50,
        {
            f'{BLOCK}_bucket{{{W1},le="0.01"}}': f"0+599x30 17970+500x{LONG}",
            f'{BLOCK}_bucket{{{W1},le="0.25"}}': f"0+600x30 18000+550x{LONG}",
        },
    ),
    Case("InterestForeignWrites", 31, 33, {f"interest_foreign_writes_total{{{W1}}}": f"0x30 1 2 3 4x{LONG}"}),
    Case("InterestMemoryUnexplained", 44, 46, {f"process_resident_memory_bytes{{{W1}}}": f"1.6e9x29 3.5e9x{LONG}"}),
    Case("InterestRedisLost", 30, 31, {f'interest_redis_losses_total{{{W1},found="empty"}}': f"0x30 1x{LONG}"}),
    # A quarter is bad: from 1 % on a ticket follows, ten minutes later.
    Case("InterestDeadLetterFlood", 31, 34, bad(1_500)),
    Case("InterestDeadLetterShare", 39, 45, bad(150)),
    Case(
        "InterestModelRefused", 30, 31, {f'interest_model_refused_total{{{W1},reason="not_finite"}}': f"0x30 1x{LONG}"},
    ),
    Case(
        "InterestModelStoreUnreachable", 34, 37,
        {f'interest_model_refused_total{{{W1},reason="unreachable"}}': f"0x30 12+12x{LONG}"},
    ),
    Case("InterestModelOld", 129, 131, both("interest_model_age_seconds", f"40+60x{LONG}")),
    Case(
        "InterestTrainerNotPromoting", 64, 66,
        {f"interest_trainer_promoted_timestamp_seconds{{{TRAINER}}}": f"0+60x30 1800x{LONG}"},
    ),
    # It has promoted nothing since it began.
    Case(
        "InterestTrainerNotPromoting", 34, 36,
        {f"interest_trainer_promoted_timestamp_seconds{{{TRAINER}}}": steady(0)},
    ),
    # Nothing moves.
    Case(
        "InterestCatalogBacklog", 59, 61,
        {
            f"interest_catalog_lag_items{{{CATALOG}}}": from_minute(30, steady(7)),
            f'interest_catalog_items_total{{{CATALOG},outcome="described"}}': f"0+10x30 300x{LONG}",
        },
    ),
    # It moves, and takes more than an hour.
    Case("InterestCatalogBacklog", 44, 46, {f"interest_catalog_lag_items{{{CATALOG}}}": from_minute(30, steady(700))}),
    Case(
        "InterestKnowledgeForeign", 34, 37,
        {f'interest_knowledge_unused_total{{{W1},reason="foreign"}}': f"0x30 40x{LONG}"},
    ),
    Case(
        "InterestLanguageModelBudgetSpent", 44, 47,
        {f'interest_catalog_fallbacks_total{{{CATALOG},why="budget"}}': f"0x30 5+5x{LONG}"},
    ),
    Case(
        "InterestLanguageModelBudgetSpent", 44, 47,
        {f'interest_words_fallbacks_total{{{WEB},why="budget"}}': f"0x30 5+5x{LONG}"},
    ),
    Case(
        "InterestLanguageModelUnavailable", 40, 46,
        {f'interest_catalog_fallbacks_total{{{CATALOG},why="unavailable"}}': f"0x30 9+9x{LONG}"},
    ),
    Case(
        "InterestLanguageModelUnavailable", 40, 46,
        {f'interest_words_fallbacks_total{{{WEB},why="breaker"}}': f"0x30 9+9x{LONG}"},
    ),
    Case(
        "InterestWebFailing", 34, 40,
        {f'interest_web_requests_total{{{WEB},page="explanation",outcome="failed"}}': f"0x30 20+20x{LONG}"},
    ),
]  # fmt: skip


def restarted(minute: int = 30) -> Series:
    """The whole system is started again: everything counts from 0, one worker recovers for two minutes, a third of the
    events of two minutes come late."""
    again: Series = {}
    for name, values in healthy().items():
        rate = values.partition("x")[0].removeprefix("0+")
        if "+" in values and "timestamp" not in name:
            again[name] = f"0+{rate}x{minute} 0+{rate}x{LONG}"
    again |= both(f"{LATENCY}_bucket", f"0+5994x{minute} 0 4000 8000+5994x{LONG}", ',kind="click",le="0.25"')
    again |= {f"interest_trainer_promoted_timestamp_seconds{{{TRAINER}}}": f"0+60x{minute} 0 {minute * 60}+60x{LONG}"}
    again |= {f"up{{{at}}}": f"1x{minute - 1} 0 1x{LONG}" for at in (W1, TRAINER, CATALOG, WEB)}
    again |= {f"process_start_time_seconds{{{at}}}": f"0x{minute} {minute * 60}x{LONG}" for at in (W1, W2, TRAINER)}
    again |= {f"interest_restore_remaining_records{{{W1}}}": f"0x{minute} 90000 40000 0x{LONG}"}
    again |= {f"interest_restored_users_total{{{W1}}}": f"100000x{minute} 0 50000 90000x{LONG}"}
    again |= {f"interest_ready{{{W1}}}": f"1x{minute - 1} 0x2 1x{LONG}"}
    again |= both("interest_rebalances_total", f"1x{minute} 0 2x{LONG}")
    again |= both("interest_lag_events", f"150x{minute} 30000 20000 150x{LONG}", ',topic="clicks"')
    return healthy() | again


def expectation(minute: int, firing: tuple[str, ...]) -> dict[str, Any]:
    samples = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in firing]
    return {"expr": FIRING, "eval_time": f"{minute}m", "exp_samples": samples}


def run(
    tmp_path: Path, world: Mapping[str, str], expected: list[dict[str, Any]], rules: list[Path] = RULE_FILES
) -> str:
    """What promtool complains about; empty if all is as expected."""
    assert PROMTOOL is not None
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in world.items()],
        "promql_expr_test": expected,
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"rule_files": list(map(str, rules)), "evaluation_interval": "1m", "tests": [test]}))
    ended = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=120)
    return "" if ended.returncode == 0 else ended.stdout + ended.stderr


@pytest.mark.parametrize("case", CASES, ids=[f"{case.alert}-{case.fires}" for case in CASES])
def test_it_fires_in_time_and_alone(case: Case, tmp_path: Path) -> None:
    firing = (case.alert, *case.others)
    assert run(tmp_path, case.world(), [expectation(case.quiet, ()), expectation(case.fires, firing)]) == ""


@pytest.mark.parametrize("world", [healthy(), restarted()], ids=["steady", "restarted"])
def test_nothing_fires_in_a_healthy_system(world: Series, tmp_path: Path) -> None:
    minutes = (1, 5, 20, 31, 32, 33, 35, 40, 46, 60, 61, 120, 300, 390)
    assert run(tmp_path, world, [expectation(minute, ()) for minute in minutes]) == ""


def test_every_alert_has_a_case() -> None:
    assert {case.alert for case in CASES} == {rule.name for rule in alerts()}


def test_a_rule_that_is_too_slow_or_deaf_is_noticed(tmp_path: Path) -> None:
    """The control of all of the above."""
    case = next(case for case in CASES if case.alert == "InterestNobodyServes")
    written = (RULES / "alerts.yml").read_text()
    for was, becomes in (("max(interest_serving) == 0\n        for: 2m", "max(interest_serving) == 0\n        for: 9m"),
                         ("max(interest_serving) == 0", "min(interest_serving) == 2")):  # fmt: skip
        assert was in written
        wounded = tmp_path / "alerts.yml"
        wounded.write_text(written.replace(was, becomes))
        rules = [RULES / "recording.yml", wounded]
        assert "InterestNobodyServes" in run(tmp_path, case.world(), [expectation(case.fires, (case.alert,))], rules)


def test_rules_and_configuration_are_valid() -> None:
    assert PROMTOOL is not None
    for command in (["check", "rules", *map(str, RULE_FILES)],
                    ["check", "config", "--syntax-only", str(RULES.parent / "prometheus.yml")]):  # fmt: skip
        ended = subprocess.run([PROMTOOL, *command], capture_output=True, text=True, timeout=60)
        assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_promtool_finds_nothing_wrong_with_the_metrics(service: str) -> None:
    """Names, units, help texts."""
    assert PROMTOOL is not None
    told = generate_latest(SERVICES[service]().registry)
    ended = subprocess.run([PROMTOOL, "check", "metrics"], input=told, capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, b"")
