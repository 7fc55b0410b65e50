"""Runs that fail, the events they fail by, and what is asked to run them again."""

from typing import Any

from tests.integration.control_plane_runs.acting import FAILURE, Client, Fleet, orders, publish, started

RERUN = (
    """mutation($run: ID!, $how: RerunInput, $key: String) { rerunRun(run: $run, how: $how, idempotencyKey: $key) {
         __typename ... on Run { id status input origin { id } steps { key status attemptCount takenFrom output } } """
    + FAILURE
    + "} }"
)
PREVIEW = """query($run: ID!, $how: RerunInput) { rerunPreview(run: $run, how: $how) { more
    steps { path fate action inDoubt keepsKey itemCount } } }"""


def call(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "action": "shop/get-order", "connection": "shop-main", "input": {"order": "1"}} | more


def completed(key: str, status: str = "SUCCESS", **data: Any) -> tuple[str, str, dict[str, Any]]:
    return "completed", key, {"status": status, **data}


def failed(key: str, code: str = "HTTP_500") -> tuple[str, str, dict[str, Any]]:
    return completed(key, "FAILED", error={"code": code, "message": "it says no"}, unhandled=True)


def end(code: str = "HTTP_500") -> tuple[str, None, dict[str, Any]]:
    return "finished", None, {"status": "FAILED", "error": {"code": code, "message": "a step failed"}}


async def three_steps(acme: Client, fleet: Fleet) -> str:
    """A run of a, b, c that failed at b; `a` and a step beside it are done."""
    edges = [{"from": "a", "to": "b"}, {"from": "b", "to": "c"}, {"from": "side", "to": "c"}]
    steps = [call(key) for key in ("a", "b", "c", "side")]
    await publish(acme, orders(steps=steps, edges=edges, result=None))
    run = await started(acme)
    await fleet.claim(run)
    await fleet.apply(
        run, completed("side", output={"n": 1}), completed("a", output={"n": 2}), failed("b"), end()
    )
    return run


def fates(preview: Any) -> dict[str, str]:
    return {step["path"]: step["fate"] for step in preview["steps"]}
