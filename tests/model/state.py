"""What outlives an instruction: the run's row, the relay's place, the job queue, the partition, the runners."""

from typing import NamedTuple

from plans import Plan

QUEUED, RUNNING, WAITING, PAUSED, COMPENSATING = "QUEUED", "RUNNING", "WAITING", "PAUSED", "COMPENSATING"
SUCCESS, FAILED, CANCELED = "SUCCESS", "FAILED", "CANCELED"
TERMINAL = {SUCCESS, FAILED, CANCELED}
ARROWS = {
    *((QUEUED, to) for to in (RUNNING, PAUSED)),
    *((RUNNING, to) for to in (WAITING, PAUSED, COMPENSATING, SUCCESS, FAILED, CANCELED)),
    *((WAITING, to) for to in (RUNNING, PAUSED, COMPENSATING)),
    (PAUSED, WAITING),
    *((held_by_nobody, to) for held_by_nobody in (QUEUED, WAITING, PAUSED) for to in (FAILED, CANCELED)),
    *((COMPENSATING, to) for to in (FAILED, CANCELED)),
}

NONE: frozenset = frozenset()
UNDOES = 10  # the key of what undoes step n is n + UNDOES


class Facts(NamedTuple):
    """What events and inbox rows have told about a run: kept in its row, and in its holder's memory."""

    done: tuple[int, ...] = ()  # keys completed: in the order of completion where a plan undoes
    begun: frozenset[int] = NONE  # keys with a confirmed `started` and no answer
    waits: frozenset[int] = NONE  # child steps whose `waiting` was reported
    failed: bool = False  # a step failed for good
    turned: str = ""  # FAILED or CANCELED: the run is being undone, and will end so
    inbox: frozenset[tuple[int, str]] = NONE  # (seq, what) that no event has used up


class Run(NamedTuple):
    """The run's row, its one dispatch row and its checkpoint: what Postgres knows."""

    status: str = QUEUED
    epoch: int = 0
    claim: str = "none"  # none | live | lapsed | left: the lease of `epoch`
    dispatch: int = 1  # the id of the current dispatch
    row: str = "due"  # later | due | sent (deleted by the relay) | gone
    fence: tuple[int, int] = (0, 0)  # epoch and seq of the last event applied
    facts: Facts = Facts()
    reason: str = ""  # why the run was parked last
    inbox_seq: int = 0  # how many inbox rows there have been
    cancel: bool = False  # a person asked for it
    pause: bool = False  # a person asked for it
    rung: bool = False  # the time that a TIMER or a retry waits for has come
    child: str = ""  # none | owed | open | asked to cancel | SUCCESS | CANCELED
    redeemed: bool = False  # the approval of the gated step was redeemed
    fruitless: int = 0  # claims in a row that took over from a holder that died, and no progress applied
    version: int = 0  # of the workflow: what its holder decides by
    woken: bool = False  # ghost: what made the current dispatch due was a reason to
    posted: frozenset[tuple[int, str]] = NONE  # ghost: inbox rows that no event reported in force has used up


class Event(NamedTuple):
    """One fact about the run, on its way through the partition."""

    epoch: int
    seq: int
    kind: (
        str  # claimed | started | completed | failed | waiting | compensating | parked | finished | canceled
    )
    step: int = -1
    says: str = ""  # why it is parked; how it ends; how it will end when it is undone
    uses: int = 0  # the inbox row that it uses up
    seen: int = 0  # the inbox_seq that its writer knew of
    version: int = 0  # ghost: that its writer decided by


class Runner(NamedTuple):
    """What one runner holds in memory; a crash resets it."""

    at: str = "idle"  # idle | job | granted | mark | barrier | reading | ready | leaving
    job: int = 0  # the dispatch id in the delivery
    redelivered: bool = False
    held: bool = False  # the broker still counts the delivery as ours
    epoch: int = 0
    seq: int = 1
    version: int = 0  # handed over with the checkpoint
    lease: bool = False  # what our own clock says
    facts: Facts = Facts()
    under: frozenset[tuple[int, str]] = NONE  # steps under way: announced | called
    seen: int = 0
    cancel: bool = False
    pause: bool = False
    drain: bool = False  # told to leave
    sent: Event | None = None  # published and not confirmed
    passed: bool = False  # the approval of the gated step was redeemed for us
    refused: bool = False  # it could not be


IDLE = Runner()


class State(NamedTuple):
    run: Run = Run()
    relay: int = 0  # the dispatch id published but not yet deleted
    jobs: tuple[tuple[int, bool], ...] = ()  # (dispatch id, redelivered), order not assumed
    partition: tuple[Event, ...] = ()  # strictly in order
    reporter: int = 0  # events at the front committed but not yet acked
    runners: tuple[Runner, ...] = (IDLE, IDLE)
    signals: tuple[str, ...] = ()  # that people have yet to send
    hand: tuple[str, ...] = ()  # a signal whose sender has looked at the run, and what it saw
    owed: str = ""  # a message of the child that was not inserted with its end
    pauses: int = 0  # how often the run may still be paused
    moves: int = 0  # how often the run may still be moved to another version
    leaves: int = 0  # how often a runner may still be told to leave
    deaths: int = 0  # how often a runner may still die for no fault
    unfit: int = 0  # how often events may still turn out to be such that they can not be applied
    faults: int = 0  # how many may still happen
    reported: tuple[int, ...] = ()  # ghost: completions that entered the partition in force
    called: frozenset[int] = NONE  # ghost: unsafe steps, and steps with an undo, whose effect may be there
    heed: bool = False  # ghost: the run was to be paused when its holder got it
    idle: int = 0  # ghost: claims taken over from the dead since the last progress among them
    seen: tuple[int, int] = (0, 0)  # ghost: highest (epoch, seq) that reached the reporter


class Action(NamedTuple):
    actor: str  # relay, reporter, sweeper, time, child, runner 1, runner 2; fault and person are not fair
    name: str
    state: State
    broken: str = ""  # the invariant this very action breaks


def fold(facts: Facts, event: Event, plan: Plan) -> Facts:
    """What one event adds. The runner folds its own, the reporter those that it applies."""
    if event.uses:
        facts = facts._replace(inbox=frozenset(row for row in facts.inbox if row[0] != event.uses))
    match event.kind:
        case "started":
            return facts._replace(begun=facts.begun | {event.step})
        case "waiting":
            return facts._replace(waits=facts.waits | {event.step})
        case "completed" | "failed":
            facts = facts._replace(begun=facts.begun - {event.step}, waits=facts.waits - {event.step})
            if event.kind == "failed":
                return facts._replace(failed=True)
            return facts._replace(done=finish(facts.done, event.step, plan))
        case "compensating":
            return facts._replace(turned=event.says)
    return facts


def finish(done: tuple[int, ...], step: int, plan: Plan) -> tuple[int, ...]:
    """The order counts only where something can be undone."""
    if step in done:
        return done
    return (*done, step) if plan.undoes else tuple(sorted((*done, step)))


def undone(plan: Plan, done: tuple[int, ...]) -> bool:
    return all(n + UNDOES in done for n in done if 0 <= n < UNDOES and plan.steps[n].undo)


def ready(plan: Plan, facts: Facts) -> list[int]:
    """The steps that may begin, or wait, by now."""
    return [
        n
        for n, step in enumerate(plan.steps)
        if n not in facts.done and all(need in facts.done for need in step.needs)
    ]


def row_for(rows: frozenset[tuple[int, str]], what: str) -> tuple[int, str]:
    """The oldest of these inbox rows of this name, or (0, "")."""
    return min((row for row in rows if row[1].partition(" ")[0] == what), default=(0, ""))


def put(s: State, i: int, runner: Runner) -> State:
    return s._replace(runners=(*s.runners[:i], runner, *s.runners[i + 1 :]))


def forget(runner: Runner) -> Runner:
    """The claim is over for this runner: no more heartbeats, only the ack is left to do."""
    return Runner(at="leaving", job=runner.job, held=runner.held)


def add(jobs: tuple, job: tuple) -> tuple:
    """Copies that wait side by side are one: a second could do nothing that a sweep can not."""
    return tuple(sorted({*jobs, job}))


def drop(jobs: tuple, job: tuple) -> tuple:
    return tuple(j for j in jobs if j != job)


def name_of(step: int) -> str:
    return f"undo {step - UNDOES}" if step >= UNDOES else f"step {step}"


def show(event: Event) -> str:
    told = [name_of(event.step)] if event.step >= 0 else []
    told += [event.says] if event.says else []
    told += [f"uses row {event.uses}"] if event.uses else []
    told += [f"saw {event.seen}"] if event.kind == "parked" else []
    return " ".join([event.kind, *told, f"({event.epoch}.{event.seq})"])


SETTLED = {"claim_needs_current_dispatch", "relay_deletes_what_it_sent"}
FLAGS = {"takeover_known_from_row", "claim_waits_for_lease"}


def tidy(s: State, rules: frozenset[str]) -> State:
    """Without what can do nothing any more, and with the runner that is idle last.

    Unless a rule that says so was taken away, a stale job can only be refused, and so can any job of a run that has
    ended; the redelivered flag is ignored; and an ack that is left to do brings, if it is never done, one copy more
    of a job that a sweep could bring as well.
    """
    if FLAGS <= rules:
        if any(r.at == "leaving" for r in s.runners):
            s = s._replace(runners=tuple(IDLE if r.at == "leaving" else r for r in s.runners))
        if any(flag for _, flag in s.jobs):
            s = s._replace(jobs=tuple(sorted({(d, False) for d, _ in s.jobs})))
    if SETTLED <= rules:
        now = 0 if s.run.status in TERMINAL else s.run.dispatch
        if any(d != now for d, _ in s.jobs):
            s = s._replace(jobs=tuple(job for job in s.jobs if job[0] == now))
        if s.relay not in (0, now):
            s = s._replace(relay=0)
    first, second = s.runners
    return s._replace(runners=(second, first)) if first == IDLE and second != IDLE else s


def canonical(s: State) -> State:
    """One state for all that differ in nothing but numbers.

    A dispatch id matters only by being the current one (2) or not (1), an epoch only by its place among the others.
    """
    run = s.run
    known = {0, run.epoch, s.seen[0], run.fence[0]}
    known.update([e.epoch for e in s.partition])
    known.update([r.epoch for r in s.runners])
    if run.dispatch == 2 and max(known) < len(known):
        return s
    rank = {epoch: n for n, epoch in enumerate(sorted(known))}

    def new(n: int) -> int:
        return n and 1 + (n == run.dispatch)

    def ranked(event: Event) -> Event:
        return event._replace(epoch=rank[event.epoch])

    return s._replace(
        run=run._replace(dispatch=2, epoch=rank[run.epoch], fence=(rank[run.fence[0]], run.fence[1])),
        relay=new(s.relay),
        jobs=tuple(sorted({(new(d), flag) for d, flag in s.jobs})),
        partition=tuple([ranked(e) for e in s.partition]),
        runners=tuple(
            [
                r
                if r == IDLE
                else r._replace(job=new(r.job), epoch=rank[r.epoch], sent=r.sent and ranked(r.sent))
                for r in s.runners
            ]
        ),
        seen=(rank[s.seen[0]], s.seen[1]),
    )
