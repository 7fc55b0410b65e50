"""The control plane: the relay, the sweeper, what a claim and the barrier answer, what people ask for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from state import (
    COMPENSATING,
    PAUSED,
    RUNNING,
    TERMINAL,
    UNDOES,
    WAITING,
    Action,
    Run,
    Runner,
    State,
    add,
    forget,
    put,
)

if TYPE_CHECKING:
    from protocol import Protocol


def actions(p: "Protocol", s: State) -> Iterator[Action]:
    yield from relay(p, s)
    yield from sweeper(p, s)
    yield from people(p, s)
    if s.owed == "taken":
        facts = s.run.facts
        taken = (*p.plan.taken, *(step for step in facts.done if step not in p.plan.taken))
        run = s.run._replace(facts=facts._replace(done=taken))
        yield Action("control plane", "writes what the re-run takes over", s._replace(run=run, owed=""))


# -- dispatch ----------------------------------------------------------------------------------


def relay(p: "Protocol", s: State) -> Iterator[Action]:
    run = s.run
    if not s.relay and run.row == "due":
        job = (run.dispatch, False)
        yield Action(
            "relay", f"publish dispatch {run.dispatch}", s._replace(relay=run.dispatch, jobs=add(s.jobs, job))
        )
    if s.relay:
        ours = run.dispatch == s.relay or "relay_deletes_what_it_sent" not in p.rules
        run = run._replace(row="sent") if ours and run.row in ("due", "later") else run
        yield Action("relay", f"delete dispatch {s.relay}", s._replace(relay=0, run=run))


def sweeper(p: "Protocol", s: State) -> Iterator[Action]:
    run = s.run
    lapsed = run.claim == "lapsed" and "sweep_lapsed_claims" in p.rules
    unclaimed = run.claim == "none" and "sweep_unclaimed" in p.rules
    if run.row == "sent" and (lapsed or unclaimed):
        fresh_id = 0 if "sweep_keeps_dispatch_id" in p.rules else 1
        run = run._replace(row="due", dispatch=run.dispatch + fresh_id)
        yield Action("sweeper", f"make dispatch {run.dispatch} due again", s._replace(run=run))


def woken(run: Run) -> Run:
    """The current dispatch is due now; one that was sent is on its way already."""
    return run._replace(row="due", woken=True) if run.row in ("later", "gone") else run._replace(woken=True)


# -- claims ------------------------------------------------------------------------------------


def grants(p: "Protocol", run: Run, runner: Runner) -> bool:
    """What a claim checks, on the locked run row."""
    if run.status in TERMINAL or (run.reason == "dead letter" and run.status == WAITING and not run.cancel):
        return False
    if run.status == PAUSED and "claim_refuses_paused" in p.rules:
        return False
    if runner.job != run.dispatch and "claim_needs_current_dispatch" in p.rules:
        return False
    return run.claim != "live" or (runner.redelivered and "claim_waits_for_lease" not in p.rules)


def too_early(run: Run) -> str:
    early = run.status in (WAITING, COMPENSATING) and run.claim == "none" and not run.woken
    return "a resume dispatch was consumed before its wait ended" if early else ""


def claim(p: "Protocol", s: State, i: int, epoch: int) -> tuple[State, str]:
    """The claim's transaction, and what the runner knows from its answer; and what that breaks."""
    run, runner = s.run, s.runners[i]
    takeover = run.claim != "none" if "takeover_known_from_row" in p.rules else runner.redelivered
    if p.plan.patience and run.claim == "lapsed":
        most = p.plan.patience + 1
        run = run._replace(fruitless=min(run.fruitless + 1, most))
        s = s._replace(idle=min(s.idle + 1, most))
        if run.fruitless == most and "poison_judged_behind_barrier" not in p.rules:
            return put(s._replace(run=set_aside(run)), i, forget(runner)), innocent(p, s)
    wait = takeover and "barrier_on_takeover" in p.rules
    runner = runner._replace(at="mark" if wait else "ready", epoch=epoch, lease=True)
    stays = run.status == COMPENSATING and "compensating_stays" in p.rules
    run = run._replace(status=COMPENSATING if stays else RUNNING, epoch=epoch, claim="live")
    if not wait:
        s, runner, run = hand_over(p, s, runner, run)
    elif "inbox_behind_the_barrier" not in p.rules:
        runner = runner._replace(facts=runner.facts._replace(inbox=run.facts.inbox), seen=run.inbox_seq)
    return put(s._replace(run=run), i, runner), ""


def hand_over(p: "Protocol", s: State, runner: Runner, run: Run) -> tuple[State, Runner, Run]:
    """Checkpoint, inbox and what people asked for; the runner may begin."""
    facts, seen, at = run.facts, run.inbox_seq, "ready"
    if runner.at == "barrier" and "inbox_behind_the_barrier" not in p.rules:
        facts, seen = facts._replace(inbox=runner.facts.inbox), runner.seen
    if "seen_no_newer_than_rows" not in p.rules:
        at = "reading"
    if "inbox_used_by_event" not in p.rules:
        run = run._replace(facts=run.facts._replace(inbox=frozenset()))
    if "undo_once" not in p.rules:
        facts = facts._replace(done=tuple(step for step in facts.done if step < UNDOES))
    cancel = run.cancel and "claim_tells_cancel" in p.rules
    pause = run.pause and "claim_tells_pause" in p.rules
    runner = runner._replace(
        at=at, version=run.version, lease=True, facts=facts, seen=seen, cancel=cancel, pause=pause
    )
    return s._replace(heed=run.pause), runner, run


def heard(p: "Protocol", runner: Runner, run: Run) -> Runner:
    """What a heartbeat tells the holder: a cancel, a pause, the inbox rows above what it has seen."""
    rows = frozenset(row for row in run.facts.inbox if row[0] > runner.seen)
    facts = runner.facts._replace(inbox=runner.facts.inbox | rows) if rows else runner.facts
    return runner._replace(facts=facts, seen=run.inbox_seq, cancel=run.cancel, pause=run.pause)


def barrier(p: "Protocol", s: State, i: int) -> tuple[str, State, str] | None:
    """What a runner that waits for its mark is told: nothing yet, the checkpoint, or to go."""
    run, r = s.run, s.runners[i]
    passed = run.fence[0] >= r.epoch if "barrier_at_least" in p.rules else run.fence[0] == r.epoch
    holder = run.epoch == r.epoch and run.claim != "none"
    if not passed:
        return None
    if not holder and "checkpoint_for_holder_only" in p.rules:
        return "barrier passed: claim is closed", put(s, i, forget(r)), ""
    heard = run.cancel and "cancel_beats_poison" in p.rules
    poison = p.plan.patience and run.fruitless > p.plan.patience and "poison_is_set_aside" in p.rules
    if holder and poison and not heard:
        aside = set_aside(run)._replace(claim="none", dispatch=run.dispatch + 1)
        return (
            "barrier passed: the run is set aside",
            put(s._replace(run=aside), i, forget(r)),
            innocent(p, s),
        )
    run = run._replace(claim="live") if holder else run
    s, r, run = hand_over(p, s, r, run)
    return "barrier passed: read the checkpoint", put(s._replace(run=run), i, r), ""


def redeem(p: "Protocol", s: State, i: int, step: int) -> Iterator[Action]:
    """A holder shows an approval, or says that there was one, on the locked run row."""
    me, run, r = f"runner {i + 1}", s.run, s.runners[i]
    if run.epoch != r.epoch or run.claim == "none":
        yield Action(me, f"redeem the approval of step {step}: the claim is closed", put(s, i, forget(r)))
        return
    if run.redeemed and "redeem_again_alike" not in p.rules:
        yield Action(me, f"redeem the approval of step {step}: refused", put(s, i, r._replace(refused=True)))
        return
    after = s._replace(run=run._replace(redeemed=True))
    yield Action(me, f"redeem the approval of step {step}", put(after, i, r._replace(passed=True)))
    if s.faults:  # the answer is lost; it asks again
        yield Action(
            "fault",
            f"{me} redeems the approval of step {step}, answer lost",
            after._replace(faults=s.faults - 1),
        )


def set_aside(run: Run) -> Run:
    return run._replace(status=WAITING, reason="dead letter", row="gone", woken=False)


def innocent(p: "Protocol", s: State) -> str:
    return "" if s.idle > p.plan.patience else "an innocent run is set aside: its last holders got on with it"


# -- what people ask for -----------------------------------------------------------------------


def insert(p: "Protocol", run: Run, what: str, wakes: bool = True) -> Run:
    """An inbox row, counted; and the run is woken if nobody holds it."""
    if run.status in TERMINAL:
        return run
    seq = run.inbox_seq + 1
    inbox = run.facts._replace(inbox=run.facts.inbox | {(seq, what)})
    run = run._replace(inbox_seq=seq, facts=inbox, posted=run.posted | {(seq, what)})
    return woken(run) if wakes and run.row == "later" else run


def people(p: "Protocol", s: State) -> Iterator[Action]:
    """At any moment; a webhook does not ask whether the park is applied."""
    run = s.run
    if s.hand:
        what, saw = s.hand
        sent = insert(p, run, what, wakes=saw == "later")
        yield Action("person", f"inserts signal {what}", s._replace(run=sent, hand=()))
    if run.status in TERMINAL:
        return
    if s.signals:
        what, *rest = s.signals
        if "inbox_locks_the_run" in p.rules:
            yield Action(
                "person", f"signal {what}", s._replace(run=insert(p, run, what), signals=tuple(rest))
            )
        elif not s.hand:
            looked = s._replace(signals=tuple(rest), hand=(what, run.row))
            yield Action("person", f"looks at the run for signal {what}", looked)
    if "cancel" in p.plan.people and not run.cancel:
        yield Action("person", "cancel", s._replace(run=cancel(p, run)))
    if "pause" in p.plan.people:
        yield from pause(p, s)
    if s.moves:
        yield from move(p, s)


def move(p: "Protocol", s: State) -> Iterator[Action]:
    """What was done fits the other version: that is for the control plane to check, and not modelled."""
    run = s.run
    if run.status != COMPENSATING and (run.claim == "none" or "move_needs_no_claim" not in p.rules):
        # It may have something to do by now that it had not: whoever claims it decides anew.
        moved = (woken(run) if run.row == "later" else run)._replace(version=run.version + 1)
        yield Action("person", f"moves the run to version {moved.version}", s._replace(run=moved, moves=s.moves - 1))


def cancel(p: "Protocol", run: Run) -> Run:
    asked = run._replace(cancel=True)
    if "cancel_is_a_request" not in p.rules:
        return asked._replace(status="CANCELED", claim="none", row="gone")
    if run.status == COMPENSATING and "cancel_wakes_no_undo" in p.rules:
        return asked
    if run.status == PAUSED:
        return put_back(p, asked._replace(pause=False, status=WAITING))
    return woken(asked) if run.row == "later" or run.claim == "none" else asked


def pause(p: "Protocol", s: State) -> Iterator[Action]:
    run = s.run
    beaten = run.cancel and "cancel_beats_pause" in p.rules
    if not run.pause and s.pauses and run.status != COMPENSATING and not beaten:
        asked = run._replace(pause=True)
        if run.claim == "none" or "pause_is_a_request" not in p.rules:
            asked = asked._replace(status=PAUSED, claim="none", row="gone", woken=False)
        yield Action("person", "pause", s._replace(run=asked, pauses=s.pauses - 1))
    if run.pause:
        back = run._replace(pause=False)
        if run.status == PAUSED:
            back = put_back(p, back._replace(status=WAITING))
        yield Action("person", "resume", s._replace(run=back, heed=False))


def put_back(p: "Protocol", run: Run) -> Run:
    return woken(run) if "resume_keeps_dispatch" in p.rules else run
