"""httpbin, which is not ours, as a target: run behind waitress, and called by workflows of one step per call."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from designer import Designer
from fleet import free_port

_START_SECONDS = 60


@contextlib.asynccontextmanager
async def running_httpbin(folder: Path) -> AsyncIterator[str]:
    """Its base URL, on the loopback; its process is ended by its id."""
    port, log = free_port(), folder / "httpbin.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "--threads=8", "httpbin:app"),
            stdout=out,
            stderr=out,
        )
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not await _listens(port):
                assert process.returncode is None, log.read_text()
                await asyncio.sleep(0.05)  # nothing tells that it listens
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()  # nothing of it is kept
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@dataclass(frozen=True)
class Call:
    """A step `key` and its action: `line` is method and endpoint (`GET /anything/{id}`).

    `step` holds more of the step (`input`, `timeoutMs`), `action` more of the action (`bodyType`, `retry`).
    """

    key: str
    line: str
    step: Mapping[str, Any] = field(default_factory=dict)
    action: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Httpbin:
    """httpbin as the apps of one tenant, one for each kind of credential."""

    designer: Designer
    url: str

    async def app(
        self,
        name: str,
        auth: Mapping[str, Any] | None = None,
        secrets: Mapping[str, str] | None = None,
        config: Any = None,
    ) -> None:
        """An app, and where it has a kind of auth, a connection of the same name."""
        await self.designer.app(name, self.url, auth)
        if auth is not None:
            await self.designer.connection(name, name, secrets or {}, config)

    async def run(
        self,
        workflow: str,
        *calls: Call,
        app: str = "httpbin",
        given: Mapping[str, Any] | None = None,
        wanted: set[str] | None = None,
    ) -> dict[str, Any]:
        """The steps by key, once a run that makes these calls one after another has ended, or is as `wanted`.

        A call that fails does not keep the next one from being made.
        """
        steps = []
        for call in calls:
            method, _, endpoint = call.line.partition(" ")
            action = f"{workflow}-{call.key}".replace("_", "-")
            await self.designer.action(app, action, method, endpoint, **call.action)
            connection = {} if app == "httpbin" else {"connection": app}
            steps.append(
                {
                    "key": call.key,
                    "action": f"{app}/{action}",
                    "onError": "continue",
                    **connection,
                    **call.step,
                }
            )
        await self.designer.publish({"workflow": workflow, "steps": steps})
        run = await self.designer.ended(await self.designer.start(workflow, **(given or {})), wanted=wanted)
        return {step["key"]: step for step in run["steps"]}


def body(step: Mapping[str, Any]) -> Any:
    """What the target answered, once the step has succeeded."""
    assert step["status"] == "SUCCESS", step
    return step["output"]["body"]


def failure(step: Mapping[str, Any]) -> str:
    """The code of the step's failure."""
    assert step["status"] != "SUCCESS", step
    return str(step["error"]["code"])


def statuses(step: Mapping[str, Any]) -> list[int | None]:
    """What each attempt was answered."""
    return [attempt["httpStatus"] for attempt in step["attempts"]]
