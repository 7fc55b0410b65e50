"""Scaling in the Helm chart: what KEDA watches is there, for all runners and for each pool."""

import dataclasses

import helm_chart
import pytest
from headrace.bus.names import Names
from headrace.bus.port import JOBS, jobs_queue
from headrace_control.scaling.model import PoolFigures


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
            component: helm_chart.env(container).get("HEADRACE_POOL")
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
    assert set(helm_chart.secrets(own)) == {bus, ("headrace-runner-token", "token")}
    assert set(helm_chart.secrets(eu)) == {bus, ("eu", "token")}
    assert "HEADRACE_POOL_TOKENS" in helm_chart.secret_paths(deployments["control-plane"]["template"]["spec"])
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
