"""Reports of walks, as answers hold them."""

from typing import Any

from headrace_control.answer_text import as_text


def with_texts(report: dict[str, Any]) -> dict[str, Any]:
    """`report` with all values of tenants in it as texts: they take no more than their size."""
    steps = [
        {
            **step,
            "requests": [as_text(request) for request in step["requests"]],
            "output": as_text(step["output"]),
            "asks": as_text(step["asks"]),
        }
        for step in report["steps"]
    ]
    changes = report["changes"] and [
        {**change, "differences": [as_text(found) for found in change["differences"]]}
        for change in report["changes"]
    ]
    return {**report, "result": as_text(report["result"]), "steps": steps, "changes": changes}
