"""The published schema, in a standard tool: the demo's documents pass it, and a broken one does not."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "contracts" / "workflow.v1.schema.json"


def check(*documents: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--schemafile", SCHEMA, *documents]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_demos_workflows_pass_the_schema() -> None:
    documents = sorted((ROOT / "docs" / "demo" / "workflows").glob("*.yaml"))
    assert documents
    checked = check(*documents)
    assert checked.returncode == 0, checked.stdout


def test_a_misspelt_key_does_not(tmp_path: Path) -> None:
    document = tmp_path / "wrong.yaml"
    document.write_text("workflow: w\nsteps: [{key: a, type: transform, inputs: {}}]\n")
    assert check(document).returncode == 1
