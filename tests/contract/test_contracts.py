"""The generated files of contracts/ are what the code makes, and the demo's workflows fit them."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from headrace.json_types import Json
from headrace.workflow.document_schema import workflow_schema
from headrace_cli.contracts import FOLDER, differences, generated, write
from jsonschema import Draft202012Validator

WORKFLOWS = sorted((FOLDER.parent / "docs" / "demo" / "workflows").glob("*.yaml"))


def test_the_files_are_what_the_code_makes() -> None:
    assert differences(FOLDER) == {}


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    assert set(write(tmp_path)) == set(generated())
    assert write(tmp_path) == []
    assert differences(tmp_path) == {}


def test_a_check_names_the_file_that_is_stale_and_fails(tmp_path: Path) -> None:
    write(tmp_path)
    with (tmp_path / "schema.graphql").open("a") as stream:
        stream.write("type Forgotten\n")
    check = [sys.executable, "-m", "headrace_cli.contracts", "--check", "--folder", str(tmp_path)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "contracts/schema.graphql" in done.stderr
    assert "-type Forgotten" in done.stderr
    assert "workflow.v1" not in done.stderr


def load(file: Path) -> Json:
    loaded: Json = yaml.safe_load(file.read_text())
    return loaded


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_the_demo_s_workflows_fit_the_published_schema(file: Path) -> None:
    Draft202012Validator(workflow_schema()).validate(load(file))


def test_the_published_schema_refuses_what_is_no_workflow() -> None:
    document = load(WORKFLOWS[0])
    assert isinstance(document, dict)
    assert not Draft202012Validator(workflow_schema()).is_valid({**document, "stepz": []})
    assert not Draft202012Validator(workflow_schema()).is_valid({**document, "steps": []})
