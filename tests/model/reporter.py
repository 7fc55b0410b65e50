"""The reporter: events from the partition to the run's row, in order, each batch in one transaction."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from control_plane import set_aside, woken
from state import (
    CANCELED,
    COMPENSATING,
    FAILED,
    PAUSED,
    RUNNING,
    SUCCESS,
    TERMINAL,
    UNDOES,
    WAITING,
    Action,
    Event,
    Run,
    State,
    fold,
    show,
)

if TYPE_CHECKING:
    from protocol import Protocol

LAST = 99  # a seq above all that a claim writes


def actions(p: "Protocol", s: State) -> Iterator[Action]:
    """A crash before the commit leaves no trace, so it needs no action of its own; and where
    no fault is left, nothing can tell a batch from its events one by one, or commit from ack."""
    if s.run.child == "owed":
        yield Action("reporter", "inserts the child", s._replace(run=s.run._replace(child="open")))
    if s.reporter:
        yield Action(
            "reporter",
            f"ack {s.reporter} events",
            s._replace(reporter=0, partition=s.partition[s.reporter :]),
        )
        return
    if s.unfit and s.partition:
        yield from unfit(p, s)
    for n in {1, len(s.partition) if s.faults else 1} if s.partition else ():
        run, seen, broken = s.run, s.seen, ""
        for event in s.partition[:n]:
            after = apply(p, run, event)
            old = (event.epoch, event.seq) <= seen
            if old and after._replace(fence=run.fence) != run:
                broken = f"P4: {show(event)} is stale or a duplicate and changed the run"
            broken = broken or p.moved(run, after) or incomplete(p, s, after) or outdated(run, after, event)
            run, seen = after, max(seen, (event.epoch, event.seq))
        names = ", ".join(show(e) for e in s.partition[:n])
        after = s._replace(run=run, seen=seen)
        if s.faults:
            yield Action("reporter", f"commit {names}", after._replace(reporter=n), broken)
        else:
            yield Action(
                "reporter", f"commit and ack {names}", after._replace(partition=s.partition[n:]), broken
            )


def unfit(p: "Protocol", s: State) -> Iterator[Action]:
    """An event that would change the run can not be applied: the run is set aside with it. The fence goes above all that
    its holder can write, who renews no more."""
    run, event = s.run, s.partition[0]
    if event.kind == "claimed" or apply(p, run, event)._replace(fence=run.fence) == run:
        return
    aside = set_aside(run)._replace(claim="none", fence=(run.epoch, LAST), woken=run.cancel)
    if run.cancel and "aside_sees_cancel" in p.rules:
        aside = woken(aside)
    after = s._replace(
        run=aside,
        seen=max(s.seen, (event.epoch, event.seq)),
        partition=s.partition[1:],
        runners=tuple(r._replace(lease=False) for r in s.runners),
        unfit=s.unfit - 1,
    )
    yield Action("fault", f"{show(event)} can not be applied", after)


def outdated(before: Run, after: Run, event: Event) -> str:
    """The promise of a move: from then on all that happens is decided by the version that the run is shown with."""
    if event.version == before.version or after._replace(fence=before.fence) == before:
        return ""
    return f"moves: {show(event)} was decided by version {event.version}, and the run is of version {before.version}"


def incomplete(p: "Protocol", s: State, run: Run) -> str:
    """The promise of compensation: a run that did not succeed has left nothing behind."""
    if run.status not in (FAILED, CANCELED):
        return ""
    left = [
        n
        for n in {*s.called, *s.reported}
        if n < UNDOES and p.plan.steps[n].undo and n + UNDOES not in s.reported
    ]
    return f"compensation: the run is {run.status} and step {left[0]} is not undone" if left else ""


def apply(p: "Protocol", run: Run, event: Event) -> Run:
    """What one event does to the run, on the locked run row."""
    if "fence_in_partition_order" not in p.rules and event.epoch < run.epoch:
        return run
    if event.epoch < run.fence[0]:
        return run
    if "each_event_once" in p.rules and (event.epoch, event.seq) <= run.fence:
        return run
    run = run._replace(fence=(event.epoch, event.seq))
    if event.kind == "claimed":
        return run if "mark_only_fences" in p.rules else run._replace(status=RUNNING)
    if run.status in TERMINAL:
        return run
    run = run._replace(facts=fold(run.facts, event, p.plan))
    if event.kind != "started" and "progress_forgives" in p.rules:
        run = run._replace(fruitless=0)
    match event.kind:
        case "waiting":
            return run._replace(child="open" if "child_begins_with_its_wait" in p.rules else "owed")
        case "compensating":
            return asked(p, run._replace(status=COMPENSATING))
        case "parked":
            return park(p, run, event)
        case "finished" | "canceled":
            ended = run._replace(status=event.says, claim="none", row="gone", woken=False)
            return asked(p, ended) if event.says != SUCCESS else ended
    return run


def asked(p: "Protocol", run: Run) -> Run:
    """The run's child, if it has not ended, is asked to cancel."""
    return run._replace(child="asked") if run.child == "open" and "end_reaches_children" in p.rules else run


def park(p: "Protocol", run: Run, event: Event) -> Run:
    """Nobody holds the run; it has its next dispatch."""
    stays = run.status == COMPENSATING and "compensating_stays" in p.rules
    spared = run.status == COMPENSATING and "cancel_wakes_no_undo" in p.rules
    status = COMPENSATING if stays else WAITING
    cancel = run.cancel and not spared
    unseen = run.inbox_seq > event.seen if "park_tells_what_it_saw" in p.rules else bool(run.facts.inbox)
    due = (cancel or unseen) and "park_sees_what_came_early" in p.rules
    pause = run.pause if "park_sees_pause" in p.rules else event.says == "paused"
    paused = pause and not run.cancel and not stays
    if event.says == "handed back":
        due = due or "hand_back_is_due_at_once" in p.rules
    elif event.says == "paused" and not paused:
        due = True  # the pause was taken back meanwhile
    elif event.says == "timer":
        due = due or run.rung
    row = "gone" if paused else "due" if due else "later"
    return run._replace(
        status=PAUSED if paused else status,
        claim="none",
        dispatch=run.dispatch + 1,
        row=row,
        reason=event.says,
        woken=row == "due",
    )
