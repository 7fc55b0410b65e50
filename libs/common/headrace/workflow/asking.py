"""Asking the conditions of edges: each once, and no more of them in a row than a runner can do without a rest.

A document may hold thousands of conditions, each with a budget of its own. What one decision asks is bounded here: it
begins no further condition once `MAX_WORK` has been spent since others had their turn, so that it never takes longer
than two conditions at their limit.
"""

from dataclasses import dataclass, field

from headrace.records import record
from headrace.workflow.conditions import ConditionFailed, Evaluate, holds, upstream
from headrace.workflow.dealt import taken
from headrace.workflow.expressions.limits import MAX_WORK, Budget
from headrace.workflow.graph import Graph
from headrace.workflow.state import RunState


class NotNow(Exception):
    """A condition has to be asked, and others have to have their turn before."""


@dataclass(slots=True)
class Answers:
    """What one claim of a run remembers of the conditions that it asked: of each edge, by its end and its number there,
    the answer, as how a step ended does not change; of each step that failed, whether that was dealt with, and of an
    error edge of it the condition that failed; and the work that was done since others had their turn."""

    known: dict[tuple[str, int], bool] = field(default_factory=dict)
    dealt: dict[str, bool] = field(default_factory=dict)
    unclear: dict[str, str] = field(default_factory=dict)
    worked: int = 0

    def others_had_their_turn(self) -> None:
        """More conditions may be asked now."""
        self.worked = 0

    @property
    def tired(self) -> bool:
        """Whether others have their turn before any further condition is asked."""
        return self.worked >= MAX_WORK


@record
class Conditions:
    """The conditions that one decision asks."""

    graph: Graph
    state: RunState
    evaluate: Evaluate
    answers: Answers

    def hold(self, key: str, number: int) -> bool:
        """Whether the condition of an edge holds, the one with this number among those into `key`; its first step has
        ended. Raises `ConditionFailed` naming the edge, and `NotNow`."""
        if self.graph.incoming[key][number].when is None:
            return True
        known = self.answers.known.get((key, number))
        if known is not None:
            return known
        if self.answers.tired:
            raise NotNow
        return self._ask(key, number, Budget())

    def dealt_with(self, key: str) -> bool:
        """Whether the failure of the step `key` is dealt with. Raises `NotNow`."""
        known = self.answers.dealt.get(key)
        if known is not None:
            return known
        if self.answers.tired and self.graph.error_conditions(key):
            raise NotNow
        return self.dealt_with_now(key)

    def dealt_with_now(self, key: str) -> bool:
        """As `dealt_with`, for who can not wait: whoever writes the failure down says whether it is dealt with.

        The conditions of a step's error edges share the budget of one here. One that is neither true nor false deals
        with nothing.
        """
        budget = Budget()
        dealt = self.graph.deals_with_any_failure(key) or any(
            self._deals(end, number, budget) for end, number in self.graph.error_conditions(key)
        )
        self.answers.dealt[key] = dealt
        return dealt

    def _deals(self, end: str, number: int, budget: Budget) -> bool:
        # What was decided once stays so, whatever the condition would say by now.
        was = taken(self.graph, end, self.state.step(end).status)
        if was is None:
            was = self.answers.known.get((end, number))
        if was is not None:
            return was
        try:
            return self._ask(end, number, budget)
        except ConditionFailed as error:
            self.answers.unclear.setdefault(self.graph.incoming[end][number].from_step, str(error))
            return False

    def _ask(self, key: str, number: int, budget: Budget) -> bool:
        edge, answers, before = self.graph.incoming[key][number], self.answers, budget.spent
        if edge.when is None:
            return True
        try:
            answer = holds(edge.when, upstream(self.state.step(edge.from_step)), self.evaluate, budget)
        except ConditionFailed as error:
            words = f"the condition of the edge from `{edge.from_step}` to `{key}`: {error}"
            raise ConditionFailed(words, error.code) from error
        finally:
            answers.worked += budget.spent - before
        answers.known[key, number] = answer
        return answer
