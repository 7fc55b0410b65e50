"""What a runner is given of a dry run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.json_types import Json, JsonObject
from headrace.workflow.state import Failure, StepStatus

from headrace_runner.policy import Held, read_policy
from headrace_runner.versions import LoadedVersion


@dataclass(frozen=True, slots=True)
class RecordedRow:
    """How a row of the recorded run ended; `output` is still sealed where it is sensitive."""

    status: StepStatus
    output: Json = field(repr=False)
    error: Failure | None
    # Whose key its output is sealed by.
    run_id: UUID


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded run: its version, its rows by their keys, and its children by the rows that began them."""

    version_id: str
    rows: Mapping[str, RecordedRow] = field(repr=False, default_factory=dict)
    children: Mapping[str, "Recorded"] = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """One walk: a version on an input."""

    version_id: str
    input: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class DryJob:
    """`run_id` and `started_at` are what the walks show as their run's: those of the recorded one, if there is one, so
    that what depends on them compares. `base` is walked with what was recorded alone. `responses` are by the path of
    a row, in the order of its calls."""

    id: UUID
    token: str = field(repr=False)
    tenant_id: UUID
    run_id: UUID
    started_at: datetime
    candidate: Planned
    base: Planned | None
    versions: Mapping[str, LoadedVersion] = field(repr=False)
    responses: Mapping[str, Json] = field(repr=False)
    recorded: Recorded | None = field(repr=False)
    keys: Mapping[UUID, bytes] = field(repr=False)
    base_urls: Mapping[str, str | None]
    # By the names of secrets, of those that are for some apps alone: the base URLs of these, by their names.
    secret_apps: Mapping[str, Mapping[str, str]]
    # What versions name and is not there any more: secrets by their names, connections by their ids.
    gone: frozenset[str]
    policy: Mapping[str, Mapping[str, Held]]
    loop_items: int | None


def read_job(given: Mapping[str, Any]) -> DryJob:
    """Raises `InvalidInput` for a version that this runner can not read."""
    versions = {}
    for version_id, resolved in given["versions"].items():
        versions[version_id] = LoadedVersion.of(resolved)
    return DryJob(
        id=UUID(given["id"]),
        token=given["token"],
        tenant_id=UUID(given["tenant_id"]),
        run_id=UUID(given["run_id"]),
        started_at=datetime.fromisoformat(given["started_at"]),
        candidate=_planned(given["candidate"]),
        base=_planned(given["base"]) if given["base"] else None,
        versions=versions,
        responses=given["responses"],
        recorded=_recorded(given["recorded"]) if given["recorded"] else None,
        keys={UUID(run): bytes.fromhex(key) for run, key in given["output_keys"].items()},
        base_urls=given["base_urls"],
        # A control plane of the release before does not say.
        secret_apps=given.get("secret_apps") or {},
        gone=frozenset(given.get("gone") or ()),
        policy={one: read_policy(held) for one, held in given["policy"].items()},
        loop_items=given["loop_items"],
    )


def _planned(given: Mapping[str, Any]) -> Planned:
    return Planned(given["version_id"], given["input"])


def _recorded(given: Mapping[str, Any]) -> Recorded:
    return Recorded(
        given["version_id"],
        {
            key: RecordedRow(
                StepStatus(row["status"]),
                row["output"],
                Failure.from_json(row["error"]),
                UUID(row["run_id"]),
            )
            for key, row in given["rows"].items()
        },
        {key: _recorded(child) for key, child in given["children"].items()},
    )


def declared_at(responses: Mapping[str, Json], path: str, number: int) -> JsonObject | None:
    """What was declared for the call with this number (from 1) of the row: for the very item, else for every item of
    its loops. The last of a list stands for all that follow."""
    for place in (path, _without_items(path)):
        said = responses.get(place)
        if isinstance(said, list) and said:
            said = said[min(number, len(said)) - 1]
        if isinstance(said, dict):
            return said
    return None


def _without_items(path: str) -> str:
    keys = []
    for key in path.split("/"):
        step, bracket, rest = key.partition("[")
        keys.append(f"{step}{rest.partition(']')[2]}" if bracket else key)
    return "/".join(keys)
