"""What the command line gets wrong ends with a sentence, its mend and the documented exit code."""

import json
import os
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


@pytest.mark.parametrize("machine", [[], ["--json"]])
@pytest.mark.parametrize(("arguments", "code"), [("templates list", 4), ("templates show none", 2)])
def test_a_full_disk_is_told_and_keeps_no_exit_code_back(
    arguments: str, code: int, machine: list[str]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*HEADRACE, *arguments.split(), *machine], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == code, done.stderr
    assert done.stderr.count(b"\n") <= 2, "no traceback"


@pytest.mark.parametrize("machine", ["", "--json"])
def test_an_error_that_nobody_reads_keeps_its_exit_code(machine: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [*HEADRACE, "templates", "show", "none", *machine.split()],
            stdout=output,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, b"no template" in done.stderr) == (2, True)


@pytest.mark.parametrize("machine", ["", "--json"])
def test_without_standard_streams_the_work_is_done(machine: str) -> None:
    words = f"exec {' '.join(HEADRACE)} templates list {machine} <&- >&-"
    done = subprocess.run(["sh", "-c", words], stderr=subprocess.PIPE, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)


@pytest.mark.parametrize("machine", [[], ["--json"]])
def test_bytes_that_are_no_text_are_refused(machine: list[str]) -> None:
    done = subprocess.run(
        [*HEADRACE, "run", "get", b"\xff", *machine], capture_output=True, check=False, env=os.environ
    )
    assert (done.returncode, b"argument 3 is not UTF-8" in done.stderr) == (2, True)
    if machine:
        assert json.loads(done.stdout)["error"]["code"] == "INVALID_INPUT"


def test_a_folder_whose_name_is_no_text_is_told(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/\xff"
    os.mkdir(folder)
    done = subprocess.run([*HEADRACE, "dev"], cwd=folder, capture_output=True, check=False)
    assert (done.returncode, b"is not UTF-8" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("machine", [[], ["--json"]])
def test_a_file_whose_name_is_no_text_is_named(tmp_path: Path, machine: list[str]) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml"))).write_text("kind: None")
    done = subprocess.run(
        [*HEADRACE, "apply", "-f", str(tmp_path), "--dry-run", "--api-key", "x", *machine],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"udcff.yaml" in done.stderr) == (2, True)
    if machine:
        assert json.loads(done.stdout)["error"]["problems"][0]["path"].endswith("\udcff.yaml.kind")


@pytest.mark.parametrize(
    "words",
    ["workflows check", "workflows draw", "dry-run --file", "dry-run --responses", "rollouts publish"],
)
@pytest.mark.parametrize("content", [None, b"workflow: \xe4"])
def test_a_document_that_can_not_be_read_is_wrong_input(
    tmp_path: Path, words: str, content: bytes | None
) -> None:
    file = tmp_path / "a.yaml"
    if content:
        file.write_bytes(content)
    done = CliRunner().invoke(
        app, [*words.split(), str(file)], env={"COLUMNS": "300", "HEADRACE_API_KEY": "x"}
    )
    assert done.exit_code == 2, done.output
    assert ("UTF-8" in done.stderr) is bool(content)


@pytest.mark.parametrize("machine", [[], ["--json"]])
def test_what_a_terminal_has_no_letters_for_is_escaped(tmp_path: Path, machine: list[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("workflow: a\nsteps: [{key: a, type: transform, input: \u2713}]\nr\u00e4sult: 1")
    done = subprocess.run(
        [*HEADRACE, "workflows", "draw", str(file), *machine],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, b"r\\xe4sult" in done.stderr) == (2, True)
    if machine:
        assert json.loads(done.stdout)["error"]["problems"][0]["path"] == "['r\u00e4sult']"
