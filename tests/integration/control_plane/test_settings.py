"""Settings: a wrong one names itself, and keeps its value to itself."""

import pytest
from headrace.process import read_settings
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


OIDC = {"HEADRACE_OIDC_ISSUER": "https://issuer.test", "HEADRACE_OIDC_CLIENT_ID": "headrace"}
OIDC |= {"HEADRACE_PUBLIC_URL": "https://headrace.test", "HEADRACE_OIDC_CLIENT_SECRET": "canary"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("HEADRACE_OIDC_ALGORITHMS", "RS256 HS256", "HEADRACE_OIDC_ALGORITHMS"),
        ("HEADRACE_OIDC_ALGORITHMS", "none", "HEADRACE_OIDC_ALGORITHMS"),
        ("HEADRACE_OIDC_ALGORITHMS", "", "HEADRACE_OIDC_ALGORITHMS"),
        ("HEADRACE_OIDC_SCOPES", "email", "HEADRACE_OIDC_SCOPES"),
        ("HEADRACE_OIDC_ISSUER", "http://issuer.test", "HEADRACE_OIDC_ISSUER"),
        ("HEADRACE_OIDC_ISSUER", "https://issuer.test?x=1", "HEADRACE_OIDC_ISSUER"),
        ("HEADRACE_PUBLIC_URL", "http://headrace.test", "HEADRACE_PUBLIC_URL"),
        ("HEADRACE_OIDC_CLIENT_ID", None, "HEADRACE_OIDC_CLIENT_ID"),
    ],
)
def test_an_unsafe_way_to_log_in_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str | None,
    words: str,
) -> None:
    for good, setting in OIDC.items():
        monkeypatch.setenv(good, setting)
    assert "canary" not in repr(read_settings(ControlPlaneSettings).oidc)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        read_settings(ControlPlaneSettings)
    assert words in capsys.readouterr().err
