"""The class of a workflow version, and why, in words."""

from collections.abc import Mapping
from typing import Any

from headrace_cli.output import safe


def class_line(found: Mapping[str, Any]) -> str:
    """In a line: the class, and each rule with the steps that it names."""
    rules: dict[str, list[str]] = {}
    for reason in found["reasons"]:
        rules.setdefault(reason["rule"], []).extend([reason["step"]] if reason["step"] else [])
    told = [f"{rule} at {', '.join(steps)}" if steps else rule for rule, steps in rules.items()]
    return f"[bold]{found['class']}[/]" + (f" ({safe('; '.join(told))})" if told else "")
