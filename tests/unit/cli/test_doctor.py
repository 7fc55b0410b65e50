"""What `headrace doctor` says of the deployment that it was told of."""

import json
from pathlib import Path
from typing import Any

import pytest
from headrace_cli.main import app
from typer.testing import CliRunner


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder, and for a person, without a profile file."""
    monkeypatch.chdir(tmp_path)
    for name in ("HEADRACE_URL", "HEADRACE_API_KEY", "HEADRACE_PROFILE", "HEADRACE_PROFILE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))


def examined(*arguments: str, **environment: str) -> tuple[int, Any]:
    done = CliRunner().invoke(app, ["doctor", "--json", *arguments], env=environment)
    (found,) = [one for one in json.loads(done.stdout) if one["what"] == "a deployment"]
    return done.exit_code, found


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["--url", "http://127.0.0.1:1"], {}),
        ([], {"HEADRACE_URL": "http://127.0.0.1:1", "HEADRACE_API_KEY": "key"}),
    ],
)
def test_a_deployment_that_was_named_and_does_not_answer_is_wrong(
    arguments: list[str], environment: dict[str, str]
) -> None:
    code, found = examined(*arguments, **environment)
    assert (code, found["verdict"]) == (1, "WRONG")
    assert "does not answer" in found["detail"]
    assert "headrace dev" not in found["mend"]


def test_what_is_wrong_with_a_profile_is_told_with_its_own_mend(tmp_path: Path) -> None:
    file = tmp_path / "headrace" / "profiles.toml"
    file.parent.mkdir()
    file.write_text("[default]")
    file.chmod(0o644)
    code, found = examined()
    assert (code, found["verdict"], found["mend"]) == (1, "WRONG", f"chmod 600 {file}")
