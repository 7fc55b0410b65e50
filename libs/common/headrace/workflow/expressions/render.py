"""Rendering whole values: every text in a JSON value is a template, everything else stands for itself."""

from collections import OrderedDict
from collections.abc import Collection

from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow.expressions.evaluate import Evaluation
from headrace.workflow.expressions.limits import (
    MAX_OUTPUT,
    MAX_PARSING,
    MAX_VALUE_DEPTH,
    UNITS_PER_TOKEN,
    Budget,
    ExpressionError,
)
from headrace.workflow.expressions.scope import EVERYWHERE, Local, Scope
from headrace.workflow.expressions.syntax import References, check_tree
from headrace.workflow.expressions.template import (
    Template,
    compile_template,
    has_expression,
    inspect_template,
    parsing_of,
)
from headrace.workflow.expressions.text import as_text, measure
from headrace.workflow.paths import at_index, at_name


class Templates:
    """Renders values, and keeps the texts that were compiled last. Not for use by several threads.

    `size` bounds what is kept, in the unit of `parsing_of`: a tree takes about 300 bytes for each.
    """

    def __init__(self, size: int = 65_536) -> None:
        self._room = size
        self._compiled: OrderedDict[str, Template] = OrderedDict()

    def render(self, value: Json, scope: Scope, path: str = "", budget: Budget | None = None) -> Json:
        """`value` with every expression in it evaluated; names of objects stay as they are.

        A text that is exactly one expression becomes that expression's value, of whatever type; in any other
        text expressions become text. The result shares structure with `scope`: do not change either. All that is
        rendered for one purpose spends from one `budget`; None: this is all. Raises `ExpressionError` whose `path`
        starts with `path`.
        """
        budget = budget or Budget()
        try:
            made = self._value(value, Evaluation(scope, budget), path, 0)
            measure(budget, made)
        except ExpressionError as error:
            raise error if error.path else type(error)(error.reason, error.mend, path) from error
        return made

    def references(self, value: Json, scope: Scope) -> References:
        """What the expressions in `value` name. Raises `ExpressionError` for one that does not compile."""
        evaluation, found = Evaluation(scope, Budget()), References()
        for _, text in texts_in(value):
            found |= self._template(text, evaluation).references
        return found

    def masked(self, value: Json, made: Json, scope: Scope, names: Collection[str], mask: str) -> Json:
        """`made`, which `value` was rendered to, with `mask` for every expression that refers to one of these `names`
        of `env`, whatever it makes of it."""
        return self._masked(value, made, Evaluation(scope, Budget()), frozenset(names), mask)

    def _masked(
        self, value: Json, made: Json, evaluation: Evaluation, names: frozenset[str], mask: str
    ) -> Json:
        match value, made:
            case str(), _ if has_expression(value):
                template = self._template(value, evaluation)
                if not template.references.env & names:
                    return made
                if template.single is not None:
                    return mask
                return _joined(template, evaluation, names, mask)
            case list(), list():
                return [
                    self._masked(part, one, evaluation, names, mask)
                    for part, one in zip(value, made, strict=True)
                ]
            case dict(), dict():
                return {
                    name: self._masked(part, made[name], evaluation, names, mask)
                    for name, part in value.items()
                }
            case _:
                return made

    def _value(self, value: Json, evaluation: Evaluation, path: str, depth: int) -> Json:
        if depth > MAX_VALUE_DEPTH:
            raise ExpressionError(f"a value may be {MAX_VALUE_DEPTH} levels deep at most", path=path)
        match value:
            case str():
                return self._text(value, evaluation, path)
            case list():
                return [
                    self._value(part, evaluation, at_index(path, index), depth + 1)
                    for index, part in enumerate(value)
                ]
            case dict():
                return {
                    name: self._value(part, evaluation, at_name(path, name), depth + 1)
                    for name, part in value.items()
                }
            case _:
                return value

    def _text(self, text: str, evaluation: Evaluation, path: str) -> Json:
        if not has_expression(text):
            return text
        try:
            template = self._template(text, evaluation)
            if template.single is not None:
                return evaluation.value(template.single)
            return _joined(template, evaluation)
        except ExpressionError as error:
            raise type(error)(error.reason, error.mend, path) from error
        except RecursionError as error:
            raise ExpressionError("an expression is too deep", path=path) from error

    def _template(self, text: str, evaluation: Evaluation) -> Template:
        """Paid for whether it was compiled before or not: what a value costs does not hang on what ran before it."""
        local = evaluation.scope.local
        key = f"{local.loop:d}{local.own:d}{text}"
        found = self._compiled.get(key)
        evaluation.budget.spend(UNITS_PER_TOKEN * (found.parsing if found else parsing_of(text)))
        if found is not None:
            self._compiled.move_to_end(key)
            return found
        found = self._compiled[key] = compile_template(text, local)
        self._room -= found.parsing
        while self._room < 0:
            _, old = self._compiled.popitem(last=False)
            self._room += old.parsing
        return found


def _joined(
    template: Template, evaluation: Evaluation, names: frozenset[str] = frozenset(), mask: str = ""
) -> str:
    """The parts as one text, with `mask` for those that refer to one of these `names` of `env`."""
    parts: list[str] = []
    length = 0
    for part in template.parts:
        if isinstance(part, str):
            text = part
        elif names and check_tree(part, evaluation.scope.local)[0].env & names:
            text = mask
        else:
            text = as_text(evaluation.budget, evaluation.value(part))
        length += len(text)
        if length > MAX_OUTPUT:
            raise ExpressionError(f"a value may have {MAX_OUTPUT} characters at most")
        parts.append(text)
    return "".join(parts)


def inspect(value: Json, path: str = "", local: Local = EVERYWHERE) -> tuple[References, list[Problem]]:
    """What the expressions in `value` refer to, and everything wrong with them. Nothing is evaluated."""
    references = References()
    problems: list[Problem] = []
    for place, text in texts_in(value, path):
        template, faults = inspect_template(text, local)
        problems += [Problem(place, fault.reason, fault.mend, "BAD_EXPRESSION") for fault in faults]
        if template is not None:
            references |= template.references
    return references, problems


def check_expressions(value: Json, path: str = "", local: Local = EVERYWHERE) -> list[Problem]:
    """Everything wrong with the expressions in `value`. Nothing is evaluated."""
    return inspect(value, path, local)[1]


def check_parsing(whole: Json, path: str = "") -> list[Problem]:
    """Whether the expressions of a document, or of an action's headers, are few enough to be parsed one by one."""
    left = MAX_PARSING
    for _place, text in texts_in(whole):
        left -= parsing_of(text)
        if left < 0:
            message = "there are too many or too long expressions"
            mend = "Compute once, in a transform step, what is used often; or split the workflow."
            return [Problem(path, message, mend, "TOO_MANY")]
    return []


def texts_in(value: Json, path: str = "") -> list[tuple[str, str]]:
    """Every text in `value` that holds an expression, with its place, in document order."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, Json]] = [(path, value)]
    while waiting:
        place, part = waiting.pop()
        match part:
            case str() if has_expression(part):
                found.append((place, part))
            case list():
                waiting.extend(
                    (at_index(place, index), one) for index, one in reversed(list(enumerate(part)))
                )
            case dict():
                waiting.extend((at_name(place, name), one) for name, one in reversed(list(part.items())))
            case _:
                pass
    return found
