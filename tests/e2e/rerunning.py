"""A shop whose calls are counted, and runs of it that are gone on with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from designer import Designer
from fleet import Fleet
from target import Target

_RERUN = """mutation ($run: ID!, $how: RerunInput) { rerunRun(run: $run, how: $how) {
  ok: __typename ... on Run { id } ...Failed } }"""
_REPLAY_ALL = """mutation ($group: DeadLetterGroupInput!, $how: ReplayInput) {
  replayDeadLetters(group: $group, how: $how, perSecond: 100) { ok: __typename ... on Replay { id } ...Failed } }"""
_FAR = "query ($id: ID!) { replay(id: $id) { status total replayed refused refusal } }"


@dataclass(frozen=True)
class World:
    target: Target
    designer: Designer

    async def rerun(self, run_id: str, **how: Any) -> str:
        made = await self.designer.mutate(_RERUN, run=run_id, how=how)
        return str(made["id"])

    async def replayed(self, group: Mapping[str, Any], **how: Any) -> Any:
        """The replay of a group, once it is over."""
        made = await self.designer.mutate(_REPLAY_ALL, group=group, how=how)
        async with asyncio.timeout(60):
            while True:
                found = (await self.designer.do(_FAR, id=made["id"]))["replay"]
                if found["status"] == "DONE":
                    return found
                await asyncio.sleep(0.1)  # asked from outside, as a person would

    def keys(self, path: str) -> list[str | None]:
        return [call.key for call in self.target.of(path)]

    def called(self, prefix: str) -> list[tuple[str, Any]]:
        """The last part of the key and the body of each call whose path begins so, in their order."""
        calls = [call for call in self.target.calls if call.path.startswith(prefix)]
        return [(str(call.key)[37:], orjson.loads(call.body)) for call in calls]


@contextlib.asynccontextmanager
async def opened_world(fleet: Fleet) -> AsyncIterator[World]:
    async with Target() as target:
        await fleet.start_all()
        designer = Designer(fleet)
        await designer.app("shop", target.url)
        for name in ("reserve", "charge", "confirm", "undo-reserve", "undo-charge"):
            await designer.action("shop", name, "POST", f"/{name}", idempotency={"mode": "KEY"})
        yield World(target, designer)


def call(name: str, **more: Any) -> dict[str, Any]:
    once = {"strategy": "NONE"}
    return {"key": name, "action": f"shop/{name}", "input": {"n": 1}, "retry": once} | more
