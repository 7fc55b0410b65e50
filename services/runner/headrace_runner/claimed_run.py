"""A run as its claim hands it out: all that a runner needs to advance it, read from the control plane's answer."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from headrace.errors import NotFound
from headrace.json_types import Json
from headrace.records import record
from headrace.sealed_outputs import INPUT_ROW, OutputUnreadable
from headrace.workflow.definition import Version
from headrace.workflow.graph import Graph
from headrace.workflow.sensitive import Leaf
from headrace.workflow.state import Failure, RunState, RunStatus, StepState, StepStatus, Undoing
from rpds import HashTrieMap

from headrace_runner.doers import Doer, read_doers
from headrace_runner.inbox import read_messages
from headrace_runner.policy import Held, read_policy
from headrace_runner.run_pass import RunPass
from headrace_runner.sensitive import opened
from headrace_runner.versions import LoadedVersion


@dataclass(frozen=True, slots=True)
class RunQuotas:
    """What the run's tenant lets a run use; None: as much as any run may."""

    loop_items: int | None = None
    log_records: int | None = None


@record
class ClaimedRun:
    """All that a runner needs to advance a run. Credentials live here, in memory, and nowhere else."""

    tenant_id: UUID
    run_id: UUID
    epoch: int
    version: Version
    graph: Graph
    input: Any
    state: RunState
    started_at: datetime
    # When steps that had begun before this claim first did.
    begun: Mapping[str, datetime]
    run_pass: RunPass
    connections: Mapping[str, Mapping[str, Any]] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    # Where a secret of that name in `env` may be sent, if not anywhere: the base URLs of apps, by their names.
    secret_apps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    callbacks: Mapping[str, str] = field(repr=False, default_factory=dict)
    depth: int = 0
    quotas: RunQuotas = RunQuotas()
    # The ended run whose steps this one undoes.
    undoes: UUID | None = None
    # Who did the rows that another run did, as far as they can be undone; None: nobody knows any more.
    doers: Mapping[str, Doer | None] = field(repr=False, default_factory=dict)
    # Rows of a re-run that are sent under the idempotency keys of another run, by their row keys.
    kept_keys: Mapping[str, str] = field(default_factory=dict)
    # How each action is held; one that is not named asks for approval.
    policy: Mapping[str, Held] = field(default_factory=dict)
    # Why none of its steps can be done.
    failure: Failure | None = None
    # By run, this one's first: what its sensitive outputs are sealed with, and those of the run that it undoes.
    output_keys: Mapping[UUID, bytes] = field(repr=False, default_factory=dict)
    # What was found sealed in the checkpoint.
    revealed: tuple[Leaf, ...] = field(repr=False, default=())


def read_claimed_run(
    tenant_id: UUID, run_pass: RunPass, given: Mapping[str, Any], loaded: LoadedVersion | None
) -> ClaimedRun:
    """The run of the claim that `run_pass` shows, from what it was `given`. Raises `NotFound` without its version."""
    if loaded is None:
        raise NotFound("workflow version")
    undoing = Undoing.from_json(given["compensating"])
    if given["undoes"] is not None:
        undoing = Undoing(RunStatus.SUCCESS)
    inbox = read_messages(given["inbox"])
    keys = {UUID(run_id): b64decode(key) for run_id, key in (given.get("output_keys") or {}).items()}
    run_input, steps, doers, revealed, unreadable = _opened(tenant_id, keys, given)
    state = RunState(
        RunStatus.COMPENSATING if given["compensating"] else RunStatus.RUNNING,
        HashTrieMap({row["key"]: _step(row) for row in steps}),
        cancel=given["cancel"],
        pause=given["pause"],
        undoing=undoing,
        inbox=inbox,
        # Rows may be newer than the count that was read before them: they are not news any more.
        inbox_seen=max([given["inbox_seq"], *(message.seq for message in inbox)]),
        # A control plane of the release before does not say.
        heard=datetime.fromisoformat(given["heard"]) if given.get("heard") else None,
    )
    return ClaimedRun(
        tenant_id=tenant_id,
        run_id=run_pass.run_id,
        epoch=run_pass.epoch,
        version=loaded.version,
        graph=loaded.graph,
        input=run_input,
        state=state,
        started_at=datetime.fromisoformat(given["started_at"]),
        begun={
            step["key"]: datetime.fromisoformat(step["started_at"])
            for step in given["steps"]
            if step["started_at"]
        },
        run_pass=run_pass,
        connections=given["connections"],
        secrets=given["secrets"],
        # A control plane of the release before does not say.
        secret_apps=given.get("secret_apps") or {},
        callbacks=given.get("callbacks") or {},
        depth=given["depth"],
        quotas=RunQuotas(**given["quotas"]),
        undoes=UUID(given["undoes"]) if given["undoes"] else None,
        doers=doers,
        kept_keys={row: run_id for run_id, kept in (given.get("kept_keys") or {}).items() for row in kept},
        policy=read_policy(given["policy"]),
        failure=Failure.from_json(given.get("failure")) or unreadable,
        output_keys=keys,
        revealed=tuple(revealed),
    )


def _opened(
    tenant_id: UUID, keys: Mapping[UUID, bytes], given: Mapping[str, Any]
) -> tuple[Json, list[Mapping[str, Any]], Mapping[str, Doer | None], list[Leaf], Failure | None]:
    """The input, the rows with their outputs and who did them as they were, what was sealed in them, and why they can
    not be read, if so."""
    rows: Sequence[Mapping[str, Any]] = given["steps"]
    revealed: list[Leaf] = []

    def plain(row: str, value: Json) -> Json:
        as_it_was, found = opened(tenant_id, keys, row, value)
        revealed.extend(found)
        return as_it_was

    try:
        run_input = plain(INPUT_ROW, given["input"])
        steps: list[Mapping[str, Any]] = [{**row, "output": plain(row["key"], row["output"])} for row in rows]
        doers = read_doers(given, run_input, lambda value: plain(INPUT_ROW, value))
    except OutputUnreadable:
        words = "a sensitive output of the run, or its input, can not be read"
        return given["input"], [*rows], {}, [], Failure("OUTPUT_UNREADABLE", words)
    return run_input, steps, doers, revealed, None


def _step(row: Mapping[str, Any]) -> StepState:
    retry_at = row["retry_at"]
    done = row["done_epoch"] is not None
    return StepState(
        StepStatus(row["status"]),
        row["attempts"],
        row["output"],
        Failure.from_json(row["error"]),
        datetime.fromisoformat(retry_at) if retry_at else None,
        row["in_flight"],
        row["wait"],
        row["round"],
        row["round_from"],
        row["items"],
        (row["done_epoch"], row["done_seq"]) if done else None,
    )
