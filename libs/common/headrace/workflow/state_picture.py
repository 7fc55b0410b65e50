"""The states of runs and steps as a page of the documentation, drawn from the one table of moves.

`states_page` is the whole of docs/reference/states.md; a test holds the file to it.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import TypeVar

from headrace.workflow.state import (
    ENDED_RUN,
    ENDED_STEP,
    MOVES_OF_RUN,
    MOVES_OF_STEP,
    RunStatus,
    StepStatus,
)

S = TypeVar("S", bound=StrEnum)


def run_picture() -> str:
    """A Mermaid state diagram of a run."""
    return _picture(RunStatus.QUEUED, MOVES_OF_RUN, ENDED_RUN)


def step_picture() -> str:
    """A Mermaid state diagram of a step run."""
    return _picture(StepStatus.QUEUED, MOVES_OF_STEP, ENDED_STEP)


def states_page() -> str:
    """docs/reference/states.md."""
    return _PAGE.format(
        run_picture=run_picture(),
        run_meanings=_meanings(RunStatus, _MEANING_OF_RUN),
        step_picture=step_picture(),
        step_meanings=_meanings(StepStatus, _MEANING_OF_STEP),
    )


def _picture(first: S, moves: Mapping[S, Collection[S]], ended: Collection[S]) -> str:
    order = list(type(first))
    arrows = [f"{old} --> {new}" for old in order for new in order if new in moves[old]]
    ends = [f"{status} --> [*]" for status in order if status in ended]
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in [f"[*] --> {first}", *arrows, *ends])])


def _meanings(statuses: type[S], meanings: Mapping[S, str]) -> str:
    return "\n".join(f"| {status} | {meanings[status]} |" for status in statuses)


_MEANING_OF_RUN: Mapping[RunStatus, str] = {
    RunStatus.QUEUED: "Started, and not claimed by any runner yet.",
    RunStatus.RUNNING: "Claimed. Set by the claim itself, not by an event.",
    RunStatus.WAITING: "Parked: nobody holds it. `wait_reason` says what for.",
    RunStatus.PAUSED: "Stopped by a person. Nobody holds it, and it has no dispatch until it is resumed or canceled.",
    RunStatus.COMPENSATING: "Undoing the steps that succeeded, held by a runner or parked; then FAILED or CANCELED.",
    RunStatus.SUCCESS: "Ended: every step ended and no failure counted, or a `succeed` step was reached.",
    RunStatus.FAILED: "Ended: a step failed and nothing dealt with it, the time limit passed, or the result "
    "could not be rendered. What was done may have been undone.",
    RunStatus.CANCELED: "Ended: a person asked, or its parent's end did.",
}

_MEANING_OF_STEP: Mapping[StepStatus, str] = {
    StepStatus.QUEUED: "Not begun. Has no row.",
    StepStatus.RUNNING: "An attempt is under way, or was when its runner was lost.",
    StepStatus.WAITING: "Waits for its next attempt or round, a time, a person, a signal, a child run, a connection.",
    StepStatus.SUCCESS: "Ended with an output.",
    StepStatus.FAILED: "Ended by a failure. The run goes on with `onError: continue`, and when an error edge is taken.",
    StepStatus.SKIPPED: "Ended without beginning: no edge into it was taken.",
    StepStatus.CACHED: "Ended with the result that an earlier call of the same kind had. Nothing was called.",
    StepStatus.UNKNOWN: "In doubt: a call that can not be repeated was sent, and nobody knows its outcome. A probe or "
    "a person settles it; it stays so when its run ends before.",
    StepStatus.CANCELED: "Ended with its run, having begun and not ended.",
    StepStatus.COMPENSATED: "Succeeded, and undone since.",
}

_PAGE = """\
# States

Drawn from the tables `MOVES_OF_RUN` and `MOVES_OF_STEP` of
[state.py](../../libs/common/headrace/workflow/state.py) by
[state_picture.py](../../libs/common/headrace/workflow/state_picture.py); do not edit by hand. A runner that folds
an event refuses a move without an arrow. Where events are applied, the SQL keeps what has ended as it is.

## Run

```mermaid
{run_picture}
```

| status | meaning |
|---|---|
{run_meanings}

## Step run

```mermaid
{step_picture}
```

| status | meaning |
|---|---|
{step_meanings}
"""
