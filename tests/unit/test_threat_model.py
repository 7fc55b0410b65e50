"""The threat model names tests that there are, for every control."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "docs" / "reference" / "threat-model.md"
_TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def test_every_threat_has_a_control_and_a_test_that_is_there() -> None:
    threats = MODEL.read_text().partition("## Threats and controls")[2].partition("## What is not")[0]
    rows = [
        line
        for line in threats.splitlines()
        if line.startswith("|") and not re.match(r"\|( threat |-)", line)
    ]
    assert len(rows) > 30
    for row in rows:
        threat, control, tests = (cell.strip() for cell in row.strip("|").split(" | "))
        assert threat, row
        assert control, row
        named = _TEST.findall(tests)
        assert named, f"{threat}: no test is named"
        for file, test in named:
            functions = ast.walk(ast.parse((ROOT / file).read_text()))
            names = {f.name for f in functions if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert test in names, f"{threat}: {file} has no {test}"
