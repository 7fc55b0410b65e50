"""What a filter or test takes, so that a wrong call is found before anything runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from headrace.json_types import Json
from headrace.workflow.expressions.limits import Budget

Function = Callable[..., Json]


class NotGiven(Enum):
    """What an argument is that a call leaves out, where `none` is a value to give."""

    NOT_GIVEN = "not given"


@dataclass(frozen=True, slots=True)
class Signature:
    """`function(budget, value, **arguments)`; the first `required` of `parameters` must be given."""

    function: Function
    parameters: tuple[str, ...] = ()
    required: int = 0

    def misfit(self, positional: int, keywords: Sequence[str]) -> str:
        """What is wrong with a call of this shape; empty when nothing is."""
        if positional > len(self.parameters):
            return f"takes {len(self.parameters)} arguments at most"
        given = [*self.parameters[:positional], *keywords]
        if any(name not in self.parameters for name in keywords):
            return f"has no such argument; it takes {', '.join(self.parameters) or 'none'}"
        if len(set(given)) < len(given):
            return "is given an argument twice"
        missing = [name for name in self.parameters[: self.required] if name not in given]
        return f"needs the argument {missing[0]}" if missing else ""

    def call(
        self, budget: Budget, value: Json, positional: Sequence[Json], keywords: dict[str, Json]
    ) -> Json:
        """The result; the call's shape has been checked with `misfit`."""
        arguments = dict(zip(self.parameters, positional, strict=False)) | keywords
        return self.function(budget, value, **arguments)
