"""Conditions of edges, of `repeat` and of `probe`: can each of them ever be what its writer meant?"""

from collections.abc import Collection

from headrace.workflow.checks.references import Place, check_value
from headrace.workflow.checks.subject import Subject
from headrace.workflow.document import AllOf, AnyOf, Condition, Expression, Not, Step, When
from headrace.workflow.expressions import Local
from headrace.workflow.expressions.template import has_expression
from headrace.workflow.grammar import MAX_PATTERNS
from headrace.workflow.operators import OPERATORS, Takes
from headrace.workflow.outputs import DEFAULT_OUTPUT, output_names, own_output_names
from headrace.workflow.paths import at_index
from headrace.workflow.patterns import compile_pattern
from headrace.workflow.times import WORDS, read_time


def check_conditions(subject: Subject) -> None:
    """BAD_EXPRESSION, BAD_PATTERN, BAD_TIME, EXPRESSION_NOT_ALLOWED, TOO_MANY, UNKNOWN_OUTPUT, and what references can
    be."""
    patterns = _Patterns(subject)
    for index, edge in enumerate(subject.document.edges):
        if edge.when is not None:
            step = subject.steps.get(edge.from_step)
            own = output_names(step) if step is not None else None
            place = Place(of=edge.from_step, itself=True, local=Local(own=True), own=own)
            _check(patterns, edge.when, f"{at_index('edges', index)}.when", f"`{edge.from_step}`", place)
    for index, step in enumerate(subject.document.steps):
        _check_step(patterns, step, subject.place(index))


class _Patterns:
    """The patterns of a document. Compiling one takes up to a millisecond, so they are counted first."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self._seen: set[str] = set()

    def check(self, pattern: str, path: str) -> None:
        if pattern in self._seen or len(self._seen) > MAX_PATTERNS:
            return
        self._seen.add(pattern)
        if len(self._seen) > MAX_PATTERNS:
            message = f"the document's conditions have more than {MAX_PATTERNS} patterns"
            mend = "Let a step that answers for several of them go before, or split the workflow."
            self.subject.reading.add(path, message, mend, "TOO_MANY")
        elif compile_pattern(pattern) is None:
            mend = "Patterns have no look-around and no back-references, and 1000 characters at most."
            self.subject.reading.add(
                path, "this is no regular expression that can be used", mend, "BAD_PATTERN"
            )


def _check_step(patterns: _Patterns, step: Step, path: str) -> None:
    if step.repeat is not None:
        place = Place(of=step.key, local=Local(own=True), own=own_output_names(step))
        _check(patterns, step.repeat.until, f"{path}.repeat.until", "the step", place)
    if step.probe is not None:
        local = Local(loop=step.for_each is not None, own=True)
        place = Place(of=step.key, local=local, own=DEFAULT_OUTPUT)
        _check(patterns, step.probe.done, f"{path}.probe.done", "the probe", place)


def _check(patterns: _Patterns, when: When, path: str, owner: str, place: Place) -> None:
    subject = patterns.subject
    match when:
        case AllOf(parts) | AnyOf(parts):
            word = "all" if isinstance(when, AllOf) else "any"
            for index, part in enumerate(parts):
                _check(patterns, part, at_index(f"{path}.{word}", index), owner, place)
        case Not(part):
            _check(patterns, part, f"{path}.not", owner, place)
        case Expression(text):
            compiled = check_value(subject, text, path, place)
            if any(template.single is None for template in compiled):
                mend = "Write all of it between one pair of braces, as in `{{ a and b }}`."
                subject.reading.add(path, "this is more than one expression", mend, "BAD_EXPRESSION")
        case Condition():
            _check_one(patterns, when, path, owner, place.own)


def _check_one(
    patterns: _Patterns, condition: Condition, path: str, owner: str, own: Collection[str] | None
) -> None:
    add, value = patterns.subject.reading.add, condition.value
    operator = OPERATORS.get(condition.operator)
    takes = operator.takes if operator is not None else Takes.NOTHING
    if isinstance(value, str) and has_expression(value):
        mend = "Write the whole condition as one `{{ expression }}`, or compare with a plain value."
        add(f"{path}.value", "expressions are not evaluated here", mend, "EXPRESSION_NOT_ALLOWED")
    elif takes is Takes.PATTERN and isinstance(value, str):
        patterns.check(value, f"{path}.value")
    elif takes is Takes.TIME and isinstance(value, str) and read_time(value) is None:
        add(f"{path}.value", "this is no time", WORDS, "BAD_TIME")
    root, *names = condition.field.split(".")
    if root == "output" and names and own is not None and names[0] not in own:
        message = f"the output of {owner} has no `{names[0][:63]}`"
        add(f"{path}.field", message, patterns.subject.reading.closest(names[0], own), "UNKNOWN_OUTPUT")
