"""Settings: a wrong one names itself, and keeps its value to itself."""

import re
from pathlib import Path

import pytest
from headrace.process import read_settings
from headrace_control.auth.permissions import ALLOWED, PLATFORM_ONLY
from headrace_control.auth.roles import Role
from headrace_control.settings import ControlPlaneSettings

GOOD = {
    "HEADRACE_DATABASE_URL": "postgresql:///headrace",
    "HEADRACE_BUS_URL": "postgresql:///headrace",
    "HEADRACE_LOG_STORE_URL": "postgresql:///headrace",
    "HEADRACE_RUNNER_TOKEN": "canary-runner-token",
    "HEADRACE_KEY": "canary-key",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_defaults_listen_to_this_machine_alone() -> None:
    settings = read_settings(ControlPlaneSettings)
    assert (settings.listen_host, settings.internal_host) == ("127.0.0.1", "127.0.0.1")
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("HEADRACE_LISTEN_PORT", "canary", "HEADRACE_LISTEN_PORT"),
        ("HEADRACE_PARTITIONS", "0", "HEADRACE_PARTITIONS"),
        ("HEADRACE_RUNNER_TOKEN", "canary", "HEADRACE_RUNNER_TOKEN"),
        ("HEADRACE_KEY_FILE", "/canary", "HEADRACE_KEY_FILE"),
    ],
)
def test_a_wrong_setting_ends_the_process_with_its_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        read_settings(ControlPlaneSettings)
    assert ended.value.code == 2
    words = capsys.readouterr().err
    assert named in words
    assert "canary" not in words


def test_a_setting_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HEADRACE_DATABASE_URL")
    with pytest.raises(SystemExit):
        read_settings(ControlPlaneSettings)
    assert "HEADRACE_DATABASE_URL" in capsys.readouterr().err


def test_the_documented_table_of_permissions_is_the_one_in_force() -> None:
    page = Path(__file__).parents[3] / "docs/reference/graphql.md"
    roles = [Role.ADMIN, Role.DESIGNER, Role.OPERATOR, Role.APPROVER, Role.VIEWER]
    written = {}
    for name, cells in re.findall(r"^\| `([A-Z_]+)`[^|]*\|(.*)\|$", page.read_text("utf-8"), re.MULTILINE):
        allowed = {role: cell.strip() for role, cell in zip(roles, cells.split("|"), strict=False)}
        written[name] = allowed
    for permission, allowed_roles in ALLOWED.items():
        yes = "platform" if permission in PLATFORM_ONLY else "yes"
        assert written[permission] == {role: yes if role in allowed_roles else "" for role in roles}
