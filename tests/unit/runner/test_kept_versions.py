"""Versions that a runner keeps: as many as there is room for, and what gave way is asked for again."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import orjson
import pytest
from headrace.errors import NotFound
from headrace.ids import new_id
from headrace.messages import Job
from headrace.workflow.definition import Version
from headrace.workflow.parse import parse_document
from headrace.workflow.version import digest, dump_version
from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.claims import Claim, Claimer
from headrace_runner.clock import Clock
from headrace_runner.control_plane import ControlPlane
from headrace_runner.lease import Lease
from headrace_runner.versions import MOST, KeptVersions


def published(number: int, size: int = 0) -> dict[str, Any]:
    text = f"{number:04}" + "x" * size
    document = parse_document({"workflow": "w", "steps": [{"key": "a", "type": "transform", "input": text}]})
    version = Version(f"version-{number:04}", "", document, {}, {})
    return dump_version(replace(version, digest=digest(dump_version(version))))


SMALL = [published(number) for number in range(12)]
DIGESTS = [version["digest"] for version in SMALL]
ROOM = 10 * len(orjson.dumps(SMALL[0]))


def by_digest(*versions: dict[str, Any]) -> dict[str, Any]:
    return {version["digest"]: version for version in versions}


def test_those_used_last_are_kept() -> None:
    kept = KeptVersions(ROOM)
    kept.found(by_digest(*SMALL[:10]), DIGESTS[:10])
    assert set(kept.digests()) == set(DIGESTS[:10])
    kept.found({}, [DIGESTS[0], None])
    kept.found(by_digest(*SMALL[10:]), DIGESTS[10:])
    assert set(kept.digests()) == {DIGESTS[0], *DIGESTS[3:]}
    assert list(kept.found({}, DIGESTS[:3])) == DIGESTS[:1]


def test_one_that_is_larger_than_the_room_is_found_once_and_ousts_nothing() -> None:
    kept, large = KeptVersions(ROOM), published(99, ROOM)
    kept.found(by_digest(SMALL[0]), DIGESTS[:1])
    found = kept.found(by_digest(large), [large["digest"]])[large["digest"]]
    assert found is not None
    assert found.version.id == "version-0099"
    assert kept.digests() == DIGESTS[:1]


def test_however_small_they_are_a_claim_does_not_name_more_than_the_most() -> None:
    kept = KeptVersions()
    for number in range(MOST + 5):
        kept.found(by_digest(published(number)), [])
    assert len(kept.digests()) == MOST


def test_one_that_can_not_be_loaded_is_told_from_one_that_gave_way() -> None:
    kept = KeptVersions()
    broken = {**SMALL[0], "digest": "another"}
    assert kept.found({"another": broken}, ["another", "gone"]) == {"another": None}
    assert kept.digests() == []


class ControlPlaneOf:
    """Grants every job on one version, and takes it for known: at the first checkpoints, too, as often as told."""

    def __init__(self, version: dict[str, Any], *, still_unsent: int) -> None:
        self._version, self._still_unsent = version, still_unsent
        self.asked: list[Sequence[str]] = []

    async def claims(
        self, call: int, capacity: int, jobs: list[dict[str, Any]], have: list[str], alone: bool
    ) -> Any:
        claims = [{"outcome": "GRANTED", **self._run(job["run_id"], job["tenant_id"])} for job in jobs]
        return {"now": _now(), "lease_seconds": 10, "claims": claims, "versions": {}}

    async def checkpoints(self, runs: list[dict[str, Any]], have: list[str], wait: float) -> Any:
        self.asked.append(have)
        sent = len(self.asked) > self._still_unsent
        return {
            "runs": [{"outcome": "PASSED", **self._run(run["run_id"], new_id())} for run in runs],
            "versions": by_digest(self._version) if sent else {},
        }

    def _run(self, run_id: UUID, tenant_id: UUID) -> dict[str, Any]:
        rows: dict[str, Any] = {"inbox": [], "inbox_seq": 0, "steps": [], "connections": {}, "secrets": {}}
        terms: dict[str, Any] = {"quotas": {}, "policy": {}, "depth": 0, "undoes": None, "compensating": None}
        asked = {"input": {"n": 1}, "cancel": False, "pause": False, "started_at": _now()}
        claim = {"run_id": str(run_id), "tenant_id": str(tenant_id), "epoch": 1, "run_token": "x" * 40}
        return {**rows, **terms, **asked, **claim, "digest": self._version["digest"]}


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _claimed(given: ControlPlaneOf) -> tuple[Claim, ClaimedRun | None]:
    control_plane = cast(ControlPlane, given)  # all of it that a claim asks
    claimer = Claimer(control_plane, Lease(control_plane, Clock(), 1), 1, alone=False)
    sending = asyncio.create_task(claimer.run())
    claim = await claimer.claim(Job(new_id(), new_id(), new_id()))
    sending.cancel()
    assert isinstance(claim, Claim)
    return claim, await claimer.checkpoint(claim, lambda: None)


@pytest.mark.parametrize("still_unsent", [0, 1])
async def test_a_run_whose_version_gave_way_meanwhile_asks_for_it_with_its_checkpoint(
    still_unsent: int,
) -> None:
    control_plane = ControlPlaneOf(SMALL[0], still_unsent=still_unsent)
    claim, run = await _claimed(control_plane)
    assert claim.takeover  # it says so to the reporter before, as whoever asks for a checkpoint does
    assert run is not None
    assert run.version.id == "version-0000"
    assert control_plane.asked == [[]] * (still_unsent + 1)


async def test_a_run_whose_version_can_not_be_loaded_is_not_asked_for_again_and_again() -> None:
    control_plane = ControlPlaneOf({**SMALL[0], "digest": "another"}, still_unsent=0)
    with pytest.raises(NotFound):
        await _claimed(control_plane)
    assert len(control_plane.asked) == 1
