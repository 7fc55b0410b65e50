"""How past states of runs are asked for, and a run that has lived."""

from typing import Any

from headrace.sealed_outputs import SEALED

from tests.integration.control_plane_runs.acting import Client, Fleet, orders, publish, started

_ATTEMPT = {"number": 1, "startedAt": "2026-11-01T00:00:00+00:00", "durationMs": 3}
_GOOD = {**_ATTEMPT, "outcome": "SUCCESS", "httpStatus": 200}
BAD = {**_ATTEMPT, "outcome": "FAILED", "httpStatus": 503, "error": {"code": "HTTP_503", "message": "busy"}}

ROW = "key status attemptCount round itemCount error { code message } input output"
RUN_AT = (
    """query($id: ID!, $at: RunMoment, $first: Int! = 200, $after: String) { runAt(id: $id, at: $at) {
         revision { revision at note kind step } status waitReason error { code } result
         messages { items { seq kind step name } }
         steps(first: $first, after: $after) {
           items { wait { kind until } startedAt finishedAt takenFrom """
    + ROW
    + " } pageInfo { hasNextPage endCursor } } } }"
)
REVISIONS = """query($id: ID!, $first: Int! = 50, $after: String) {
    runRevisions(id: $id, first: $first, after: $after) {
      items { revision at note kind step } pageInfo { hasNextPage endCursor } } }"""


async def at(client: Client, run: str, **moment: Any) -> Any:
    return await client(RUN_AT, id=run, at=moment or None)


async def revisions(client: Client, run: str, first: int = 50) -> list[Any]:
    found: list[Any] = []
    after = None
    while True:
        page = await client(REVISIONS, id=run, first=first, after=after)
        found += page["items"]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


async def lived(acme: Client, fleet: Fleet) -> str:
    """A run that failed at its second step."""
    await publish(acme, orders())
    run = await started(acme)
    await fleet.claim(run)
    done = {"status": "SUCCESS", "output": {"id": 7, "token": {SEALED: "c2VhbGVk"}}, "attempt": _GOOD}
    await fleet.apply(run, ("started", "fetch", {"attempt": 1, "input": {"order": "17"}}))
    await fleet.apply(run, ("completed", "fetch", done))
    await fleet.apply(
        run,
        ("started", "refund", {"attempt": 1}),
        ("attempted", "refund", {"attempt": BAD, "error": BAD["error"], "retryAt": "2030-01-01T00:00:00Z"}),
        ("parked", None, {"reason": "RETRY", "resumeAt": "2030-01-01T00:00:00Z"}),
    )
    await fleet.claim(run)
    await fleet.apply(
        run,
        ("completed", "refund", {"status": "FAILED", "error": BAD["error"]}),
        ("finished", None, {"status": "FAILED", "error": {"code": "X", "message": "no"}}),
    )
    return run
