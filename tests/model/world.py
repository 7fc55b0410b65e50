"""Time, child runs, deploys, and faults."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from control_plane import insert, woken
from plans import TIMER
from state import CANCELED, FAILED, IDLE, SUCCESS, Action, State, add, drop, put

if TYPE_CHECKING:
    from protocol import Protocol


def actions(p: "Protocol", s: State) -> Iterator[Action]:
    yield from time(p, s)
    if s.run.child:
        yield from child(p, s)
    if s.leaves:
        yield from deploys(p, s)
    if s.deaths:
        yield from deaths(s._replace(deaths=s.deaths - 1))
    if s.faults:
        yield from deaths(s._replace(faults=s.faults - 1))
        yield from faults(s._replace(faults=s.faults - 1))


def time(p: "Protocol", s: State) -> Iterator[Action]:
    run = s.run
    if run.claim == "live" and not any(r.epoch == run.epoch and r.at != "idle" for r in s.runners):
        yield Action(
            "time", f"lease of epoch {run.epoch} lapses", s._replace(run=run._replace(claim="lapsed"))
        )
    if run.reason == TIMER and run.claim == "none" and run.row == "later" and not run.rung:
        yield Action("time", "timer rings", s._replace(run=woken(run._replace(rung=True))))


def child(p: "Protocol", s: State) -> Iterator[Action]:
    """A child rests in a wait of its own: it ends when somebody ends that wait, or when it is asked to."""
    run = s.run
    if run.child in ("open", "asked"):
        actor = "person" if run.child == "open" else "child"
        for actor, outcome in (("person", SUCCESS), ("child", CANCELED)):
            if outcome == CANCELED and run.child == "open":
                continue
            ended = run._replace(child=outcome)
            broken = ""
            if outcome == SUCCESS and run.status in (FAILED, CANCELED) and any(x.undo for x in p.plan.steps):
                broken = f"compensation: the child ends SUCCESS, its parent has ended {run.status}, nobody undoes it"
            if "child_ends_with_its_message" in p.rules:
                yield Action(
                    actor,
                    f"the child ends {outcome}",
                    s._replace(run=insert(p, ended, f"child {outcome}")),
                    broken,
                )
            else:
                yield Action(
                    actor, f"the child ends {outcome}", s._replace(run=ended, owed=f"child {outcome}"), broken
                )
    if s.owed:
        yield Action("child", "its message is inserted", s._replace(run=insert(p, run, s.owed), owed=""))


def deploys(p: "Protocol", s: State) -> Iterator[Action]:
    """SIGTERM: a runner that holds something starts nothing more, hands back, and goes."""
    for i, r in enumerate(s.runners):
        if r.at != "idle" and not r.drain:
            told = put(s._replace(leaves=s.leaves - 1), i, r._replace(drain=True))
            if "lease_given_up_last" not in p.rules and s.run.claim == "live" and s.run.epoch == r.epoch:
                told = told._replace(run=s.run._replace(claim="lapsed"))
            yield Action("person", f"tells runner {i + 1} to leave", told)


def deaths(s: State) -> Iterator[Action]:
    for i, r in enumerate(s.runners):
        if r.at != "idle":
            back = s._replace(jobs=add(s.jobs, (r.job, True))) if r.held else s
            yield Action("fault", f"runner {i + 1} dies", put(back, i, IDLE))


def faults(s: State) -> Iterator[Action]:
    """Each costs one of a bounded number. (Lost answers and confirms: where they are given.)"""
    run = s.run
    if s.relay:
        yield Action("fault", "relay dies between publish and delete", s._replace(relay=0))
    if s.reporter:
        yield Action("fault", "reporter dies between commit and ack", s._replace(reporter=0))
    if run.child == "owed":
        yield Action(
            "fault", "reporter dies before it inserts the child", s._replace(run=run._replace(child=""))
        )
    if s.owed:
        yield Action("fault", "reporter dies before it inserts the child's message", s._replace(owed=""))
    for job in sorted(set(s.jobs)):
        yield Action("fault", f"broker dead-letters job {job[0]}", s._replace(jobs=drop(s.jobs, job)))
    for i, r in enumerate(s.runners):
        if r.at == "idle":
            continue
        if r.held:
            back = s._replace(jobs=add(s.jobs, (r.job, True)))
            yield Action(
                "fault",
                f"broker takes job {r.job} back from runner {i + 1}",
                put(back, i, r._replace(held=False)),
            )
        if run.claim == "live" and run.epoch == r.epoch:
            lapsed = s._replace(run=run._replace(claim="lapsed"))
            yield Action(
                "fault", f"runner {i + 1} stalls, its lease lapses", put(lapsed, i, r._replace(lease=False))
            )
