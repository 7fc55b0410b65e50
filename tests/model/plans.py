"""The plans that are walked: small runs, each with what people and the clock may do to it."""

from typing import NamedTuple

# SAFE: idempotent or keyed. UNSAFE: neither. GATED: as SAFE, once a person has approved. TIMER, SIGNAL, CHILD: wait.
# FAILS: for good. KILLS: takes its runner down.
SAFE, UNSAFE, GATED, FAILS, KILLS = "safe", "unsafe", "gated", "fails", "kills"
TIMER, SIGNAL, CHILD = "timer", "signal", "child"
WAITS = {TIMER, SIGNAL, CHILD}


class Step(NamedTuple):
    kind: str
    needs: tuple[int, ...] = ()
    undo: str = ""  # "": none | now: a call that may be repeated | later: the same, after a timer
    name: str = ""  # of the signal that a SIGNAL waits for, or of the approval that a GATED step needs


class Plan(NamedTuple):
    steps: tuple[Step, ...]
    signals: tuple[str, ...] = ()  # that people send, in this order, at any moment
    people: frozenset[str] = frozenset()  # cancel | pause (and resume) | move (to another version)
    leaves: int = 0  # how often a runner is told to leave (SIGTERM)
    deaths: int = 0  # how often a runner dies beside the faults that are asked for
    unfit: int = 0  # how often events can not be applied
    patience: int = 0  # how many fruitless claims are borne; 0: they are not counted, to save states
    most: int = 1  # faults in the walk that `make test` does
    taken: tuple[int, ...] = ()  # a re-run: the steps that it takes over, in the order in which they were done

    @property
    def undoes(self) -> bool:
        return any(step.undo for step in self.steps)


def chain(*steps: Step | str) -> tuple[Step, ...]:
    """Steps one after another."""
    made = [step if isinstance(step, Step) else Step(step) for step in steps]
    return tuple(step._replace(needs=(n - 1,) if n else ()) for n, step in enumerate(made))


UNDO = Step(SAFE, undo="now")

PLANS = {
    # the life of a run
    "steps": Plan(chain(SAFE, SAFE)),
    "unsafe": Plan(chain(UNSAFE, SAFE)),
    "timer": Plan(chain(SAFE, TIMER)),
    "signal": Plan(chain(SAFE, Step(SIGNAL, name="x")), signals=("x",)),
    "cancel": Plan(chain(SAFE, Step(SIGNAL, name="x")), people=frozenset({"cancel"})),
    # steps side by side
    "parallel": Plan((Step(SAFE), Step(UNSAFE))),
    "beside": Plan((Step(SAFE), Step(FAILS))),
    # the inbox
    "early": Plan(chain(Step(SIGNAL, name="x"), Step(SIGNAL, name="y")), signals=("y", "x"), most=0),
    "again": Plan(chain(Step(SIGNAL, name="x"), Step(SIGNAL, name="x")), signals=("x",)),
    # approvals of calls
    "gate": Plan(chain(Step(GATED, name="yes")), signals=("yes",)),
    # pause
    "pause": Plan(chain(SAFE), people=frozenset({"pause"})),
    "pause-timer": Plan(chain(TIMER), people=frozenset({"pause"}), most=0),
    "pause-cancel": Plan(chain(SAFE), people=frozenset({"pause", "cancel"}), most=0),
    # a run that is moved to another version of its workflow
    "move": Plan(chain(SAFE, TIMER), people=frozenset({"move"}), most=0),
    "move-pause": Plan(chain(SAFE), people=frozenset({"move", "pause"}), most=0),
    # compensation
    "turn": Plan((UNDO, Step(FAILS))),
    "undo": Plan((UNDO, UNDO, Step(FAILS, needs=(0, 1))), most=0),
    "undo-later": Plan((Step(SAFE, undo="later"),), people=frozenset({"cancel"})),
    # a re-run: what was done is not done again, and is undone when it fails after all
    "rerun": Plan(
        (UNDO, UNDO, UNDO._replace(needs=(0, 1)), Step(FAILS, needs=(2,))), most=0, taken=(1, 0)
    ),
    # child runs
    "child": Plan((Step(CHILD),)),
    "child-undo": Plan((Step(CHILD, undo="now"),), people=frozenset({"cancel"}), most=0),
    # runners that leave, runners that die
    "leave": Plan(chain(SAFE), leaves=1),
    "poison": Plan((Step(KILLS),), patience=2),
    "poison-cancel": Plan((Step(KILLS),), people=frozenset({"cancel"}), patience=2, most=0),
    "aside": Plan(chain(SAFE), people=frozenset({"cancel"}), unfit=1),
    "neighbours": Plan((Step(KILLS), Step(SAFE)), patience=2),  # each step a run of its own: neighbours.py
    "unlucky": Plan(chain(SAFE, SAFE), deaths=2, patience=1, most=0),
}
