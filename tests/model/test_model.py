"""The run protocol, checked: every promise holds with all rules, and every rule has its place in the code."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from protocol import PLANS, RULES  # noqa: E402


@pytest.mark.parametrize("plan", PLANS)
def test_every_promise_holds_at_one_fault(plan: str) -> None:
    checked = subprocess.run(
        [sys.executable, HERE / "check.py", "--plan", plan, "--faults", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


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
