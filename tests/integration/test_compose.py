"""The Compose file: its services get the settings that they take, and are started when their stores are there."""

import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from headrace_cli.embedded_postgres import _programs, embedded_postgres
from headrace_control.settings import ControlPlaneSettings
from headrace_reporter.settings import ReporterSettings
from headrace_runner.settings import RunnerSettings
from pydantic_settings import BaseSettings

FOLDER = Path(__file__).parents[2] / "deploy" / "compose"
SERVICES: dict[str, type[BaseSettings]] = {
    "control-plane": ControlPlaneSettings,
    "runner": RunnerSettings,
    "reporter": ReporterSettings,
}


def services() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text(encoding="utf-8"))
    return dict(read["services"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_given_settings_that_it_takes_and_all_that_it_needs(name: str) -> None:
    service, fields = services()[name], SERVICES[name].model_fields
    from_files = {each if isinstance(each, str) else each["target"] for each in service["secrets"]}
    given = {*service["environment"], *(name for name in from_files if name.startswith("HEADRACE_"))}
    assert given <= {f"HEADRACE_{field.upper()}" for field in fields}
    assert given >= {f"HEADRACE_{name.upper()}" for name, field in fields.items() if field.is_required()}


def test_runners_share_no_network_with_a_store() -> None:
    networks = {name: set(service["networks"]) for name, service in services().items()}
    assert not networks["runner"] & (networks["postgres"] | networks["mongodb"])


def test_a_secret_that_can_not_be_read_starts_nothing(tmp_path: Path) -> None:
    secret, script, refused = tmp_path / "HEADRACE_KEY", tmp_path / "with-secrets", tmp_path / "cat"
    secret.write_text("a key")
    script.write_text(
        (FOLDER / "with-secrets").read_text(encoding="utf-8").replace("/run/secrets", str(tmp_path))
    )

    def begun() -> tuple[int, str]:
        environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        command = ["sh", script, "sh", "-c", "echo $HEADRACE_KEY"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert begun() == (0, "a key\n")
    # As for a user who may not read it; whoever runs this test may be root.
    refused.write_text("#!/bin/sh\nexit 1\n")
    refused.chmod(0o700)
    assert begun() == (1, "")


def test_postgres_is_not_healthy_while_it_is_initialised(tmp_path: Path) -> None:
    """The image then runs a server on its socket alone, and another one after it. Who came to the first would be
    refused by the second, and migrations are tried once."""
    command, *arguments = services()["postgres"]["healthcheck"]["test"][1:]
    with embedded_postgres(tmp_path) as server:
        folder = unquote(server.dsn.rpartition("host=")[2])
        asked = subprocess.run(
            [_programs() / command, *arguments],
            env={**os.environ, "PGHOST": folder},
            capture_output=True,
            check=False,
        )
    assert asked.returncode == 2, asked.stdout


def test_mongodb_is_not_healthy_while_it_is_initialised() -> None:
    """The image then runs a server on its loopback alone, without users, and another one after it."""
    command = services()["mongodb"]["healthcheck"]["test"]
    assert command[command.index("--host") + 1] == "mongodb"
