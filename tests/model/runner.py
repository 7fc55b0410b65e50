"""A runner: takes a job, claims its run, waits at the barrier, decides, calls, publishes, acks."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import control_plane
from plans import CHILD, FAILS, GATED, KILLS, SIGNAL, TIMER, UNSAFE
from state import (
    CANCELED,
    COMPENSATING,
    FAILED,
    IDLE,
    PAUSED,
    SUCCESS,
    TERMINAL,
    UNDOES,
    Action,
    Event,
    Runner,
    State,
    add,
    drop,
    finish,
    fold,
    forget,
    name_of,
    put,
    ready,
    row_for,
    show,
)

if TYPE_CHECKING:
    from protocol import Protocol

LEAVES = {"parked", "finished", "canceled"}


class Redeem(NamedTuple):
    """Show the approval of a gated step, or that there was one, and ask whether the step may be called."""

    step: int


def actions(p: "Protocol", s: State, i: int) -> Iterator[Action]:
    me, run, r = f"runner {i + 1}", s.run, s.runners[i]
    match r.at:
        case "idle" if i and s.runners[0].at == "idle":
            return  # two idle runners are alike: let the first one go
        case "idle":
            for job in s.jobs:
                taken = Runner(at="job", job=job[0], redelivered=job[1], held=True)
                yield from claim(p, put(s._replace(jobs=drop(s.jobs, job)), i, taken), i)
        case "granted":
            after, broken = control_plane.claim(p, s, i, r.epoch)
            yield Action(me, f"claim writes epoch {r.epoch}", after, broken or twins(after))
        case "mark":
            yield from publish(p, s, i, Event(r.epoch, r.seq, "claimed"))
        case "barrier":
            if told := control_plane.barrier(p, s, i):
                yield Action(me, *told)
        case "reading":
            yield Action(me, "read the inbox_seq", put(s, i, r._replace(at="ready", seen=run.inbox_seq)))
        case "ready":
            yield from work(p, s, i)
        case "leaving":
            yield Action(me, "ack job", put(s, i, IDLE))
    if not r.lease and r.at == "ready":  # the lease ran out: renew it, or leave
        if run.epoch == r.epoch and run.claim == "lapsed":
            live = s._replace(run=run._replace(claim="live"))
            yield Action(me, "renew the lease", put(live, i, r._replace(lease=True)))
        elif not (run.epoch == r.epoch and run.claim == "live"):
            yield Action(me, "lease can not be renewed: stop", put(s, i, forget(r)))
    if "ack_after_confirm" not in p.rules and r.under and r.held:
        broken = "a job was acked before its events were confirmed"
        yield Action(me, "ack job", put(s, i, r._replace(held=False)), broken)


def claim(p: "Protocol", s: State, i: int) -> Iterator[Action]:
    """A job is taken and claimed at once: in hand it is what a copy in the queue is."""
    me, run, r = f"runner {i + 1}", s.run, s.runners[i]
    name = f"take job {r.job}, claim epoch {run.epoch + 1}"
    if not control_plane.grants(p, run, r):
        yield Action(me, f"take job {r.job}, refused (ended, paused, stale or live): ack", put(s, i, IDLE))
    elif "claim_in_one_transaction" not in p.rules:
        yield Action(
            me, f"take job {r.job}, read the run", put(s, i, r._replace(at="granted", epoch=run.epoch + 1))
        )
    else:
        after, broken = control_plane.claim(p, s, i, run.epoch + 1)
        yield Action(me, name, after, broken or control_plane.too_early(run) or twins(after))
        if s.faults:  # the answer is lost: the run row holds a claim that nobody knows of
            lost = put(after._replace(faults=s.faults - 1, jobs=add(s.jobs, (r.job, True))), i, IDLE)
            yield Action("fault", f"{me}: {name}, answer lost", lost)


def twins(s: State) -> str:
    first, second = s.runners
    same = first.epoch == second.epoch and "granted" not in (first.at, second.at)
    return f"two claims of epoch {first.epoch}" if same and first.epoch else ""


def work(p: "Protocol", s: State, i: int) -> Iterator[Action]:
    """What the engine may do next: by what it knows, or by what a heartbeat has just told it."""
    run, r = s.run, s.runners[i]
    if r.sent and "republish_the_same" in p.rules:
        yield from publish(p, s, i, r.sent)
        return
    holder = run.epoch == r.epoch and run.claim == "live"
    told = control_plane.heard(p, r, run) if holder else r
    for memory in (r,) if told == r else (r, told):
        with_it = put(s, i, memory)
        for deed in decide(p, memory, run.rung):
            if isinstance(deed, Event):
                yield from publish(p, with_it, i, deed)
            elif isinstance(deed, Redeem):
                yield from control_plane.redeem(p, with_it, i, deed.step)
            else:
                yield from call(p, with_it, i, deed)


# -- the engine: what to do next, from what the runner remembers -------------------------------


def decide(p: "Protocol", r: Runner, rung: bool) -> Iterator[Event | Redeem | int]:
    """Events to publish; approvals to redeem; or the keys of steps to call."""
    facts = r.facts
    for key, stage in sorted(r.under):
        yield key if stage == "announced" else Event(r.epoch, r.seq, "completed", key)
    if facts.turned:
        yield from undo(p, r, rung)
    elif r.cancel:
        yield from end(p, r, CANCELED)
    elif facts.failed:
        yield from end(p, r, FAILED)
    else:
        yield from advance(p, r, rung)


def advance(p: "Protocol", r: Runner, rung: bool) -> Iterator[Event | Redeem | int]:
    starts: list[Event | Redeem | int] = []
    waits = ""
    todo = ready(p.plan, r.facts)
    for n in todo:
        step = p.plan.steps[n]
        if any(key == n for key, _ in r.under):
            continue
        if step.kind in (SIGNAL, TIMER, CHILD):
            over = answer(p, r, n, rung)
            if over:
                starts.append(over)
            elif step.kind == CHILD and n not in r.facts.waits:
                starts.append(Event(r.epoch, r.seq, "waiting", n))
            else:
                waits = waits or step.kind
        elif step.kind == GATED and (gate := gated(p, r, n)):
            starts += gate
        elif step.kind == GATED:
            waits = waits or SIGNAL
        elif step.kind == UNSAFE and n in r.facts.begun:
            yield from park(p, r, "doubt")  # nothing new beside a step that nobody can answer for
            return
        elif (
            (step.kind == UNSAFE or step.undo)
            and n not in r.facts.begun
            and "intent_before_unsafe_call" in p.rules
        ):
            starts.append(Event(r.epoch, r.seq, "started", n))
        elif step.kind == FAILS:
            starts.append(Event(r.epoch, r.seq, "failed", n))
        else:
            starts.append(n)
    if not todo:
        yield Event(r.epoch, r.seq, "finished", says=SUCCESS)
    elif r.pause or r.drain:
        yield from park(p, r, "handed back" if r.drain else "paused")
    elif starts:
        yield from starts
    elif waits:
        yield from park(p, r, waits)


def gated(p: "Protocol", r: Runner, n: int) -> list[Event | Redeem | int]:
    """What to do with a step that needs an approval; nothing while there is none."""
    seq, begun = row_for(r.facts.inbox, p.plan.steps[n].name)[0], n in r.facts.begun
    if r.refused or not (seq or begun):
        return []
    if not r.passed and "gate_before_call" in p.rules:
        return [Redeem(n)]
    return [n] if begun else [Event(r.epoch, r.seq, "started", n, uses=seq)]


def answer(p: "Protocol", r: Runner, n: int, rung: bool) -> Event | None:
    """The end of a step that waits, if it is there."""
    step = p.plan.steps[n]
    if step.kind == TIMER:
        return Event(r.epoch, r.seq, "completed", n) if rung else None
    seq, what = row_for(r.facts.inbox, "child" if step.kind == CHILD else step.name)
    kind = "failed" if what == f"child {CANCELED}" else "completed"
    return Event(r.epoch, r.seq, kind, n, uses=seq) if seq else None


def park(p: "Protocol", r: Runner, reason: str) -> Iterator[Event]:
    if not r.under or "leave_when_still" not in p.rules:
        yield Event(r.epoch, r.seq, "parked", says=reason, seen=r.seen)


def end(p: "Protocol", r: Runner, outcome: str) -> Iterator[Event | int]:
    """The run is to end otherwise than by success."""
    steps, facts = p.plan.steps, r.facts
    busy = {key for key, _ in r.under}
    cut_off = [n for n in sorted(facts.begun - busy) if n < UNDOES and steps[n].undo]
    if cut_off and "turn_after_answers" in p.rules:
        if r.drain:
            yield from park(p, r, "handed back")
        else:
            yield from cut_off
    elif any(n < UNDOES and steps[n].undo for n in {*facts.done, *facts.waits, *busy}):
        if r.drain or (r.pause and not r.cancel):
            yield from park(p, r, "handed back" if r.drain else "paused")
        elif not r.under or "compensate_when_still" not in p.rules:
            yield Event(r.epoch, r.seq, "compensating", says=outcome)
    elif not r.under or "leave_when_still" not in p.rules:
        yield Event(r.epoch, r.seq, "canceled" if outcome == CANCELED else "finished", says=outcome)


def undo(p: "Protocol", r: Runner, rung: bool) -> Iterator[Event | int]:
    """COMPENSATING: one undo after another, and then the end."""
    facts, steps = r.facts, p.plan.steps
    if r.cancel and "cancel_spares_compensation" not in p.rules:
        yield Event(r.epoch, r.seq, "canceled", says=CANCELED)
    if r.under:
        return
    for n in sorted(facts.waits):
        over = answer(p, r, n, rung)
        if over:
            yield over
            return
        if "compensate_after_children" in p.rules:
            yield from park(p, r, CHILD)
            return
    todo = [n for n in facts.done if n < UNDOES and steps[n].undo and n + UNDOES not in facts.done]
    if "taken_before_own" not in p.rules:
        todo.sort(key=p.plan.taken.__contains__)
    if not todo:
        yield Event(r.epoch, r.seq, "canceled" if facts.turned == CANCELED else "finished", says=facts.turned)
        return
    n = todo[-1] if "undo_in_reverse" in p.rules else max(todo)
    if r.drain:
        yield from park(p, r, "handed back")
    elif steps[n].undo == "later" and not rung:
        yield from park(p, r, TIMER)
    else:
        yield n + UNDOES


# -- effects -----------------------------------------------------------------------------------


def call(p: "Protocol", s: State, i: int, key: int) -> Iterator[Action]:
    """The external effect of a step, with the run's and the step's idempotency key."""
    r = s.runners[i]
    if not r.lease and "call_needs_lease" in p.rules:
        return
    broken = forbidden(p, s, i, key)
    name = f"CALL {name_of(key)}"
    step = p.plan.steps[key % UNDOES]
    if key < UNDOES and (step.kind == UNSAFE or step.undo):
        s = s._replace(called=s.called | {key})
    if step.kind == KILLS:
        back = s._replace(jobs=add(s.jobs, (r.job, True))) if r.held else s
        yield Action(f"runner {i + 1}", f"{name}, which takes it down", put(back, i, IDLE), broken)
        return
    under = r.under - {(key, "announced")} | {(key, "called")}
    yield Action(f"runner {i + 1}", name, put(s, i, r._replace(under=under)), broken)


def forbidden(p: "Protocol", s: State, i: int, key: int) -> str:
    """The promise that this call breaks, if it does."""
    what, run = name_of(key), s.run
    others = [o for n, o in enumerate(s.runners) if n != i and o.lease]
    if key in s.reported:
        return f"P2: {what} was reported and is called again"
    if run.status in TERMINAL:
        return f"P5: {what} is called after the run has ended"
    if p.plan.steps[key % UNDOES].kind == GATED and not run.redeemed:
        return f"approval: {what} is called without one that was redeemed"
    if key in s.called and p.plan.steps[key].kind == UNSAFE:
        return f"in doubt: unsafe {what} is called a second time"
    if any((key, "called") in o.under for o in others):
        return f"side by side: {what} is under way on a live runner and is called again"
    if run.status == PAUSED or s.heed:
        return f"pause: {what} is called although the run was paused before its holder got it"
    if key < UNDOES and run.status == COMPENSATING:
        return f"P5: {what} is called while the run is undone"
    if key >= UNDOES:
        if any(k < UNDOES for o in (s.runners[i], *others) for k, _ in o.under):
            return f"compensation: a step is under way beside {what}"
        later = s.reported[s.reported.index(key - UNDOES) + 1 :] if key - UNDOES in s.reported else ()
        if any(n < UNDOES and p.plan.steps[n].undo and n + UNDOES not in s.reported for n in later):
            return f"compensation: {what} comes before the undo of a step that was completed later"
    return ""


def publish(p: "Protocol", s: State, i: int, event: Event) -> Iterator[Action]:
    """Publish one event and wait for the broker's confirm, which may be lost."""
    me, r, broken = f"runner {i + 1}", s.runners[i], ""
    event = event._replace(version=r.version)
    in_force = r.epoch >= max([s.seen[0], *(e.epoch for e in s.partition)])
    if in_force and event.uses and event != r.sent:
        left = frozenset(row for row in s.run.posted if row[0] != event.uses)
        broken = f"inbox: row {event.uses} is used a second time" if left == s.run.posted else ""
        s = s._replace(run=s.run._replace(posted=left))
    if in_force and event.kind == "completed":
        s = s._replace(reported=finish(s.reported, event.step, p.plan))
    if in_force and event.kind not in ("claimed", "started"):
        s = s._replace(idle=0)
    if event.kind in LEAVES and r.lease and any(stage == "called" for _, stage in r.under):
        broken = f"answers: the run is {event.kind} while a call of its live holder is under way"
    s = s._replace(partition=(*s.partition, event))
    name = f"publish {show(event)}"
    yield Action(me, f"{name}, confirmed", put(s, i, learn(p, r, event)), broken)
    if s.faults:  # it will be published again, with the same seq
        unsure = put(s._replace(faults=s.faults - 1), i, r._replace(sent=event))
        yield Action("fault", f"{me} {name}, confirm lost", unsure, broken)


def learn(p: "Protocol", r: Runner, event: Event) -> Runner:
    """What the runner remembers once its event is confirmed."""
    if event.kind in LEAVES:
        return forget(r)
    r = r._replace(seq=r.seq + 1, sent=None)
    if event.kind == "claimed":
        return r._replace(at="barrier")
    under = r.under
    if event.kind == "started":
        under = under | {(event.step, "announced")}
    elif event.kind in ("completed", "failed"):
        under = under - {(event.step, "called")}
    return r._replace(facts=fold(r.facts, event, p.plan), under=under)
