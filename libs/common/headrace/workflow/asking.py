"""Asking the conditions of edges: each once, and no more of them in a row than a runner can do without a rest.

A document may hold thousands of conditions, each with a budget of its own. What one decision asks is bounded here: it
begins no further condition once `MAX_WORK` has been spent since others had their turn, so that it never takes longer
than two conditions at their limit.
"""

from dataclasses import dataclass, field

from headrace.records import record
from headrace.workflow.conditions import ConditionFailed, Evaluate, holds, upstream
from headrace.workflow.expressions.limits import MAX_WORK, Budget
from headrace.workflow.graph import Graph
from headrace.workflow.state import RunState


class NotNow(Exception):
    """A condition has to be asked, and others have to have their turn before."""


@dataclass(slots=True)
class Answers:
    """What one claim of a run remembers of the conditions that it asked: of each edge, by its end and its number there,
    the answer, as how a step ended does not change; and the work that was done since others had their turn."""

    known: dict[tuple[str, int], bool] = field(default_factory=dict)
    worked: int = 0

    def others_had_their_turn(self) -> None:
        """More conditions may be asked now."""
        self.worked = 0


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
        edge, answers = self.graph.incoming[key][number], self.answers
        if edge.when is None:
            return True
        known = answers.known.get((key, number))
        if known is not None:
            return known
        if answers.worked >= MAX_WORK:
            raise NotNow
        budget = Budget()
        try:
            answer = holds(edge.when, upstream(self.state.step(edge.from_step)), self.evaluate, budget)
        except ConditionFailed as error:
            words = f"the condition of the edge from `{edge.from_step}` to `{key}`: {error}"
            raise ConditionFailed(words, error.code) from error
        finally:
            answers.worked += budget.spent
        answers.known[key, number] = answer
        return answer
