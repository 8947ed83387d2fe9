"""The rules of `deploy/prometheus`, read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "rules"
RULE_FILES = sorted(RULES.glob("*.yml"))


@dataclass(frozen=True)
class Rule:
    """`name`: of the alert, or of the recorded series. `told`: an alert's annotations."""

    name: str
    expr: str
    is_alert: bool
    told: dict[str, str]
    labels: dict[str, str]


def all_rules() -> list[Rule]:
    """In the order of the files."""
    groups = [group for file in RULE_FILES for group in yaml.safe_load(file.read_text())["groups"]]
    return [_rule(one) for group in groups for one in group["rules"]]


def alerts() -> list[Rule]:
    return [rule for rule in all_rules() if rule.is_alert]


def _rule(one: dict[str, Any]) -> Rule:
    name = one.get("alert") or one["record"]
    return Rule(name, one["expr"], "alert" in one, one.get("annotations", {}), one.get("labels", {}))
