"""Alerts and dashboards by themselves: promtool reads them, each alert fires for its cause and has its section in the
runbook, each dashboard has Grafana's shape."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import servers
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"][0]["rules"]
DASHBOARDS = sorted((FOLDER / "dashboards").glob("*.json"))
_DATASOURCE = {"type": "object", "required": ["type", "uid"]}
# What Grafana needs of a dashboard to show it (its model of version 39), and what ours have besides.
SHAPE = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "templating", "time", "panels"],
    "properties": {
        "uid": {"pattern": "^headrace-[a-z]+$"},
        "schemaVersion": {"const": 39},
        "panels": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["id", "title", "type", "datasource", "gridPos", "fieldConfig", "targets"],
                "properties": {
                    "id": {"type": "integer"},
                    "type": {"enum": ["timeseries", "stat", "table"]},
                    "datasource": _DATASOURCE,
                    "gridPos": {
                        "type": "object",
                        "required": ["x", "y", "w", "h"],
                        "properties": {"x": {"maximum": 23}, "w": {"minimum": 1, "maximum": 24}},
                    },
                    "fieldConfig": {
                        "properties": {"defaults": {"type": "object", "required": ["unit"]}},
                        "required": ["defaults", "overrides"],
                    },
                    "targets": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "type": "object",
                            "required": ["refId", "expr", "datasource", "legendFormat"],
                        },
                    },
                },
            },
        },
    },
}


def promtool(*arguments: str) -> str:
    prometheus = servers.local("prometheus")
    program = prometheus.program("promtool")
    if program is None:
        servers.missing("no promtool: python deploy/local install prometheus")
    done = subprocess.run(
        [str(program), *arguments], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "config", "prometheus.yaml")


def test_prometheus_finds_the_charts_pods_by_their_ports_and_components(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "guides" / "deploy-kubernetes.md").read_text()
    (block,) = re.findall(r"^```yaml\n(scrape_configs:\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    scraped = yaml.safe_load(block)
    del scraped["scrape_configs"][0]["kubernetes_sd_configs"]  # which Debian's Prometheus is built without
    (tmp_path / "prometheus.yaml").write_text(yaml.safe_dump(scraped))
    promtool("check", "config", str(tmp_path / "prometheus.yaml"))
    rules = scraped["scrape_configs"][0]["relabel_configs"]
    by_source = {rule["source_labels"][0].rpartition("_pod_")[2]: rule for rule in rules}
    templates = ROOT / "deploy" / "helm" / "headrace" / "templates"
    shown = {
        "control-plane": ("control-plane.yaml", "operators"),
        "reporter": ("reporter.yaml", "health"),
        "runner-eu": ("_runner.tpl", "health"),
    }
    for component, (file, port) in shown.items():
        assert f"{{name: {port}, containerPort: " in (templates / file).read_text()
        assert re.fullmatch(by_source["container_port_name"]["regex"], port)
        job = by_source["label_app_kubernetes_io_component"]
        found = re.fullmatch(job["regex"], component)
        assert found
        assert job["replacement"].replace("$1", found[1]) in {
            one["job_name"]
            for one in yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
        }


def test_each_alert_fires_for_what_it_is_there_for_and_none_when_all_is_well() -> None:
    tested = yaml.safe_load((FOLDER / "alerts_test.yaml").read_text())["tests"]
    *fired, well = tested
    assert list(dict.fromkeys(one["name"].partition(":")[0] for one in fired)) == [
        alert["alert"] for alert in ALERTS
    ]
    assert [one["alertname"] for one in well["alert_rule_test"]] == [alert["alert"] for alert in ALERTS]
    promtool("test", "rules", "alerts_test.yaml")


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_has_its_section_in_the_runbook(alert: dict[str, Any]) -> None:
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", alert["alert"]).lower()
    assert alert["annotations"]["runbook"] == f"docs/runbook.md#{name}"
    runbook = (ROOT / "docs" / "runbook.md").read_text()
    _, there, section = runbook.partition(f"### {name.replace('-', ' ').capitalize()}\n")
    assert there
    assert all(f"- **{part}**: " in section.partition("\n### ")[0] for part in ("Seen", "Do", "Do not"))


@pytest.mark.parametrize("file", DASHBOARDS, ids=lambda file: file.stem)
def test_a_dashboard_has_the_shape_of_one(file: Path) -> None:
    dashboard = json.loads(file.read_text())
    jsonschema.validate(dashboard, SHAPE)
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)


def test_the_collector_takes_what_the_services_send() -> None:
    collector = yaml.safe_load((FOLDER / "collector.yaml").read_text())
    (traces,) = collector["service"]["pipelines"].values()
    assert collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].endswith(":4318")
    for part in ("receivers", "processors", "exporters"):
        assert traces[part] == list(collector[part])


def test_compose_starts_what_looks_on() -> None:
    """Merged over the deployment's own file; no engine is asked."""
    compose = ROOT / "deploy" / "compose"
    own = yaml.safe_load((compose / "docker-compose.yaml").read_text())
    more = yaml.safe_load((compose / "observability.yaml").read_text())
    for name in ("control-plane", "runner", "reporter"):
        assert set(own["services"][name]["networks"]) < set(more["services"][name]["networks"])
        assert more["services"][name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://collector:4318"
    for config in more["configs"].values():
        assert (compose / config["file"]).is_file()
    jobs = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())["scrape_configs"]
    scraped = {name: job["port"] for one in jobs for job in one["dns_sd_configs"] for name in job["names"]}
    assert scraped == {
        "control-plane": int(own["services"]["control-plane"]["environment"]["HEADRACE_OPERATOR_PORT"]),
        "runner": int(own["services"]["runner"]["environment"]["HEADRACE_HEALTH_PORT"]),
        "reporter": int(own["services"]["reporter"]["environment"]["HEADRACE_HEALTH_PORT"]),
    }
    published = [
        port for file in (own, more) for one in file["services"].values() for port in one.get("ports", ())
    ]
    places = [port.rpartition(":")[0] for port in published]
    assert len(places) == len(set(places)), places
