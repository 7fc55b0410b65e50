"""Settings and secrets in the Helm chart: those that services take, and as the guide names them."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import helm_chart
import pytest
import yaml
from headrace.outbound.policy_file import load_policy
from headrace.telemetry.settings import TelemetrySettings
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_reporter.settings import ReporterSettings
from headrace_runner.settings import RunnerSettings
from pydantic_settings import BaseSettings

each_set = pytest.mark.parametrize("name", helm_chart.SETS)
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


@each_set
def test_a_pod_is_given_longer_than_its_service_drains(name: str) -> None:
    for component, container, spec in helm_chart.containers(name):
        if helm_chart.service(component) in SERVICES:
            drain = float(helm_chart.env(container)["HEADRACE_DRAIN_SECONDS"])
            leave = container.get("lifecycle", {}).get("preStop", {}).get("sleep")
            leaves = leave["seconds"] if leave else 0
            assert leave is None or leaves > 0, "Kubernetes before 1.33 refuses a sleep of none"
            assert spec["terminationGracePeriodSeconds"] >= math.ceil(drain) + leaves + 10, component


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
        from_files = [path for path in helm_chart.secret_paths(spec) if path.startswith("HEADRACE_")]
        given = {**helm_chart.env(container), **dict.fromkeys(from_files, "0123456789abcdef")}
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
            for file in helm_chart.files(volumes[mount["name"]], maps)
        }
        for variable, value in helm_chart.env(container).items():
            if value.startswith("/"):
                assert value in mounted, (component, variable)


def test_the_guide_names_every_secret_that_has_to_be_there() -> None:
    page = GUIDE.read_text(encoding="utf-8")
    for name in ("as it comes", "keda", "mutual tls"):
        for secret, key in sorted(set(helm_chart.secrets(helm_chart.objects(name)))):
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
        component: set(helm_chart.secret_paths(template["spec"]))
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
        (given,) = helm_chart.objects(name, "ConfigMap")
        file = tmp_path / "egress.yaml"
        file.write_text(given["data"]["egress.yaml"])
        policy = load_policy(file)
    assert len(policy.allow) == 1
    assert list(policy.tenants) == ["01890a5d-ac96-774b-bcce-b302099a8057"]
