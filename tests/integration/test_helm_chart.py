"""The Helm chart: every set of values renders to objects that Kubernetes and KEDA know, and that fit each other."""

import dataclasses
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_chart
import pytest
import yaml
from headrace.bus.names import Names
from headrace.bus.port import JOBS, jobs_queue
from headrace.outbound.policy_file import load_policy
from headrace.telemetry.settings import TelemetrySettings
from headrace_control.scaling.model import PoolFigures
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_reporter.settings import ReporterSettings
from headrace_runner.settings import RunnerSettings
from pydantic_settings import BaseSettings

SERVICES: dict[str, type[BaseSettings]] = {
    "control-plane": ControlPlaneSettings,
    "runner": RunnerSettings,
    "reporter": ReporterSettings,
}
SECRET_SETTINGS = {
    "HEADRACE_DATABASE_URL",
    "HEADRACE_BUS_URL",
    "HEADRACE_LOG_STORE_URL",
    "HEADRACE_RUNNER_TOKEN",
    "HEADRACE_POOL_TOKENS",
    "HEADRACE_KEY",
    "HEADRACE_OIDC_CLIENT_SECRET",
    "HEADRACE_API_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "deploy-kubernetes.md"

each_set = pytest.mark.parametrize("name", helm_chart.SETS)


def test_there_are_twenty_sets_of_values_at_least() -> None:
    assert len(helm_chart.SETS) >= 20


@each_set
def test_a_set_renders_to_valid_objects_on_the_oldest_and_on_a_new_kubernetes(name: str) -> None:
    answers = {key: answer for key, answer in helm_chart.rendered().items() if key.startswith(f"{name} @ ")}
    assert len(answers) == 2
    for version, answer in answers.items():
        assert "error" not in answer, (version, answer)
        assert answer.get("invalid", []) == []
        assert answer.get("lint", []) == []
        assert answer["objects"]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"runer": {}}, "runer"),
        ({"runner": {"replica": 2}}, "replica"),
        ({"runner": {"replicas": "two"}}, "/runner/replicas"),
        ({"runner": {"settings": {"HEADRACE_RUNNER_TOKEN": "a secret in the values"}}}, "RUNNER_TOKEN"),
        ({"controlPlane": {"settings": {"HEADRACE_KEY": "a secret in the values"}}}, "HEADRACE_KEY"),
        ({"runner": {"settings": {"HEADRACE_DRAIN_SECONDS": 90}}}, "DRAIN_SECONDS"),
        ({"runner": {"settings": {"PATH": "/"}}}, "PATH"),
        ({"secrets": {"database": {"name": "a", "key": "b", "value": "postgres://"}}}, "value"),
        ({"secrets": {"database": None}}, "database"),
        ({"secrets": {"masterKey": None}}, "secrets.masterKey or kms.keyId"),
        ({"kms": {"keyId": "key-1"}}, "secrets.kms"),
        ({"runner": {"kind": "ScaledJob"}}, "autoscaling.enabled"),
        ({"autoscaling": {"enabled": True, "minReplicas": 30}}, "minReplicas"),
        (
            {"autoscaling": {"enabled": True, "queue": {"enabled": False}}, "operators": {"enabled": False}},
            "needs a trigger",
        ),
        ({"autoscaling": {"queue": {"protocol": "stomp"}}}, "/autoscaling/queue/protocol"),
        ({"operators": {"port": 8081}}, "/operators/port"),
        ({"runner": {"settings": {"HEADRACE_POOL": "eu"}}}, "HEADRACE_POOL"),
        ({"controlPlane": {"settings": {"HEADRACE_POOL_TOKENS": "{}"}}}, "POOL_TOKENS"),
        ({"runnerPools": {"default": {}}}, "propertyName 'default'"),
        ({"runnerPools": {"Eu": {}}}, "propertyName 'Eu'"),
        ({"runnerPools": {"eu": {"autoscaling": {"enabled": True}}}}, "/runnerPools/eu/autoscaling"),
        ({"runnerPools": {"eu": {"kind": "ScaledJob"}}}, "runnerPools.eu: runner.kind ScaledJob"),
    ],
)
def test_values_that_can_not_be_meant_are_refused(values: dict[str, Any], why: str) -> None:
    assert why in helm_chart.refusal(values)


# -- what a container may do ---------------------------------------------------------------------------------


@each_set
def test_every_pod_is_confined(name: str) -> None:
    for component, template in helm_chart.pods(name):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, component
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for component, container, _ in helm_chart.containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, component
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}, component


@each_set
def test_a_pod_is_given_longer_than_its_service_drains(name: str) -> None:
    for component, container, spec in helm_chart.containers(name):
        if helm_chart.service(component) in SERVICES:
            drain = float(_env(container)["HEADRACE_DRAIN_SECONDS"])
            leaves = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            assert spec["terminationGracePeriodSeconds"] >= math.ceil(drain) + leaves + 10, component


@each_set
def test_an_outage_elsewhere_restarts_nothing_and_takes_no_control_plane_away(name: str) -> None:
    for component, container, _ in helm_chart.containers(name):
        if "livenessProbe" not in container:
            assert component in ("migrations", "scheduled-job") or "--once" in container["command"]
            continue
        paths = {
            probe: container[f"{probe}Probe"]["httpGet"]["path"]
            for probe in ("startup", "liveness", "readiness")
        }
        readiness = "/health" if component == "control-plane" else "/ready"
        assert paths == {"startup": "/ready", "liveness": "/health", "readiness": readiness}
        ports = {port["name"] for port in container["ports"]}
        assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in paths} <= ports


# -- settings and secrets ------------------------------------------------------------------------------------


@each_set
def test_the_settings_of_a_service_are_settings_that_it_takes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for component, container, spec in helm_chart.containers(name):
        names = [entry["name"] for entry in container.get("env", [])]
        assert len(names) == len(set(names)), (component, "named twice")
        settings = SERVICES.get(helm_chart.service(component))
        if settings is None:
            continue
        from_files = [path for path in _secret_paths(spec) if path.startswith("HEADRACE_")]
        given = {**_env(container), **dict.fromkeys(from_files, "0123456789abcdef")}
        if "HEADRACE_POOL_TOKENS" in from_files:
            given["HEADRACE_POOL_TOKENS"] = '{"eu": "0123456789abcdef"}'
        known = {f"HEADRACE_{field.upper()}" for field in settings.model_fields}
        known |= {f"OTEL_{field.upper()}" for field in TelemetrySettings.model_fields}
        known |= {f"AWS_{field.upper()}" for field in AwsSettings.model_fields}
        assert set(given) | set(names) <= known, component
        with monkeypatch.context() as environment:
            for variable, value in given.items():
                environment.setenv(variable, value)
            settings()


@each_set
def test_no_secret_stands_in_an_object(name: str) -> None:
    for component, container, _ in helm_chart.containers(name):
        for entry in container.get("env", []):
            if entry["name"] in SECRET_SETTINGS:
                assert "value" not in entry, (component, entry["name"])
    assert not helm_chart.objects(name, "Secret")
    assert "://" not in re.sub(
        r"(https?://[^:@\s]+(:\d+)?)(?=[/\s\"']|$)", "", json.dumps(helm_chart.objects(name))
    )


@each_set
def test_every_file_that_a_setting_names_is_mounted(name: str) -> None:
    maps = {each["metadata"]["name"]: each["data"] for each in helm_chart.objects(name, "ConfigMap")}
    for component, container, spec in helm_chart.containers(name):
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounted = {
            f"{mount['mountPath']}/{file}"
            for mount in container["volumeMounts"]
            for file in _files(volumes[mount["name"]], maps)
        }
        for variable, value in _env(container).items():
            if value.startswith("/"):
                assert value in mounted, (component, variable)


def test_the_guide_names_every_secret_that_has_to_be_there() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    for name in ("as it comes", "keda", "mutual tls"):
        for secret, key in sorted(set(_secrets(helm_chart.objects(name)))):
            assert re.search(rf"^\| `{re.escape(secret)}` \| `{re.escape(key)}`", page, re.MULTILINE), (
                secret,
                key,
            )


def test_the_guide_has_every_value_with_its_default() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    (table,) = re.findall(r"^## Values$(.*?)(?=^## )", page, re.MULTILINE | re.DOTALL)
    said = {
        name: default
        for names, default in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", table, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", names)
    }
    there = dict(_values(yaml.safe_load((helm_chart.CHART / "values.yaml").read_text(encoding="utf-8")), ""))
    assert {
        name: default if default == "in the file" else default.strip("`") for name, default in said.items()
    } == {
        name: "in the file" if said.get(name) == "in the file" else default for name, default in there.items()
    }


def _values(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Each value that has no further ones below it, a secret's reference being one; with its default as JSON."""
    if isinstance(value, dict) and value and set(value) != {"name", "key"}:
        for name, each in value.items():
            yield from _values(each, f"{path}.{name}" if path else name)
    else:
        yield path, json.dumps(value)


def test_a_services_secrets_are_what_it_needs_and_no_more() -> None:
    reached = {
        component: set(_secret_paths(template["spec"]))
        for component, template in helm_chart.pods("as it comes")
    }
    assert reached == {
        "control-plane": {
            "HEADRACE_DATABASE_URL",
            "HEADRACE_BUS_URL",
            "HEADRACE_LOG_STORE_URL",
            "HEADRACE_RUNNER_TOKEN",
            "master_key",
        },
        "runner": {"HEADRACE_BUS_URL", "HEADRACE_RUNNER_TOKEN"},
        "reporter": {"HEADRACE_DATABASE_URL", "HEADRACE_BUS_URL", "HEADRACE_LOG_STORE_URL"},
        "migrations": {"HEADRACE_DATABASE_URL"},
    }


def test_the_egress_policy_is_one_that_services_read(tmp_path: Path) -> None:
    for name in ("as it comes", "services elsewhere"):
        (policy,) = helm_chart.objects(name, "ConfigMap")
        file = tmp_path / "egress.yaml"
        file.write_text(policy["data"]["egress.yaml"])
        load_policy(file)
    assert "10.9.0.0/16:443" in file.read_text()


# -- objects that name each other ----------------------------------------------------------------------------


@each_set
def test_what_selects_pods_selects_some(name: str) -> None:
    labels = {component: template["metadata"]["labels"] for component, template in helm_chart.pods(name)}
    for each in helm_chart.objects(name):
        match each["kind"]:
            case "Service":
                selector = each["spec"]["selector"]
            case "PodDisruptionBudget" | "Deployment":
                selector = each["spec"]["selector"]["matchLabels"]
            case "NetworkPolicy":
                selector = each["spec"]["podSelector"]["matchLabels"]
            case _:
                continue
        chosen = [component for component, own in labels.items() if selector.items() <= own.items()]
        assert chosen, (each["kind"], each["metadata"]["name"])
        if each["kind"] != "NetworkPolicy":
            assert len(chosen) == 1
        if each["kind"] == "Deployment":
            assert selector.items() <= each["spec"]["template"]["metadata"]["labels"].items()


@each_set
def test_a_service_leads_to_a_port_that_is_there(name: str) -> None:
    ports = {
        port["name"]
        for component, container, _ in helm_chart.containers(name)
        if component == "control-plane"
        for port in container["ports"]
    }
    services = {
        each["metadata"]["name"].rsplit("-", 1)[-1]: each for each in helm_chart.objects(name, "Service")
    }
    assert {"api", "internal"} <= services.keys()
    for each in services.values():
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= ports
    assert services["internal"]["spec"]["type"] == "ClusterIP"
    for component, container, _ in helm_chart.containers(name):
        if helm_chart.service(component) == "runner":
            url = _env(container)["HEADRACE_CONTROL_PLANE_URL"]
            assert url.endswith(f"://{services['internal']['metadata']['name']}.flows.svc:8081")


@each_set
def test_every_component_has_its_network_policy(name: str) -> None:
    policies = helm_chart.objects(name, "NetworkPolicy")
    if not helm_chart.SETS[name].get("networkPolicy", {}).get("enabled", True):
        assert policies == []
        return
    selected = {
        policy["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component") for policy in policies
    }
    assert selected == {None, *(component for component, _ in helm_chart.pods(name))}
    for policy in policies:
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_networks_are_as_narrow_as_the_services() -> None:
    policies = {
        policy["metadata"]["name"].removeprefix("fleet-headrace-"): policy["spec"]
        for policy in helm_chart.objects("services elsewhere", "NetworkPolicy")
    }
    reached = {
        component: {port["port"] for rule in spec.get("egress", []) for port in rule.get("ports", [])}
        for component, spec in policies.items()
    }
    assert reached["default"] == {53}
    assert "ingress" not in policies["default"]
    # Neither Postgres (6432 here) nor the log store.
    assert reached["runner"] == {5671, 8081, 443}
    assert reached["reporter"] == {6432, 5671, 27017}
    assert reached["migrations"] == {6432}
    internal = [
        rule for rule in policies["control-plane"]["ingress"] if rule["ports"][0]["port"] == "internal"
    ]
    (rule,) = internal
    (peer,) = rule["from"]
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "runner"
    outside = [
        peer["ipBlock"]
        for rule in policies["runner"]["egress"]
        for peer in rule.get("to", [])
        if "ipBlock" in peer
    ]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12", "127.0.0.0/8"} <= set(
        outside[-3]["except"]
    )


# -- scaling -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keda", "its own names", "a container for each run"])
def test_the_queue_that_keda_watches_is_the_one_that_runners_read(name: str) -> None:
    values = helm_chart.SETS[name]
    (scaled,) = [each for each in helm_chart.objects(name) if each["kind"] in ("ScaledObject", "ScaledJob")]
    trigger = scaled["spec"]["triggers"][0]
    assert trigger["type"] == "rabbitmq"
    names = Names(values.get("partitions", 4), values.get("busNamespace", ""))
    assert trigger["metadata"]["queueName"] == names.outside(JOBS)
    (authentication,) = helm_chart.objects(name, "TriggerAuthentication")
    assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


def test_keda_scales_the_runners_to_none_and_back() -> None:
    (scaled,) = helm_chart.objects("keda", "ScaledObject")
    (runner,) = [
        each
        for each in helm_chart.objects("keda", "Deployment")
        if each["metadata"]["name"].endswith("-runner")
    ]
    assert scaled["spec"]["scaleTargetRef"]["name"] == runner["metadata"]["name"]
    assert "replicas" not in runner["spec"]
    assert scaled["spec"]["minReplicaCount"] == 0
    assert [each["metadata"].get("valueLocation") for each in scaled["spec"]["triggers"]] == [
        None,
        "pools.default.load",
        "pools.default.oldest_seconds",
    ]
    assert {"load", "oldest_seconds"} <= {field.name for field in dataclasses.fields(PoolFigures)}
    (operators,) = [
        each
        for each in helm_chart.objects("keda", "Service")
        if each["metadata"]["name"].endswith("-operators")
    ]
    (port,) = operators["spec"]["ports"]
    assert scaled["spec"]["triggers"][1]["metadata"]["url"] == (
        f"http://{operators['metadata']['name']}.flows.svc:{port['port']}/scaling"
    )


def test_each_pool_has_runners_that_are_scaled_by_its_own_queue_and_figures() -> None:
    names = Names(4, "mill.")
    scaled = {
        each["metadata"]["name"].removeprefix("fleet-headrace-"): each["spec"]
        for each in helm_chart.objects("pools and keda")
        if each["kind"] in ("ScaledObject", "ScaledJob")
    }
    watched = {
        component: [
            each["metadata"].get("queueName") or each["metadata"]["valueLocation"]
            for each in spec["triggers"]
        ]
        for component, spec in scaled.items()
    }
    assert watched == {
        "runner": [names.outside(JOBS), "pools.default.load", "pools.default.oldest_seconds"],
        "runner-eu": [names.outside(jobs_queue("eu")), "pools.eu.load"],
        "runner-us": [names.outside(jobs_queue("us"))],
    }
    bounds = {
        component: (spec["minReplicaCount"], spec["maxReplicaCount"]) for component, spec in scaled.items()
    }
    assert bounds == {"runner": (1, 20), "runner-eu": (0, 50), "runner-us": (1, 20)}
    assert scaled["runner-eu"]["scaleTargetRef"]["name"] == "fleet-headrace-runner-eu"
    assert len(helm_chart.objects("pools and keda", "TriggerAuthentication")) == 1
    for name in ("pools", "pools and keda"):
        pools = {
            component: _env(container).get("HEADRACE_POOL")
            for component, container, _ in helm_chart.containers(name)
        }
        assert {component: pool for component, pool in pools.items() if component.startswith("runner")} == {
            "runner": None,
            "runner-eu": "eu",
            "runner-us": "us",
        }


def test_a_pool_is_like_the_other_runners_but_for_what_it_says() -> None:
    deployments = {
        each["metadata"]["name"].removeprefix("fleet-headrace-"): each["spec"]
        for each in helm_chart.objects("pools", "Deployment")
    }
    assert [deployments[name]["replicas"] for name in ("runner", "runner-eu", "runner-us")] == [2, 0, 2]
    own, eu = (deployments[name]["template"]["spec"] for name in ("runner", "runner-eu"))
    assert "nodeSelector" not in own
    assert eu["nodeSelector"] == {"region": "eu"}
    cpu = {"cpu": "1"}
    assert [pod["containers"][0]["resources"]["limits"] for pod in (own, eu)] == [
        {**cpu, "memory": "1Gi"},
        {**cpu, "memory": "2Gi"},
    ]
    bus = ("headrace-runner-bus", "url")
    assert set(_secrets(own)) == {bus, ("headrace-runner-token", "token")}
    assert set(_secrets(eu)) == {bus, ("eu", "token")}
    assert "HEADRACE_POOL_TOKENS" in _secret_paths(deployments["control-plane"]["template"]["spec"])
    # Whoever is a runner of some pool reaches the runners' port.
    (policy,) = [
        each
        for each in helm_chart.objects("pools", "NetworkPolicy")
        if each["metadata"]["name"].endswith("-control-plane")
    ]
    (inside,) = [rule for rule in policy["spec"]["ingress"] if rule["ports"][0]["port"] == "internal"]
    assert [peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] for peer in inside["from"]] == [
        "runner",
        "runner-eu",
        "runner-us",
    ]


def _secrets(objects: Any) -> Iterator[tuple[str, str]]:
    """Each Secret that is named in an object, with the key."""
    match objects:
        case {"secret": {"name": name, "items": items}} | {"secret": {"secretName": name, "items": items}}:
            yield from ((name, item["key"]) for item in items)
        case {"secretKeyRef": {"name": name, "key": key}} | {"parameter": _, "name": name, "key": key}:
            yield name, key
        case dict():
            for each in objects.values():
                yield from _secrets(each)
        case list():
            for each in objects:
                yield from _secrets(each)


def _env(container: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


def _secret_paths(spec: dict[str, Any]) -> list[str]:
    return [path for volume in spec["volumes"] if "projected" in volume for path in _files(volume, {})]


def _files(volume: dict[str, Any], maps: dict[str, dict[str, str]]) -> Iterator[str]:
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            yield from (item["path"] for item in source["secret"]["items"])
    if "secret" in volume:
        yield from (item["path"] for item in volume["secret"]["items"])
    if "configMap" in volume:
        yield from maps[volume["configMap"]["name"]]
