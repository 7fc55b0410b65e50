"""Rows in doubt: what a person or a probe has said of them, or the probe to ask. Pure; used by `decide`."""

from collections.abc import Collection

from headrace.workflow.commands import Command, Resolve, SettleByProbe, Start
from headrace.workflow.frontier import Frontier
from headrace.workflow.keys import Part, probe_key, read_key
from headrace.workflow.state import RunState, StepStatus
from headrace.workflow.waiting import settlement


def settle(frontier: Frontier, state: RunState, key: str, running: Collection[str]) -> Command | None:
    """What settles the doubt of the row `key`, or asks its probe; None when neither is to be done now.

    A person's word waits for a probe that is under way: its answer must not be taken for one about a later doubt.
    """
    if probe_key(key) in running:
        return None
    return settlement(key, state) or _probe(frontier, state, key)


def asked(state: RunState, key: str, running: Collection[str]) -> bool:
    """Whether the probe of the row's doubt is under way, or waits for its next attempt."""
    under_way = (StepStatus.RUNNING, StepStatus.WAITING)
    return probe_key(key) in running or state.step(probe_key(key)).status in under_way


def moot(state: RunState, key: str) -> Resolve | None:
    """The end of a probe whose step is no longer in doubt: a person was faster."""
    name = read_key(key)
    if name.part is not Part.PROBE or state.step(name.work).status is StepStatus.UNKNOWN:
        return None
    return Resolve(key, StepStatus.CANCELED)


def _probe(frontier: Frontier, state: RunState, key: str) -> Command | None:
    """The step's probe, if it has one and it has not been asked about this doubt.

    An answer that is older than the doubt says nothing about it: then a person is asked.
    """
    name, row = read_key(key), state.step(key)
    if name.part is not None or frontier.graph.steps[name.step].probe is None:
        return None
    probe = state.step(probe_key(key))
    if probe.status is StepStatus.QUEUED:
        return Start(probe_key(key))
    if probe.status is StepStatus.SUCCESS and (probe.done or (0, 0)) > (row.done or (0, 0)):
        return SettleByProbe(key)
    return None
