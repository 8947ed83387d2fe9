"""`deploy/kubernetes`: what Kubernetes and KEDA would take, and whether the parts fit each other and our settings."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from stream_app.settings import Settings
from tests.deployed import A_SECRET, DEPLOY, PAGES, grace_s, image_user, parse, secret_names, settings_from

HERE = DEPLOY / "kubernetes"
KUBERNETES, KEDA = "1.37", "github.com/kedacore/keda/v2@v2.17.2"
OF_OTHERS = ("kafka.strimzi.io/v1", "keda.sh/v1alpha1", "monitoring.coreos.com/v1")

Resource = dict[str, Any]


def read(file: Path) -> list[Resource]:
    return [one for one in yaml.safe_load_all(file.read_text()) if one]


@cache
def resources(folder: str) -> list[Resource]:
    """What a kustomization lists, and the components that it names."""
    found = read(HERE / folder / "kustomization.yaml")[0]
    listed = [HERE / folder / one for one in [*found.get("resources", []), *found.get("components", [])]]
    return [
        one
        for path in listed
        for one in (resources(os.path.relpath(path, HERE)) if path.is_dir() else read(path))
    ]  # fmt: skip


def variables(folder: str) -> dict[str, str]:
    """Of the settings' file."""
    lines = (HERE / folder / "settings.env").read_text().split()
    return dict(line.split("=", 1) for line in lines)


BASE, PRODUCTION = variables("base"), variables("base") | variables("overlays/production")
ALL = [*resources("overlays/production"), *resources("components/first-model"), *read(HERE / "topics.yaml")]
WORKLOADS = [one for one in ALL if "template" in one.get("spec", {})]
SERVING = [one for one in WORKLOADS if one["kind"] != "Job"]


def called(one: Resource) -> str:
    return f"{one['kind']}-{one['metadata']['name']}"


def each(found: Iterable[Resource]) -> Any:
    return pytest.mark.parametrize("resource", found, ids=called)


def pod(resource: Resource) -> Resource:
    return dict(resource["spec"]["template"]["spec"])


def labels(resource: Resource) -> dict[str, str]:
    """Of its pods, with those that the base adds."""
    return {**resource["spec"]["template"]["metadata"]["labels"], "app.kubernetes.io/part-of": "interest-updater"}


def container(resource: Resource) -> Resource:
    (one,) = pod(resource)["containers"]
    return dict(one)


def selected(selector: Resource) -> list[Resource]:
    wanted = (selector.get("matchLabels") or {}).items()
    return [one for one in WORKLOADS if wanted <= labels(one).items()]


# -- kustomize


@pytest.mark.parametrize("file", sorted(HERE.rglob("kustomization.yaml")), ids=lambda file: file.parent.name)
def test_a_kustomization_lists_just_what_lies_beside_it(file: Path) -> None:
    found = read(file)[0]
    named = [*found.get("resources", []), *found.get("components", [])]
    named += [one["path"] for one in found.get("patches", []) if "path" in one]
    named += [env for one in found.get("configMapGenerator", []) for env in one["envs"]]
    assert [one for one in named if not (file.parent / one).exists()] == []
    beside = {one.name for one in file.parent.iterdir() if one.is_file() and one != file}
    assert beside == {one for one in named if "/" not in one}


# -- what the servers would take


@each([one for one in ALL if one["apiVersion"] not in OF_OTHERS])
def test_kubernetes_would_take_it(resource: Resource) -> None:
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(replica=3),
        lambda spec: spec.update(replicas="3"),
        lambda spec: spec["template"]["spec"]["containers"][0]["livenessProbe"].update(periodSecond=1),
    ],
)
def test_kubernetes_would_refuse_what_is_misspelt(spoil: Callable[[Resource], None]) -> None:
    broken = json.loads(json.dumps(next(one for one in SERVING if called(one) == "StatefulSet-interest-worker")))
    kubernetes_validate.validate(broken, KUBERNETES, strict=True)
    spoil(broken["spec"])
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, KUBERNETES, strict=True)


@pytest.fixture(scope="module")
def keda() -> Path:
    """The sources of KEDA, as its Go module."""
    if shutil.which("go") is None:
        pytest.skip("no Go here, which fetches KEDA's schemas")
    done = subprocess.run(
        ["go", "mod", "download", "-json", KEDA], capture_output=True, text=True, check=False, cwd="/"
    )
    if done.returncode:
        pytest.skip(f"KEDA's module cannot be fetched here: {done.stdout[-200:]}")
    return Path(json.loads(done.stdout)["Dir"])


def keda_schema(keda: Path, kind: str) -> Resource:
    """Of its CRD, and strict: a field that is not declared is refused."""
    (definition,) = read(keda / "config" / "crd" / "bases" / f"keda.sh_{kind.lower()}s.yaml")
    schema: Resource = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}
    return strict(schema)


def strict(schema: Any) -> Any:
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    tight = {name: strict(value) for name, value in schema.items()}
    if isinstance(tight.get("properties"), dict) and not tight.get("x-kubernetes-preserve-unknown-fields"):
        tight.setdefault("additionalProperties", False)
    return tight


def of_keda() -> list[Resource]:
    return [one for one in [*ALL, *production_patches()] if one["apiVersion"] == "keda.sh/v1alpha1"]


def production_patches() -> list[Resource]:
    return read(HERE / "overlays" / "production" / "scale.yaml")


def test_keda_would_take_it(keda: Path) -> None:
    found = of_keda()
    assert {one["kind"] for one in found} == {"ScaledObject", "TriggerAuthentication"}
    for one in found:
        schema = keda_schema(keda, one["kind"])
        whole = one if "scaleTargetRef" in one["spec"] or one["kind"] != "ScaledObject" else merged_scale()
        jsonschema.Draft202012Validator(schema).validate(whole)


def test_keda_would_refuse_what_is_misspelt(keda: Path) -> None:
    schema = keda_schema(keda, "ScaledObject")
    for spoil in ({"maxReplicas": 8}, {"maxReplicaCount": "8"}):
        broken = merged_scale()
        broken["spec"] = {**broken["spec"], **spoil}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(schema).validate(broken)


def test_keda_knows_what_its_kafka_trigger_is_told(keda: Path) -> None:
    """The schema lets any words pass there; the scaler's source names those that it reads."""
    known = set(re.findall(r'"(\w+)"', (keda / "pkg" / "scalers" / "kafka_scaler.go").read_text()))
    assert "lagThreshhold" not in known
    for trigger in (trigger for one in scales() for trigger in one["spec"]["triggers"]):
        assert trigger["type"] == "kafka"
        assert set(trigger["metadata"]) <= known


def merged_scale() -> Resource:
    """The worker's scaling as the production overlay has it."""
    (patch,) = production_patches()
    (whole,) = [one for one in ALL if one["kind"] == "ScaledObject"]
    return {**whole, "spec": {**whole["spec"], **patch["spec"]}}


def scales() -> list[Resource]:
    return [one for one in ALL if one["kind"] == "ScaledObject"] + [merged_scale()]


# -- our settings


@pytest.mark.parametrize("given", [BASE, PRODUCTION], ids=["base", "production"])
@each(WORKLOADS)
def test_a_pod_is_given_settings_that_there_are_and_a_command_that_there_is(
    given: dict[str, str], resource: Resource, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = container(resource)
    assert parse(one["args"])
    own = {item["name"]: item["value"] for item in one["env"]}
    secrets = ["INTEREST_REDIS__PASSWORD"] if "INTEREST_REDIS__USERNAME" in own else []
    secrets += ["INTEREST_WEB__TOKEN"] if "INTEREST_WEB__HOST" in own else []
    secrets += ["INTEREST_KAFKA__SECURITY__PASSWORD"] if given is PRODUCTION else []
    assert set(secrets) <= secret_names()
    settings = settings_from(given | own, secrets, monkeypatch)
    role = resource["metadata"]["labels"]["app.kubernetes.io/name"].removeprefix("interest-")
    if role == "worker":
        assert pod(resource)["terminationGracePeriodSeconds"] >= grace_s(settings)


@each(WORKLOADS)
def test_what_is_written_lies_where_it_may_be(resource: Resource) -> None:
    one = container(resource)
    mounts = {mount["name"]: mount for mount in one["volumeMounts"]}
    assert set(mounts) == {volume["name"] for volume in pod(resource)["volumes"]} | {
        claim["metadata"]["name"] for claim in resource["spec"].get("volumeClaimTemplates", [])
    }
    writable = [mount["mountPath"] for mount in mounts.values() if not mount.get("readOnly")]
    own = {item["name"]: item["value"] for item in one["env"]}
    kept = [own["INTEREST_DATA_DIR"], "/tmp/cache"]
    if one["name"] in ("trainer", "train"):
        kept.append(BASE["INTEREST_MODELS__URL"])
    for folder in kept:
        assert any(Path(folder).is_relative_to(path) for path in writable), folder
    if one["name"] != "train" and "INTEREST_MODELS__URL" in BASE and "models" in mounts:
        assert mounts["models"]["mountPath"] == BASE["INTEREST_MODELS__URL"]
    if "secrets" in mounts:
        assert mounts["secrets"]["mountPath"] == own["INTEREST_SECRETS"]


def test_workers_are_as_many_as_partitions_at_most() -> None:
    for one, given in zip(scales(), (BASE, PRODUCTION), strict=True):
        assert one["spec"]["maxReplicaCount"] == int(given["INTEREST_KAFKA__PARTITIONS"])
        asked = [trigger["metadata"] for trigger in one["spec"]["triggers"]]
        assert {given["INTEREST_KAFKA__BOOTSTRAP"]} == {one["bootstrapServers"] for one in asked}
        assert {Settings().kafka.consumer_group} == {one["consumerGroup"] for one in asked}
        assert {one["topic"] for one in asked} < set(Settings().kafka.topics.inputs)


def test_topics_are_as_the_command_would_make_them() -> None:
    script = [sys.executable, str(HERE / "generate.py"), "topics"]
    env = {**os.environ, "PYTHONPATH": str(DEPLOY.parent), "INTEREST_KAFKA__PARTITIONS": "3"}
    written = subprocess.run(script, env=env, capture_output=True, text=True, check=True).stdout
    assert written == (HERE / "topics.yaml").read_text(), "python deploy/kubernetes/generate.py topics"
    inputs = [one for one in read(HERE / "topics.yaml") if one["metadata"]["name"] in Settings().kafka.topics.inputs]
    assert [one["spec"]["partitions"] for one in inputs] == [int(PRODUCTION["INTEREST_KAFKA__PARTITIONS"])] * 4


def test_rules_become_one_resource() -> None:
    env = {**os.environ, "PYTHONPATH": str(DEPLOY.parent)}
    script = [sys.executable, str(HERE / "generate.py"), "rules"]
    made = yaml.safe_load(subprocess.run(script, env=env, capture_output=True, text=True, check=True).stdout)
    groups = [one for file in (DEPLOY / "prometheus" / "rules").glob("*.yml") for one in read(file)[0]["groups"]]
    assert sorted(one["name"] for one in made["spec"]["groups"]) == sorted(one["name"] for one in groups)


# -- the parts and each other


@each(SERVING)
def test_probes_ask_for_pages_that_there_are(resource: Resource) -> None:
    one = container(resource)
    ports = {port["name"]: port["containerPort"] for port in one["ports"]}
    probes = {name: one[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    asked = {name: f"{ports[get['port']]}{get['path']}" for name, get in probes.items()}
    assert set(asked.values()) <= PAGES[one["args"][0]]
    # A worker that recovers is alive and not ready: it may take as long as it takes.
    assert asked["startupProbe"] == asked["livenessProbe"]
    assert asked["livenessProbe"].endswith("/healthz")
    if f"{asked['livenessProbe'].removesuffix('/healthz')}/readyz" in PAGES[one["args"][0]]:
        assert asked["readinessProbe"].endswith("/readyz")


@each(WORKLOADS)
def test_pods_are_restricted(resource: Resource) -> None:
    """The Pod Security Standard `restricted`, which the namespace enforces, and a root that cannot be written to."""
    spec, one = pod(resource), container(resource)
    whole, own = spec["securityContext"], one["securityContext"]
    assert whole["runAsNonRoot"] is True
    assert f"{whole['runAsUser']}:{whole['runAsGroup']}" == image_user()
    assert whole["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == "interest"
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & spec.keys()
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {
        "emptyDir", "persistentVolumeClaim", "secret", "projected", "configMap",
    }  # fmt: skip
    assert one["resources"]["limits"].keys() == {"memory"}  # a limit of CPU would hold up a busy worker
    assert one["resources"]["requests"].keys() == {"cpu", "memory"}
    (namespace,) = [one for one in ALL if one["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@each([one for one in ALL if one["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor")])
def test_a_selector_finds_one_workload_and_its_ports(resource: Resource) -> None:
    spec = resource["spec"]
    selector = {"matchLabels": spec["selector"]} if resource["kind"] == "Service" else spec["selector"]
    (found,) = selected(selector)
    ports = {port["name"] for port in container(found)["ports"]}
    asked = {one["targetPort"] for one in spec.get("ports", [])}
    asked |= {one["port"] for one in spec.get("podMetricsEndpoints", [])}
    assert asked <= ports
    assert resource["metadata"]["name"] == found["metadata"]["name"]


@each(SERVING)
def test_a_workload_selects_its_own_pods(resource: Resource) -> None:
    assert selected(resource["spec"]["selector"]) == [resource]
    for constraint in pod(resource).get("topologySpreadConstraints", []):
        assert selected(constraint["labelSelector"]) == [resource]
    if resource["kind"] == "StatefulSet":
        services = {one["metadata"]["name"] for one in ALL if one["kind"] == "Service"}
        assert resource["spec"]["serviceName"] in services
    if resource["spec"]["replicas"] > 1:
        assert f"PodDisruptionBudget-{resource['metadata']['name']}" in map(called, ALL)


def policies(direction: str) -> Iterator[tuple[Resource, Resource]]:
    for one in ALL:
        if one["kind"] == "NetworkPolicy":
            for rule in one["spec"].get(direction, []):
                yield one, rule


def test_everybody_is_refused_first() -> None:
    (closed,) = [one for one in ALL if called(one) == "NetworkPolicy-refuse-all"]
    assert closed["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_ports_that_are_let_in_are_served() -> None:
    for policy, rule in policies("ingress"):
        pods = selected(policy["spec"]["podSelector"])
        served = {port["name"] for one in pods for port in container(one).get("ports", [])}
        assert pods
        assert {port["port"] for port in rule["ports"]} <= served


@pytest.mark.parametrize("given", [BASE, PRODUCTION], ids=["base", "production"])
@each(WORKLOADS)
def test_a_pod_may_go_where_its_settings_send_it_and_nowhere_else(given: dict[str, str], resource: Resource) -> None:
    allowed = {
        (place["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], port["port"])
        for policy, rule in policies("egress")
        if resource in selected(policy["spec"]["podSelector"])
        for place in rule["to"]
        if "namespaceSelector" in place
        for port in rule["ports"]
    }
    own = {item["name"] for item in container(resource)["env"]}
    role = container(resource)["name"]
    wanted = {("kube-system", 53)}
    if role not in ("web", "train"):
        wanted |= {place(given["INTEREST_KAFKA__BOOTSTRAP"])}
    if "INTEREST_REDIS__USERNAME" in own:
        wanted |= {place(given["INTEREST_REDIS__URL"].split("//")[1].split("/")[0])}
    assert wanted <= allowed
    assert {namespace for namespace, _ in allowed} == {namespace for namespace, _ in wanted}


def place(address: str) -> tuple[str, int]:
    """Namespace and port of `name.namespace.svc:port`."""
    host, _, port = address.partition(":")
    return host.split(".")[1], int(port)


def test_monitors_call_jobs_as_dashboards_know_them() -> None:
    file = DEPLOY / "prometheus" / "prometheus.yml"
    jobs = {one["job_name"] for one in read(file)[0]["scrape_configs"]}
    named = {
        relabeling["replacement"]
        for one in ALL
        if one["kind"] == "PodMonitor"
        for endpoint in one["spec"]["podMetricsEndpoints"]
        for relabeling in endpoint["relabelings"]
    }
    assert named == jobs


def test_no_secret_is_written_down() -> None:
    text = "\n".join(file.read_text() for file in HERE.rglob("*") if file.is_file())
    assert "kind: Secret" not in text
    assert A_SECRET not in text
