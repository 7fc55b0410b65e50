"""The Helm chart rendered with many sets of values, once for the tests that read it."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import servers

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "headrace"

_SECRET = {"name": "elsewhere", "key": "url"}
_KEDA = {"autoscaling": {"enabled": True}}
_JOBS = {"autoscaling": {"enabled": True}, "runner": {"kind": "ScaledJob"}}
_TLS = {"internalTls": {"enabled": True}}
_KMS = {"kms": {"keyId": "key-1", "region": "eu-west-1"}, "secrets": {"kms": {"name": "aws"}}}
_AUDIT = {
    "name": "audit",
    "schedule": "5 3 * * *",
    "command": ["headrace", "audit", "verify"],
    "apiKey": {"name": "headrace-auditor", "key": "key"},
}
_ANYWHERE = {"peers": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "port": 6432}

SETS: Mapping[str, dict[str, Any]] = {
    "as it comes": {},
    "keda": _KEDA,
    "keda by the management api": {
        "autoscaling": {"enabled": True, "queue": {"protocol": "http", "secret": _SECRET}}
    },
    "keda by figures alone": {"autoscaling": {"enabled": True, "queue": {"enabled": False}}},
    "keda by the queue alone": {**_KEDA, "operators": {"enabled": False}},
    "keda, never none": {
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 50, "oldestSeconds": 0}
    },
    "a container for each run": _JOBS,
    "a container for each run, by the management api": {
        "autoscaling": {"enabled": True, "queue": {"protocol": "http"}},
        "runner": {"kind": "ScaledJob"},
    },
    "a container for each run, mutual tls": {**_JOBS, **_TLS},
    "mutual tls": _TLS,
    "tls of the server alone": {"internalTls": {"enabled": True, "mutual": False, "serverSecret": "server"}},
    "keda, mutual tls, no network policy": {**_KEDA, **_TLS, "networkPolicy": {"enabled": False}},
    "no network policy": {"networkPolicy": {"enabled": False}},
    "nobody reads metrics": {"networkPolicy": {"operatorsFrom": []}},
    "services elsewhere": {
        "networkPolicy": {
            "database": _ANYWHERE,
            "bus": {"peers": [{"ipBlock": {"cidr": "10.2.0.0/24"}}], "port": 5671},
            "logStore": {"peers": [{"namespaceSelector": {"matchLabels": {"team": "data"}}}], "port": 27017},
            "publicFrom": [{"namespaceSelector": {"matchLabels": {"ingress": "yes"}}}],
            "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 443}]}],
        },
        "egress": {
            "allow": ["10.9.0.0/16:443"],
            "tenants": {"01890a5d-ac96-774b-bcce-b302099a8057": {"allow": ["10.10.0.1:8443"]}},
        },
        "secrets": {"database": _SECRET, "logStore": {"name": "atlas", "key": "uri"}},
    },
    "nothing runs": {
        "controlPlane": {"replicas": 0},
        "runner": {"replicas": 0},
        "reporter": {"replicas": 0},
    },
    "no migrations, no operators' port": {
        "migrations": {"enabled": False},
        "operators": {"enabled": False},
    },
    "a kms beside the key": _KMS,
    "a kms alone": {
        "kms": {"keyId": "key-1", "endpoint": "https://kms.example"},
        "secrets": {"masterKey": None, "kms": {"name": "aws"}},
    },
    "people log in": {
        "secrets": {"oidcClient": {"name": "oidc", "key": "secret"}},
        "controlPlane": {
            "settings": {
                "HEADRACE_OIDC_ISSUER": "https://login.example",
                "HEADRACE_OIDC_CLIENT_ID": "headrace",
                "HEADRACE_PUBLIC_URL": "https://headrace.example.com",
                "HEADRACE_INTROSPECTION": True,
                "HEADRACE_SOCKETS": 1_000_000,
                "HEADRACE_RATE_PER_KEY": 0.5,
            }
        },
    },
    "pools": {
        "runnerPools": {
            "eu": {
                "replicas": 0,
                "nodeSelector": {"region": "eu"},
                "resources": {"limits": {"memory": "2Gi"}},
                "secrets": {"runnerToken": {"name": "eu", "key": "token"}},
            },
            "us": {"settings": {"HEADRACE_TIME_SLICE_MINUTES": 5}},
        },
        "secrets": {"poolTokens": {"name": "pools", "key": "tokens"}},
    },
    "pools and keda": {
        "autoscaling": {"enabled": True, "minReplicas": 1},
        "busNamespace": "mill.",
        "runnerPools": {
            "eu": {
                "maxUnavailable": 1,
                "autoscaling": {"minReplicas": 0, "maxReplicas": 50, "oldestSeconds": 0},
            },
            "us": {"kind": "ScaledJob"},
        },
        **_TLS,
    },
    "traces": {"tracesEndpoint": "http://collector.monitoring:4318"},
    "jobs by the clock": {"scheduledJobs": [_AUDIT, {**_AUDIT, "name": "again"}]},
    "its own names": {
        "fullnameOverride": "mill",
        "busNamespace": "mill.",
        "partitions": 16,
        "image": {
            "repository": "registry.example/headrace",
            "tag": "1.2.3",
            "digest": "sha256:" + "0a" * 32,
            "pullSecrets": ["registry"],
        },
        **_KEDA,
    },
    "leaves at once": {"controlPlane": {"leaveSeconds": 0}},
    "placed": {
        component: {
            "nodeSelector": {"pool": "work"},
            "tolerations": [{"key": "work", "operator": "Exists"}],
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
            "priorityClassName": "high",
            "podAnnotations": {"prometheus.io/scrape": "true"},
            "maxUnavailable": "50%",
        }
        for component in ("controlPlane", "runner", "reporter")
    },
    "long drains, no budgets, not spread": {
        "controlPlane": {"drainSeconds": 60.5, "leaveSeconds": 20, "maxUnavailable": None},
        "runner": {"drainSeconds": 600, "maxUnavailable": None, "capacity": 1000},
        "reporter": {"drainSeconds": 0, "maxUnavailable": None},
        "topologySpread": [],
    },
}


@functools.cache
def rendered() -> dict[str, dict[str, Any]]:
    """What came of each set, on the oldest Kubernetes that the chart is for and on a new one: `name @ version`."""
    helm = _helm()
    return {
        f"{name} @ {version}": answer
        for version in helm.KUBERNETES
        for name, answer in _ask(version, SETS).items()
    }


def refusal(values: dict[str, Any]) -> str:
    """Why these values are refused; nothing if they are not."""
    return str(_ask(next(iter(_helm().KUBERNETES)), {"": values})[""].get("error", ""))


def objects(name: str, kind: str | None = None) -> list[dict[str, Any]]:
    """The objects of a set, as the newest Kubernetes gets them."""
    version = list(_helm().KUBERNETES)[-1]
    return [each for each in rendered()[f"{name} @ {version}"]["objects"] if kind in (None, each["kind"])]


def service(component: str) -> str:
    """Whose pods a component's are: those of a runner pool are runners'."""
    return "runner" if component.startswith("runner-") else component


def pods(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each pod template of a set, with its component."""
    for each in objects(name):
        spec = each.get("spec") or {}
        match each["kind"]:
            case "Deployment" | "Job":
                template = spec["template"]
            case "CronJob":
                template = spec["jobTemplate"]["spec"]["template"]
            case "ScaledJob":
                template = spec["jobTargetRef"]["template"]
            case _:
                continue
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template


def containers(name: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Each container of a set, with its component and its pod's spec."""
    for component, template in pods(name):
        for container in template["spec"]["containers"]:
            yield component, container, template["spec"]


def secrets(objects: Any) -> Iterator[tuple[str, str]]:
    """Each Secret that is named in an object, with the key."""
    match objects:
        case {"secret": {"name": name, "items": items}} | {"secret": {"secretName": name, "items": items}}:
            yield from ((name, item["key"]) for item in items)
        case {"secretKeyRef": {"name": name, "key": key}} | {"parameter": _, "name": name, "key": key}:
            yield name, key
        case dict():
            for each in objects.values():
                yield from secrets(each)
        case list():
            for each in objects:
                yield from secrets(each)


def env(container: dict[str, Any]) -> dict[str, str]:
    """The settings that a container is given as values."""
    return {entry["name"]: entry["value"] for entry in container.get("env", []) if "value" in entry}


def secret_paths(spec: dict[str, Any]) -> list[str]:
    """The files that a pod has from Secrets."""
    return [path for volume in spec["volumes"] if "projected" in volume for path in files(volume, {})]


def files(volume: dict[str, Any], maps: dict[str, dict[str, str]]) -> Iterator[str]:
    """The files of a volume; `maps` are the ConfigMaps by name."""
    if "projected" in volume:
        for source in volume["projected"]["sources"]:
            yield from (item["path"] for item in source["secret"]["items"])
    if "secret" in volume:
        yield from (item["path"] for item in volume["secret"]["items"])
    if "configMap" in volume:
        yield from maps[volume["configMap"]["name"]]


def _ask(version: str, sets: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    helm = _helm()
    answer: dict[str, Any] = helm.ask(
        {
            "chart": str(CHART),
            "schemas": str(helm.schemas(version)),
            "namespace": "flows",
            "kubeVersion": version,
            "sets": sets,
        }
    )
    return answer


def _helm() -> Any:
    helm = servers.local("helm")
    if not helm.program():
        servers.missing("Helm is not built: python deploy/local install helm")
    return helm
