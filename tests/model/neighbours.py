"""Poison and its neighbour: two runs and the processes that carry them; all else of the protocol left out.

One run takes down whatever process calls it, the other is innocent. Nobody knows which is which: both lose their
holder at the same time. So a run that has lost a few is handed out only to a process of its own.
"""

from collections.abc import Iterator
from typing import NamedTuple

from plans import KILLS, Plan
from state import Action

SUSPECT_AFTER = 1
SHARED = "the shared process"


class Carried(NamedTuple):
    """One of the two runs."""

    place: str = "queue"  # queue | aside | ended | the process that carries it
    fruitless: int = 0


class Fleet(NamedTuple):
    runs: tuple[Carried, ...]
    faults: int


class Neighbours(NamedTuple):
    plan: Plan  # a run for each of its steps
    rules: frozenset[str]

    def start(self, faults: int) -> Fleet:
        return Fleet(tuple(Carried() for _ in self.plan.steps), faults)

    def actions(self, s: Fleet) -> Iterator[Action]:
        for i, (step, run) in enumerate(zip(self.plan.steps, s.runs, strict=True)):
            if run.place == "queue":
                yield self.claim(s, i)
            elif run.place not in ("aside", "ended"):
                if step.kind == KILLS:
                    yield Action(f"run {i}", f"is called and takes {run.place} down", die(s, run.place))
                else:
                    yield Action(f"run {i}", "ends", put(s, i, Carried("ended")))
        for place in sorted({run.place for run in s.runs} - {"queue", "aside", "ended"}):
            if s.faults:
                yield Action("fault", f"{place} dies", die(s._replace(faults=s.faults - 1), place))

    def claim(self, s: Fleet, i: int) -> Action:
        run = s.runs[i]
        if run.fruitless > self.plan.patience and "poison_is_set_aside" in self.rules:
            broken = "" if self.plan.steps[i].kind == KILLS else f"run {i} is innocent and is set aside"
            return Action(f"run {i}", "is set aside", put(s, i, run._replace(place="aside")), broken)
        alone = run.fruitless >= SUSPECT_AFTER and "suspect_goes_alone" in self.rules
        place = f"the process of run {i} alone" if alone else SHARED
        return Action(f"run {i}", f"is claimed by {place}", put(s, i, run._replace(place=place)))

    def tidy(self, s: Fleet) -> Fleet:
        most = self.plan.patience + 1
        return s._replace(runs=tuple(run._replace(fruitless=min(run.fruitless, most)) for run in s.runs))

    def canonical(self, s: Fleet) -> Fleet:
        return self.tidy(s)

    def broken(self, before: Fleet, action: Action) -> str:
        return action.broken

    def at_rest(self, s: Fleet) -> bool:
        return all(run.place in ("aside", "ended") for run in s.runs)

    def told(self, s: Fleet) -> str:
        return ", ".join(f"run {i} in {run.place}" for i, run in enumerate(s.runs))


def put(s: Fleet, i: int, run: Carried) -> Fleet:
    return s._replace(runs=(*s.runs[:i], run, *s.runs[i + 1 :]))


def die(s: Fleet, place: str) -> Fleet:
    """Whoever was carried goes back to the queue, and its next claim is one more in a row."""
    runs = (Carried("queue", run.fruitless + 1) if run.place == place else run for run in s.runs)
    return s._replace(runs=tuple(runs))
