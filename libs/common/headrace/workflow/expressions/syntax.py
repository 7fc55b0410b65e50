"""From text to a checked syntax tree. Jinja2's parser is used, its compiler never: nothing is generated.

A tree passes only when every node of it is of a type in `evaluate.RULES`, every filter and test is in its
table and is given arguments that it takes, and `steps` and `env` are followed by a constant name, so that
what an expression refers to is known without evaluating it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from jinja2 import Environment, TemplateError, nodes
from jinja2.parser import Parser

from headrace.workflow.expressions.evaluate import RULES
from headrace.workflow.expressions.filters import FILTERS
from headrace.workflow.expressions.limits import (
    MAX_BRACKETS,
    MAX_EXPRESSION_LENGTH,
    MAX_INTEGER,
    MAX_PREFIXES,
    MAX_TOKENS,
    MAX_TREE_DEPTH,
    MEND,
    ExpressionError,
)
from headrace.workflow.expressions.scope import LOOP_NAMES, RUN_FIELDS, STEP_FIELDS, Local
from headrace.workflow.expressions.tests import TESTS
from headrace.workflow.names import closest

SKIPPED_TOKENS = frozenset({"whitespace", "comment"})
OPENING, CLOSING = frozenset("([{"), frozenset(")]}")
PREFIXES = frozenset({"not", "-", "+"})
# What to do about names that are there in some places only.
LOCAL_MENDS = {
    **dict.fromkeys(LOOP_NAMES, "`item` and `index` are names in a step with `forEach` only."),
    **{
        name: f"Write `steps.<key>.{name}`; by itself it is a name in conditions only."
        for name in STEP_FIELDS
    },
}


@dataclass(frozen=True, slots=True)
class References:
    """What expressions name: steps, first names in steps' outputs, env names, first names of the input, loops, first
    names in the output of the step that a condition asks about, and steps whose callback addresses are wanted."""

    steps: frozenset[str] = frozenset()
    outputs: frozenset[tuple[str, str]] = frozenset()
    env: frozenset[str] = frozenset()
    input: frozenset[str] = frozenset()
    loop: bool = False
    own_output: frozenset[str] = frozenset()
    callbacks: frozenset[str] = frozenset()

    def __or__(self, other: "References") -> "References":
        return References(
            self.steps | other.steps,
            self.outputs | other.outputs,
            self.env | other.env,
            self.input | other.input,
            self.loop or other.loop,
            self.own_output | other.own_output,
            self.callbacks | other.callbacks,
        )


def parse_expression(source: str) -> nodes.Expr:
    """The tree of one expression, of bounded size and depth. Raises `ExpressionError`."""
    if len(source) > MAX_EXPRESSION_LENGTH:
        raise ExpressionError(f"an expression may have {MAX_EXPRESSION_LENGTH} characters at most")
    if not source.strip():
        raise ExpressionError("an expression is empty", "Write a name between the braces, or no braces.")
    # optimized=False though nothing is compiled: no constant may ever fold. Statements and comments have no
    # spelling, as a text with a NUL in it is refused before.
    environment = Environment(  # noqa: S701 - no text is rendered by it
        optimized=False,
        block_start_string="\0%",
        block_end_string="%\0",
        comment_start_string="\0#",
        comment_end_string="#\0",
        cache_size=0,
    )
    try:
        _check_tokens(environment, source)
        parser = Parser(environment, source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise ExpressionError("an expression goes on after its end", "Join its parts with an operator.")
    except (TemplateError, ValueError, SyntaxError, OverflowError, RecursionError) as error:
        raise ExpressionError("this is no expression", "Check brackets, quotes and operators.") from error
    _check_depth(tree)
    return tree


def check_tree(tree: nodes.Expr, local: Local) -> tuple[References, list[ExpressionError]]:
    """What `tree` refers to, and everything in it that is not allowed. `local` says which names are."""
    checker = _Checker(local)
    checker.run(tree)
    found = References(
        frozenset(checker.steps),
        frozenset(checker.outputs),
        frozenset(checker.env),
        frozenset(checker.input),
        checker.uses_loop,
        frozenset(checker.own_output),
        frozenset(checker.callbacks),
    )
    return found, checker.faults


def _check_tokens(environment: Environment, source: str) -> None:
    """Bounds what the recursive parser is given, token by token, unless the characters alone show that it is small."""
    deep = sum(map(source.count, OPENING))
    repeated = sum(map(source.count, (*PREFIXES, "if")))
    if len(source) <= MAX_TOKENS and deep <= MAX_BRACKETS and repeated <= MAX_PREFIXES:
        return
    depth = count = prefixes = conditionals = 0
    for _line, kind, value in environment.lexer.tokeniter(source, None, state="variable"):
        if kind in SKIPPED_TOKENS:
            continue
        count += 1
        depth += (value in OPENING) - (value in CLOSING)
        prefixes = prefixes + 1 if value in PREFIXES else 0
        conditionals += value == "if"
        if count > MAX_TOKENS or depth > MAX_BRACKETS or max(prefixes, conditionals) > MAX_PREFIXES:
            raise ExpressionError("an expression is too long or too deep", "Split it over several values.")


def _check_depth(tree: nodes.Node) -> None:
    level: list[nodes.Node] = [tree]
    for _ in range(MAX_TREE_DEPTH):
        level = [child for node in level for child in node.iter_child_nodes()]
        if not level:
            return
    raise ExpressionError("an expression is too deep", "Split it over several values.")


class _Checker:
    """Walks a tree with a stack of its own and gathers references and faults."""

    def __init__(self, local: Local) -> None:
        self.steps: set[str] = set()
        self.outputs: set[tuple[str, str]] = set()
        self.env: set[str] = set()
        self.input: set[str] = set()
        self.uses_loop = False
        self.own_output: set[str] = set()
        self.callbacks: set[str] = set()
        self.faults: list[ExpressionError] = []
        self._names = local.names

    def run(self, tree: nodes.Expr) -> None:
        waiting: list[nodes.Node] = [tree]
        while waiting:
            node = waiting.pop()
            if type(node) not in RULES:
                self._fault(*_REFUSED_NODES.get(type(node), ("this syntax is not allowed here", MEND)))
                continue
            if isinstance(node, nodes.Name | nodes.Getattr | nodes.Getitem):
                waiting.extend(self._access(node))
                continue
            if isinstance(node, nodes.Const):
                self._constant(node.value)
            elif isinstance(node, nodes.CondExpr) and node.expr2 is None:
                self._fault("an `if` has no `else`", "Add `else none`, or the value wanted then.")
            elif isinstance(node, nodes.Filter):
                self._call("filter", node, FILTERS.get(node.name), list(FILTERS))
            elif isinstance(node, nodes.Test):
                self._call("test", node, TESTS.get(node.name), list(TESTS))
            waiting.extend(node.iter_child_nodes())

    def _fault(self, reason: str, mend: str = MEND) -> None:
        self.faults.append(ExpressionError(reason, mend))

    def _constant(self, value: object) -> None:
        match value:
            case str():
                try:
                    fine = "\0" not in value and value.encode() is not None
                except UnicodeEncodeError:
                    fine = False
                if not fine:
                    self._fault("a text holds a character that JSON can not store", "Take it away.")
            case int() if abs(value) > MAX_INTEGER:
                self._fault("a number is too large", "Numbers have 63 bits at most.")
            case float() if value in (float("inf"), float("-inf")):
                self._fault("a number is too large", "Numbers have 63 bits at most.")
            case _:
                pass

    def _access(self, node: nodes.Node) -> Iterator[nodes.Node]:
        """Checks one chain of names and indexes down to its root; yields what else is to be walked."""
        keys: list[str | None] = []
        while isinstance(node, nodes.Getattr | nodes.Getitem):
            if isinstance(node, nodes.Getattr):
                keys.append(node.attr)
            else:
                constant = isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
                keys.append(node.arg.value if constant else None)  # type: ignore[attr-defined]
                yield node.arg
            node = node.node
        if not isinstance(node, nodes.Name):
            yield node
            return
        keys.reverse()
        self._root(node.name, keys)

    def _root(self, name: str, keys: list[str | None]) -> None:
        first = keys[0] if keys else None
        match name:
            case _ if name in LOCAL_MENDS and name not in self._names:
                self._fault(f"`{name}` is not a name", LOCAL_MENDS[name])
            case _ if name not in self._names:
                self._fault(f"`{shown(name)}` is not a name", closest(name, self._names))
            case "steps":
                if first is None:
                    self._fault("`steps` needs a step's key", "Write `steps.<key>.output`.")
                    return
                self.steps.add(first)
                if len(keys) < 2 or keys[1] not in STEP_FIELDS:
                    mend = f"Write `steps.{shown(first)}.output`, `.status` or `.error`."
                    self._fault(f"`steps.{shown(first)}` needs `output`, `status` or `error`", mend)
                elif len(keys) > 2 and keys[1] == "output" and keys[2] is not None:
                    self.outputs.add((first, keys[2]))
            case "env":
                if first is None:
                    self._fault("`env` needs a name", "Write `env.<NAME>`.")
                    return
                self.env.add(first)
            case "callbacks":
                if first is None:
                    self._fault("`callbacks` needs a step's key", "Write `callbacks.<key of a signal step>`.")
                    return
                self.callbacks.add(first)
            case "output":
                if first is not None:
                    self.own_output.add(first)
            case "input":
                if first is not None:
                    self.input.add(first)
            case "run" if first is not None and first not in RUN_FIELDS:
                self._fault(f"`run` has no `{shown(first)}`", closest(first, RUN_FIELDS))
            case "item" | "index":
                self.uses_loop = True
            case _:
                pass

    def _call(
        self, what: str, node: nodes.Filter | nodes.Test, signature: "object", known: list[str]
    ) -> None:
        if signature is None:
            self._fault(f"`{shown(node.name)}` is not a {what}", closest(node.name, known))
            return
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self._fault(f"`{node.name}` may not be given `*` or `**` arguments")
            return
        keywords = [keyword.key for keyword in node.kwargs]
        problem = signature.misfit(len(node.args), keywords)  # type: ignore[attr-defined]
        if problem:
            self._fault(f"`{node.name}` {problem}")


_REFUSED_NODES: dict[type[nodes.Node], tuple[str, str]] = {
    nodes.Call: ("nothing can be called", "Use a filter, as in `input.name | upper`."),
}


def shown(name: str) -> str:
    """A name from an expression, short enough for a message."""
    return name if len(name) <= 64 else name[:61] + "..."
