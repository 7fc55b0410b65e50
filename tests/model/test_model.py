"""The run protocol, checked: every promise holds with all rules, each rule is needed, and has its place in the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.plans import PLANS
from tests.model.rules import RULES, SHOWN_BY

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


def _check(*options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, HERE / "check.py", *options], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("plan", PLANS)
def test_every_promise_holds(plan: str) -> None:
    checked = _check("--plan", plan)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("rule", RULES)
def test_without_a_rule_a_promise_breaks(rule: str) -> None:
    plan, faults = SHOWN_BY[rule]
    checked = _check("--plan", plan, "--without", rule, "--faults", str(faults))
    assert (checked.returncode, checked.stderr) == (1, ""), checked.stdout + checked.stderr
    assert re.search(r"^ +1 ", checked.stdout, re.MULTILINE), "no trace"


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_named_where_the_code_keeps_it(rule: str) -> None:
    sources = [
        path
        for folder in ("libs", "services")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sql")
    ]
    named = [path for path in sources if rule in path.read_text(encoding="utf-8")]
    assert named, f"no line in libs/ or services/ names the rule {rule}"


def test_the_documentation_lists_every_rule() -> None:
    page = (ROOT / "docs" / "reference" / "protocol.md").read_text(encoding="utf-8")
    assert [rule for rule in RULES if f"`{rule}`" not in page] == []
