"""The value of a checked tree, by walking it. `RULES` is the allow-list: no rule, no value.

Every value is JSON, names and attributes are looked up in JSON objects and lists alone, and nothing is ever
called but the functions of the filter and test tables. Python objects can not be reached because no rule
reaches for them.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from jinja2 import nodes

from headrace.json_types import Json
from headrace.records import record
from headrace.workflow.expressions import arithmetic
from headrace.workflow.expressions.filters import FILTERS
from headrace.workflow.expressions.limits import Budget, ExpressionError, Missing, check_text_length
from headrace.workflow.expressions.lookup import NOT_THERE, element, spell, truth
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.expressions.tests import TESTS
from headrace.workflow.expressions.text import as_text
from headrace.workflow.values import contains, kind_of, order, same


@record
class Evaluation:
    """One evaluation: what it sees and what it may still spend."""

    scope: Scope
    budget: Budget

    def value(self, node: nodes.Node) -> Json:
        """The value of `node`. Raises `ExpressionError`."""
        self.budget.spend(1)
        rule = RULES.get(type(node))
        if rule is None:
            raise ExpressionError("this syntax is not allowed here")
        return rule(self, node)

    def integer(self, node: nodes.Node | None) -> int | None:
        """The whole number that an index or a slice's bound is; None when there is no bound."""
        if node is None:
            return None
        value = self.value(node)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise ExpressionError(f"an index is a whole number, not {kind_of(value)}")


Rule: TypeAlias = Callable[[Evaluation, Any], Json]


def _const(_at: Evaluation, node: nodes.Const) -> Json:
    value = node.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ExpressionError("the value is not JSON")


def _name(at: Evaluation, node: nodes.Name) -> Json:
    scope = at.scope
    match node.name:
        case "input":
            return scope.input
        case "run":
            return dict(scope.run)
        case "item" if scope.loop:
            return scope.item
        case "index" if scope.loop:
            return scope.index
        case "output" | "status" | "error" if scope.own is not None:
            return scope.own.get(node.name)
        case _:
            raise Missing(f"`{node.name}` is not a name here", "Known are: input, env, steps, run.")


def _getattr(at: Evaluation, node: nodes.Getattr) -> Json:
    return _access(at, node, node.attr)


def _getitem(at: Evaluation, node: nodes.Getitem) -> Json:
    if isinstance(node.arg, nodes.Slice):
        return _slice(at, node.node, node.arg)
    return _access(at, node, at.value(node.arg))


def _access(at: Evaluation, node: nodes.Getattr | nodes.Getitem, key: Json) -> Json:
    if isinstance(node.node, nodes.Name) and node.node.name in ("env", "steps", "callbacks"):
        table: Mapping[str, Any] = getattr(at.scope, node.node.name)
        if not isinstance(key, str) or key not in table:
            raise Missing(f"`{spell(node)}` is not there", NOT_THERE)
        found = table[key]
        return dict(found) if node.node.name == "steps" else found
    return element(at.value(node.node), key, node)


def _slice(at: Evaluation, whole: nodes.Node, bounds: nodes.Slice) -> Json:
    value = at.value(whole)
    start, stop, step = at.integer(bounds.start), at.integer(bounds.stop), at.integer(bounds.step)
    if step == 0:
        raise ExpressionError("a slice's step may not be 0")
    if not isinstance(value, str | list):
        raise ExpressionError(f"only text and lists have slices, not {kind_of(value)}")
    at.budget.spend(1 + len(value))
    return value[start:stop:step]


def _list(at: Evaluation, node: nodes.List | nodes.Tuple) -> Json:
    return [at.value(item) for item in node.items]


def _dict(at: Evaluation, node: nodes.Dict) -> Json:
    made: dict[str, Json] = {}
    for pair in node.items:
        key = at.value(pair.key)
        if not isinstance(key, str):
            raise ExpressionError(f"a name in an object is text, not {kind_of(key)}")
        made[key] = at.value(pair.value)
    return made


def _conditional(at: Evaluation, node: nodes.CondExpr) -> Json:
    if truth(at.value(node.test)):
        return at.value(node.expr1)
    if node.expr2 is None:
        raise ExpressionError("an `if` has no `else`")
    return at.value(node.expr2)


def _and(at: Evaluation, node: nodes.And) -> Json:
    left = at.value(node.left)
    return at.value(node.right) if truth(left) else left


def _or(at: Evaluation, node: nodes.Or) -> Json:
    left = at.value(node.left)
    return left if truth(left) else at.value(node.right)


def _not(at: Evaluation, node: nodes.Not) -> Json:
    return not truth(at.value(node.node))


def _binary(operate: Callable[[Budget, Json, Json], Json]) -> Rule:
    def rule(at: Evaluation, node: nodes.BinExpr) -> Json:
        return operate(at.budget, at.value(node.left), at.value(node.right))

    return rule


def _negative(at: Evaluation, node: nodes.Neg) -> Json:
    return arithmetic.subtract(at.budget, 0, at.value(node.node))


def _positive(at: Evaluation, node: nodes.Pos) -> Json:
    return arithmetic.add_numbers(0, at.value(node.node))


def _concat(at: Evaluation, node: nodes.Concat) -> Json:
    parts: list[str] = []
    length = 0
    for part in node.nodes:
        text = as_text(at.budget, at.value(part))
        length += len(text)
        check_text_length(length)
        parts.append(text)
    return "".join(parts)


def _compare(at: Evaluation, node: nodes.Compare) -> Json:
    left = at.value(node.expr)
    for operand in node.ops:
        right = at.value(operand.expr)
        if not _compared(at.budget, operand.op, left, right):
            return False
        left = right
    return True


def _compared(budget: Budget, operator: str, left: Json, right: Json) -> bool:
    for value in (left, right):
        if isinstance(value, str):
            budget.spend_text(len(value))
    match operator:
        case "eq":
            return same(left, right, budget)
        case "ne":
            return not same(left, right, budget)
        case "in" | "notin":
            found = contains(right, left, budget)
            if found is None:
                raise ExpressionError(f"`in` does not go with {kind_of(left)} and {kind_of(right)}")
            return found is (operator == "in")
        case "lt" | "lteq" | "gt" | "gteq":
            sign = order(left, right)
            if sign is None:
                raise ExpressionError(f"{kind_of(left)} and {kind_of(right)} have no order")
            return sign in _SIGNS[operator]
        case _:
            raise ExpressionError("this comparison is not allowed here")


_SIGNS = {"lt": (-1,), "lteq": (-1, 0), "gt": (1,), "gteq": (1, 0)}


def _filter(at: Evaluation, node: nodes.Filter) -> Json:
    signature = FILTERS.get(node.name)
    if signature is None or node.node is None:
        raise ExpressionError("this filter is not known")
    if node.name in ("default", "d"):
        return _default(at, node)
    arguments = [at.value(argument) for argument in node.args]
    keywords: dict[str, Json] = {str(keyword.key): at.value(keyword.value) for keyword in node.kwargs}
    try:
        return signature.call(at.budget, at.value(node.node), arguments, keywords)
    except ExpressionError as error:
        raise type(error)(f"`{node.name}`: {error.reason}", error.mend) from error
    except (ValueError, OverflowError, RecursionError) as error:
        raise ExpressionError(f"`{node.name}` can not do this with the value") from error


def _default(at: Evaluation, node: nodes.Filter) -> Json:
    """`default(value, boolean=false)`: `value` for what is missing; when `boolean`, for what is false too."""
    given = dict(zip(("value", "boolean"), node.args, strict=False)) | {k.key: k.value for k in node.kwargs}
    try:
        found = at.value(node.node)  # type: ignore[arg-type]
    except Missing:
        return at.value(given["value"])
    if not truth(found) and "boolean" in given and truth(at.value(given["boolean"])):
        return at.value(given["value"])
    return found


def _test(at: Evaluation, node: nodes.Test) -> Json:
    signature = TESTS.get(node.name)
    if signature is None:
        raise ExpressionError("this test is not known")
    if node.name in ("defined", "undefined"):
        try:
            at.value(node.node)
        except Missing:
            return node.name == "undefined"
        return node.name == "defined"
    return signature.call(at.budget, at.value(node.node), [], {})


def _never(_at: Evaluation, _node: nodes.Node) -> Json:
    """Parts that only their parents evaluate."""
    raise ExpressionError("this syntax is not allowed here")


RULES: Mapping[type[nodes.Node], Rule] = {
    nodes.Const: _const,
    nodes.Name: _name,
    nodes.Getattr: _getattr,
    nodes.Getitem: _getitem,
    nodes.Slice: _never,
    nodes.List: _list,
    nodes.Tuple: _list,
    nodes.Dict: _dict,
    nodes.Pair: _never,
    nodes.Keyword: _never,
    nodes.CondExpr: _conditional,
    nodes.And: _and,
    nodes.Or: _or,
    nodes.Not: _not,
    nodes.Add: _binary(arithmetic.add),
    nodes.Sub: _binary(arithmetic.subtract),
    nodes.Mul: _binary(arithmetic.multiply),
    nodes.Div: _binary(arithmetic.divide),
    nodes.FloorDiv: _binary(arithmetic.floor_divide),
    nodes.Mod: _binary(arithmetic.modulo),
    nodes.Pow: _binary(arithmetic.power),
    nodes.Neg: _negative,
    nodes.Pos: _positive,
    nodes.Concat: _concat,
    nodes.Compare: _compare,
    nodes.Operand: _never,
    nodes.Filter: _filter,
    nodes.Test: _test,
}
