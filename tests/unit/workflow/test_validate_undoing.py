"""Publishing checks of undoing and of probes: each fault has its place and a mend."""

import pytest

from tests.unit.workflow.faulty_onboardings import RESERVE, Change, part, problems, secret

CASES: list[tuple[Change, str, str, str]] = [
    # change, code, path, a word of the mend
    (
        part(RESERVE, "probe", input={"number": "{{ callbacks.paid }}"}),
        "CALLBACK_NOT_ALLOWED",
        "steps[0].probe.input.number",
        "action",
    ),
    (
        part(RESERVE, "compensate", connection="mail"),
        "CONNECTION_OF_OTHER_APP",
        "steps[0].compensate.action",
        "shop-main",
    ),
    (
        part(RESERVE, "compensate", connection="shop"),
        "UNKNOWN_CONNECTION",
        "steps[0].compensate.connection",
        "shop-",
    ),
    (
        part(RESERVE, "compensate", action="shop/free"),
        "UNKNOWN_ACTION",
        "steps[0].compensate.action",
        "Did you mean",
    ),
    (
        part(RESERVE, "compensate", input={"line": "{{ steps.reserve.output.results }}"}),
        "UNKNOWN_OUTPUT",
        "steps[0].compensate.input.line",
        "body, headers",
    ),
    (part(RESERVE, "probe", connection="none"), "UNKNOWN_CONNECTION", "steps[0].probe.connection", "shop-"),
    (part(RESERVE, "probe", action="shop/search"), "UNSAFE_PROBE", "steps[0].probe.action", "idempotent"),
    (part(RESERVE, "probe", input={"numbr": 1}), "UNKNOWN_INPUT", "steps[0].probe.input.numbr", "`number`"),
    (
        part(RESERVE, "probe", input={"number": "{{ steps.reserve.output }}"}),
        "NOT_UPSTREAM",
        "steps[0].probe.input.number",
        "before",
    ),
    (
        part(RESERVE, "probe", output={"id": "$.id"}),
        "UNKNOWN_OUTPUT",
        "steps[0].probe.output.id",
        "$.body.id",
    ),
    (
        part(RESERVE, "probe", done={"any": [{"field": "output.id", "operator": "exists"}]}),
        "UNKNOWN_OUTPUT",
        "steps[0].probe.done.any[0].field",
        "Known",
    ),
    (part(RESERVE, "probe", done="{{ output.id }}"), "UNKNOWN_OUTPUT", "steps[0].probe.done", "Known"),
]


@pytest.mark.parametrize(("change", "code", "path", "mend"), CASES, ids=[f"{c[1]} {c[2]}" for c in CASES])
def test_each_fault_is_found_at_its_place(change: Change, code: str, path: str, mend: str) -> None:
    found = [problem for problem in problems(change) if problem.code == code]
    assert [problem.path for problem in found] == [path]
    assert mend in found[0].mend


def test_secrets_may_stand_in_every_call() -> None:
    token = {"number": "{{ env.TOKEN }}"}
    assert (
        problems(secret, part(RESERVE, "probe", input=token), part(RESERVE, "compensate", input=token)) == []
    )
