"""The units of deploy/systemd: systemd understands them, and they fit the services that they start."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from headrace.process import WRONG_SETTING
from headrace_control.settings import ControlPlaneSettings
from headrace_reporter.settings import ReporterSettings
from headrace_runner.settings import RunnerSettings
from pydantic_settings import BaseSettings
from servers import missing

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES: dict[str, tuple[str, type[BaseSettings]]] = {
    "headrace-control-plane.service": ("headrace_control", ControlPlaneSettings),
    "headrace-runner@.service": ("headrace_runner", RunnerSettings),
    "headrace-reporter@.service": ("headrace_reporter", ReporterSettings),
}

each_service = pytest.mark.parametrize("name", SERVICES)


@pytest.fixture
def analyze(tmp_path: Path) -> str:
    """systemd-analyze; the units are in `tmp_path`, with a Python that is there in place of the installed one."""
    program = shutil.which("systemd-analyze")
    if program is None:
        missing("no systemd-analyze: apt-get install systemd")
    for unit in FOLDER.iterdir():
        (tmp_path / unit.name).write_text(
            unit.read_text().replace("/opt/headrace/bin/python", sys.executable)
        )
    return str(program)


def test_systemd_understands_the_units(analyze: str, tmp_path: Path) -> None:
    units = [str(tmp_path / unit.name) for unit in FOLDER.iterdir()]
    said = subprocess.run([analyze, "verify", "--man=no", *units], capture_output=True, text=True)
    about_ours = [line for line in said.stderr.splitlines() if "headrace" in line]
    assert (said.returncode, about_ours) == (0, [])


@each_service
def test_a_service_is_confined(name: str, analyze: str, tmp_path: Path) -> None:
    # In tenths: systemd calls everything below 2.0 well confined.
    said = subprocess.run(
        [analyze, "security", "--offline=yes", "--threshold=20", str(tmp_path / name)],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stdout[-400:] + said.stderr


@each_service
def test_a_unit_fits_its_service(name: str) -> None:
    module, settings = SERVICES[name]
    unit = _read(FOLDER / name)
    assert unit["ExecStart"] == [f"/opt/headrace/bin/python -m {module}"]
    assert unit["RestartPreventExitStatus"] == [str(WRONG_SETTING)]
    given = dict(entry.split("=", 1) for entry in unit["Environment"])
    known = {f"HEADRACE_{field.upper()}" for field in settings.model_fields}
    assert set(given) - {"PYTHONUNBUFFERED"} <= known
    assert float(unit["TimeoutStopSec"][0]) >= float(given["HEADRACE_DRAIN_SECONDS"]) + 10
    default = settings.model_fields["drain_seconds"].default
    assert float(given["HEADRACE_DRAIN_SECONDS"]) == default
    secrets = {"HEADRACE_DATABASE_URL", "HEADRACE_BUS_URL", "HEADRACE_LOG_STORE_URL", "HEADRACE_RUNNER_TOKEN"}
    assert not secrets & set(given), "secrets are in the environment files"


def test_instances_have_ports_of_their_own() -> None:
    ports = [
        re.findall(r"HEADRACE_HEALTH_PORT=(\d+)%i", (FOLDER / name).read_text())
        for name in SERVICES
        if "@" in name
    ]
    assert ports == [["91"], ["92"]]


def _read(unit: Path) -> dict[str, list[str]]:
    """Each key with its values, in order."""
    read: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            read.setdefault(key, []).append(value)
    return read
