"""Kubernetes resources that are written from what is elsewhere already.

    python deploy/kubernetes/generate.py topics [SETTINGS.env]   # KafkaTopics of Strimzi, from stream_app/topics.py
    python deploy/kubernetes/generate.py rules                   # a PrometheusRule, from deploy/prometheus/rules/

`topics` go into topics.yaml beside this file (a test compares), with partitions and replication of the production
overlay unless another file of settings is named. `rules` are for `kubectl apply -f -`.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from stream_app.settings import PREFIX, Settings, load
from stream_app.topics import Topic, wanted

HERE = Path(__file__).parent
PRODUCTION = HERE / "overlays" / "production" / "settings.env"
RULES = HERE.parent / "prometheus" / "rules"
CLUSTER, CLUSTER_NAMESPACE = "kafka", "kafka"


def main(arguments: list[str]) -> int:
    match arguments:
        case ["topics"]:
            resources: Iterable[Mapping[str, Any]] = topics(settings_in(PRODUCTION))
        case ["topics", file]:
            resources = topics(settings_in(Path(file)))
        case ["rules"]:
            resources = [rules(sorted(RULES.glob("*.yml")))]
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    sys.stdout.write(document(resources))
    return 0


def settings_in(file: Path) -> Settings:
    """Of a file of variables, where these say which topics there are; paths in it need not exist here."""
    lines = [line.partition("=") for line in file.read_text().splitlines() if line.startswith(f"{PREFIX}KAFKA__")]
    others = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(PREFIX)}
    try:
        os.environ |= {name: value for name, _, value in lines if "__SECURITY__" not in name}
        return load()
    finally:
        for name, _, _ in lines:
            os.environ.pop(name, None)
        os.environ |= others


def topics(settings: Settings) -> list[dict[str, Any]]:
    """A resource for each topic that `interest topics create` would make."""
    return [_topic(one) for one in wanted(settings)]


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {
            "name": topic.name,
            "namespace": CLUSTER_NAMESPACE,
            "labels": {"strimzi.io/cluster": CLUSTER},
        },
        "spec": {"partitions": topic.partitions, "replicas": topic.replication, "config": dict(topic.configs)},
    }


def rules(files: Iterable[Path]) -> dict[str, Any]:
    """All groups of the files in one resource."""
    groups = [group for file in files for group in yaml.safe_load(file.read_text())["groups"]]
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "interest-updater", "namespace": "interest"},
        "spec": {"groups": groups},
    }


def document(resources: Iterable[Mapping[str, Any]]) -> str:
    head = "# Written by deploy/kubernetes/generate.py; change what it is written from.\n"
    return head + yaml.safe_dump_all(resources, sort_keys=False, width=120)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
