"""What the command line gets wrong ends with a sentence, its mend and the documented exit code."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from headrace_cli.main import app
from typer.testing import CliRunner

HEADRACE = [sys.executable, "-m", "headrace_cli.main"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("dev --data {file}", "no folder that can be written"),
        ("dev --data {file}/below", "no folder that can be written"),
        ("dev --data /sys/headrace", "no folder that can be written"),
        ("dev --port 99999", "65535"),
        ("dev --port 0", "greater than or equal to 1"),
        ("dev --port 18123 --internal-port 18123", "18123 is --port too"),
        ("fleet --signals http://127.0.0.1:1 --min 3 --max 2", "3 is above --max 2"),
        ("fleet --signals nowhere", "no http address"),
        ("fleet --signals http://127.0.0.1:1", "Field required"),
        ("runner --once", "Field required"),
        ("runner --once --wait -1", "greater than or equal to 0"),
        ("demo --folder {file}.none", "the demo's files are not there"),
        ("demo --folder {folder}", "orders.json"),
        ("run list --api-key schl\u00fcssel", "characters that no key has"),
        ("logs --follow --api-key schl\u00fcssel", "characters that no key has"),
        ("run list --api-key x --url http://[", "not an http or https URL"),
        ("run list --api-key x --url http://127.0.0.1:99999", "not an http or https URL"),
        ("run list --profile-file {folder}", "no such file"),
        ("run list --unknown", "No such option"),
        ("run get", "Missing argument"),
        ("unknown", "No such command"),
        ("logs --level LOUD", "LOUD"),
        ("logs --api-key x --since 999999d", "not a time"),
    ],
)
@pytest.mark.parametrize("machine", [False, True])
def test_wrong_usage_is_told(tmp_path: Path, arguments: str, words: str, machine: bool) -> None:
    file = tmp_path / "file"
    file.write_text("a file")
    given = [part.format(file=file, folder=tmp_path) for part in arguments.split()]
    done = CliRunner().invoke(app, [*given, *(["--json"] if machine else [])], env={"COLUMNS": "300"})
    assert done.exit_code == 2, done.output
    assert words in done.stderr
    if machine:
        error = json.loads(done.stdout)["error"]
        assert error["code"] == "INVALID_INPUT"
        assert any(words in problem["message"] for problem in error["problems"])
        assert all(problem["mend"] for problem in error["problems"])


def test_the_version_is_told() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"headrace {version('headrace-cli')}\n")


@pytest.mark.parametrize("machine", [[], ["--json"]])
def test_a_reader_that_leaves_ends_the_command_quietly(machine: list[str]) -> None:
    """As `| head` does, from its first line on."""
    process = subprocess.Popen(
        [*HEADRACE, "doctor", *machine], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr as errors:
        said = "" if machine else errors.read()  # with --json it holds the words for people
    assert (process.wait(60), said) == (141, "")
