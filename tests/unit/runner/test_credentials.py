"""The credentials of one run: what is told of one that can not be used, and that it may be used later."""

from datetime import UTC, datetime
from typing import Any

from headrace.ids import new_id
from headrace.outbound.auth import Credential
from headrace.workflow.state import Failure
from headrace_runner.credentials import RunCredentials
from headrace_runner.run_pass import RunPass

NOW = datetime(2026, 11, 1, tzinfo=UTC)
UNREADABLE = {
    "connection_id": "c",
    "code": "CREDENTIAL_UNREADABLE",
    "error": "no key",
    "base_url": "https://own",
}
OPENED = {
    "connection_id": "c",
    "kind": "API_KEY",
    "fields": {"key": "k-123"},
    "hosts": ["own:443"],
    "version": 0,
    "base_url": "https://own",
}


class ControlPlane:
    """Answers for a token as it is told."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)

    async def token(self, run: RunPass, connection_id: str, seen_version: int) -> dict[str, Any]:
        return self.answers.pop(0)


def credentials(
    control_plane: ControlPlane, given: dict[str, Any], learnt: list[Credential]
) -> RunCredentials:
    return RunCredentials(control_plane, RunPass(new_id(), 1, "t"), given, learnt.append)  # type: ignore[arg-type]


async def test_one_that_did_not_open_has_a_code_of_its_own_and_is_asked_for_again() -> None:
    learnt: list[Credential] = []
    run = credentials(ControlPlane(UNREADABLE, OPENED), {"c": UNREADABLE}, learnt)
    assert run.all() == []
    assert run.base_url("c") == "https://own"
    assert await run.current("c", NOW) == Failure("CREDENTIAL_UNREADABLE", "no key")
    opened = await run.current("c", NOW)  # the operator has put the key back
    assert isinstance(opened, Credential)
    assert opened.fields == {"key": "k-123"}
    assert learnt == [opened]
    assert await run.current("c", NOW) is opened


async def test_one_that_is_gone_is_missing() -> None:
    found = await credentials(ControlPlane(), {}, []).current("c", NOW)
    words = "the connection was deleted; one that has its name now is for versions published with that"
    assert found == Failure("CONNECTION_MISSING", words)
