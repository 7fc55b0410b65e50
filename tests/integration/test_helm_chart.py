"""The Helm chart: every set of values renders to objects that Kubernetes and KEDA know, and that fit each other."""

from ipaddress import ip_network
from typing import Any

import helm_chart
import pytest
from headrace.outbound.policy import _DENIED, _METADATA

each_set = pytest.mark.parametrize("name", helm_chart.SETS)
_LONG_NAME = "m" * 40
_LONG = {"fullnameOverride": _LONG_NAME}
_KEDA = {"autoscaling": {"enabled": True}}
_JOB = {
    "schedule": "5 3 * * *",
    "command": ["headrace", "audit", "verify"],
    "apiKey": {"name": "a", "key": "b"},
}


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
        # The cluster would refuse these in the middle of an upgrade.
        (
            {**_LONG, **_KEDA, "runnerPools": {"germany": {}}},
            f"{_LONG_NAME}-runner-germany has 55 characters, and may have 54",
        ),
        (
            {**_LONG, **_KEDA, "runnerPools": {"germany-central1": {"kind": "ScaledJob"}}},
            "64 characters, and may have 63",
        ),
        ({**_LONG, "scheduledJobs": [{**_JOB, "name": "audits-1"}]}, "53 characters, and may have 52"),
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
        assert paths == {"startup": "/health", "liveness": "/health", "readiness": readiness}
        ports = {port["name"] for port in container["ports"]}
        assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in paths} <= ports


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
def test_a_node_is_drained_while_nothing_is_ready(name: str) -> None:
    for each in helm_chart.objects(name):
        if each["kind"] == "PodDisruptionBudget":
            assert each["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


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
            url = helm_chart.env(container)["HEADRACE_CONTROL_PLANE_URL"]
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


def test_the_public_net_leaves_out_all_that_the_egress_policy_denies_by_itself() -> None:
    """So that a socket that is opened around the guard of the services gets no further."""
    (runner,) = (
        policy["spec"]
        for policy in helm_chart.objects("as it comes", "NetworkPolicy")
        if policy["metadata"]["name"].endswith("-runner")
    )
    left_out = [
        ip_network(network)
        for rule in runner["egress"]
        for peer in rule.get("to", [])
        for network in peer.get("ipBlock", {}).get("except", [])
    ]
    denied = [ip_network(network) for network, _ in _DENIED] + [ip_network(address) for address in _METADATA]
    reached = [
        str(network)
        for network in denied
        if not any(other.version == network.version and network.subnet_of(other) for other in left_out)
    ]
    assert reached == []
