"""Expressions are written by tenants: they reach nothing but JSON."""

import math
from contextlib import suppress
from typing import Any

import pytest
from headrace.workflow.expressions import ExpressionError, Scope, Templates
from headrace.workflow.expressions.evaluate import RULES
from headrace.workflow.expressions.filters import FILTERS
from headrace.workflow.values import kind_of
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import nodes

from tests.security.expression_scope import BIG_TEXT, SCOPE


class Canary:
    """An object that must never be handed out, nor have anything of it read."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":  # isinstance asks
            return Canary
        pytest.fail(f"`{name}` of a Python object was read")


ATTACKS = [
    "''.__class__.__mro__[1].__subclasses__()",
    "''.__class__",
    "().__class__.__bases__[0]",
    "[].append(1)",
    "{}.update",
    "input.list.append",
    "input.list.__class__",
    "input.text.format",
    "'{0.__class__}'.format(input)",
    "'%(a)s' % input",
    "'%1000000000d' % 1",
    "'{:1000000000}'.format(1)",
    "self",
    "self.__init__.__globals__",
    "self._TemplateReference__context",
    "loop",
    "caller()",
    "varargs",
    "kwargs",
    "range(1000000000)",
    "lipsum(n=1000000)",
    "cycler('a').next",
    "joiner(',')",
    "namespace(a=1)",
    "dict(a=1)",
    "config",
    "request",
    "g",
    "url_for",
    "get_flashed_messages.__globals__",
    "__import__('os')",
    "__builtins__",
    "_",
    "ctx",
    "environment",
    "input | attr('__class__')",
    "input | map('attr', '__class__') | list",
    "[input] | map(attribute='__class__.__mro__')",
    "['x'] | map('upper')",
    "input.list | groupby('x')",
    "input | xmlattr",
    "input | pprint",
    "input.text | safe",
    "input.text | format(1)",
    "input.text | center(1000000000)",
    "input.text | indent(1000000000)",
    "input.text | wordwrap(1)",
    "input.text | batch(1)",
    "input.list | select('callable')",
    "input.list | selectattr('__class__')",
    "input is callable",
    "input is sameas(input)",
    "input is filter('upper')",
    "1 is divisibleby(0)",
    "input.text | replace('', 'x')",
    "input['__class__']['__mro__']",
    "input.n.__class__",
    "input.n.real",
    "input.n.bit_length",
    "true.__class__",
    "none.__class__",
    "(1).__class__",
    "steps.__class__",
    "steps.s.__class__",
    "steps.s.output.__class__",
    "env.__class__",
    "env | tojson",
    "steps | tojson",
    "run.__class__",
    "run.items()",
    "input.items()",
    "(input)(1)",
    "input.n(1)",
    "'a' 'b'.join",
    "[x for x in input.list]",
    "lambda: 1",
    "input.list[input]",
    "input.text[::0]",
    "input.n[0]",
    "{{}}",
    "{[]: 1}",
    "{none: 1}",
    "10 ** 10 ** 10",
    "2 ** 65",
    "(0 - 2) ** 9223372036854775807",
    "9223372036854775807 * 9223372036854775807 * 9223372036854775807",
    "1e308 * 10",
    "1e999",
    "0 ** -1",
    "1.0 ** 1e400",
    "99999999999999999999999",
    "0x" + "f" * 4000,
    "9" * 4000,
    "1 if true",
    "'\\ud800'",
    "'\\x00'",
    "'a' * 1000000000",
    "[1] * 1000000000",
    "input.list * input.list",
    "1 << 1000",
    "~1",
    "input.a ; input.b",
    "input.a = 1",
    "*input.list",
    "input.text | upper(1)",
    "not " * 200 + "1",
    "-" * 300 + "1",
    "(" * 50 + "1" + ")" * 50,
    "[" * 50 + "]" * 50,
    "input" + ".a" * 200,
    "1" + "+1" * 300,
    "1 if 1 else " * 60 + "1",
    "a" * 5_000,
    "'" + "\\" * 4_001,
]


@pytest.mark.parametrize("source", ATTACKS, ids=[attack[:40] for attack in ATTACKS])
def test_nothing_of_python_is_reached(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        Templates().render("{{ " + source + " }}", SCOPE)
    assert BIG_TEXT[:20] not in caught.value.message


@pytest.mark.parametrize("source", ["input['__class__']", "input.__class__"])
def test_a_field_may_have_any_name(source: str) -> None:
    assert Templates().render("{{ " + source + " }}", SCOPE) == "a field like any other"


def test_an_object_that_is_not_json_is_neither_read_nor_handed_out() -> None:
    scope = Scope(input={"x": Canary(), "list": [Canary()]})  # type: ignore[dict-item, list-item]
    for source in [
        "input.x",
        "input.x.a",
        "input.x['a']",
        "input.x[0]",
        "input",
        "input.x | string",
    ]:
        with pytest.raises(ExpressionError):
            Templates().render("{{ " + source + " }}", scope)
    assert Templates().render("{{ input.x == input.x }}", scope) is False
    for name, signature in FILTERS.items():
        arguments = ", ".join(["'a'"] * signature.required)
        for field in ("x", "list"):
            with suppress(ExpressionError):
                made = Templates().render(f"{{{{ (input.{field} | {name}({arguments})) ~ '' }}}}", scope)
                assert made == "1", name  # the length of the list is no secret


def test_every_kind_of_node_is_either_ruled_or_refused() -> None:
    """What a later Jinja2 adds to its syntax is refused until a rule is written for it."""
    statements = {
        name
        for name, node in vars(nodes).items()
        if isinstance(node, type) and issubclass(node, nodes.Node) and node not in RULES
    }
    assert {
        "Call",
        "For",
        "Macro",
        "Include",
        "TemplateData",
        "EnvironmentAttribute",
        "InternalName",
    } <= statements
    assert {node.__name__ for node in RULES} == {
        *(
            "Const",
            "Name",
            "Getattr",
            "Getitem",
            "Slice",
            "List",
            "Tuple",
            "Dict",
            "Pair",
            "Keyword",
            "CondExpr",
        ),
        *("And", "Or", "Not", "Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow", "Neg", "Pos"),
        *("Concat", "Compare", "Operand", "Filter", "Test"),
    }


tokens = st.sampled_from(
    [
        *("input", "env.A", "steps.s.output", "run", "item", "__class__", "x", "none", "true"),
        *("1", "2.5", "'a'", '"b"', "9" * 30, "'%s'", "'\\x41'"),
        *("+", "-", "*", "**", "/", "//", "%", "~", "==", "<", "in", "not", "and", "or", "is", "if", "else"),
        *(".", ",", ":", "|", "(", ")", "[", "]", "{", "}", "=", "{{", "}}", "{%", "#", "\\", "\n"),
        *(".a", ".__class__", ".n", ".text", ".list", "[0]", "[-1]", "[::2]", "()", "(1)", "(attribute='a')"),
        *(f"| {name}" for name in FILTERS),
        *(" defined", " string", " mapping"),
    ]
)


@settings(max_examples=1_500, deadline=None)
@given(st.lists(tokens, min_size=1, max_size=14).map(" ".join))
def test_whatever_is_written_the_answer_is_json_or_an_expression_error(source: str) -> None:
    try:
        made = Templates().render("{{ " + source + " }}", SCOPE)
    except ExpressionError:
        return
    waiting = [made]
    for _ in range(1_000):
        if not waiting:
            break
        part = waiting.pop()
        assert kind_of(part) != "other"
        assert not isinstance(part, float) or math.isfinite(part)
        waiting.extend(part if isinstance(part, list) else part.values() if isinstance(part, dict) else [])


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=60))
def test_any_text_compiles_or_is_refused(text: str) -> None:
    for candidate in (text, "{{" + text + "}}", "{{ '" + text + "' }}"):
        with suppress(ExpressionError):
            Templates().render(candidate, Scope())
