"""What is known of an expression before it has values: that it compiles, and what it names."""

import pytest
from headrace.workflow.expressions import (
    References,
    Scope,
    Templates,
    check_expressions,
    compile_template,
    inspect,
)
from headrace.workflow.expressions.template import parsing_of


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("{{ inputs.a }}", "Did you mean `input`?"),
        ("{{ input.a | uper }}", "Did you mean `upper`?"),
        ("{{ input.a is strin }}", "Did you mean `string`?"),
        ("{{ steps.a }}", "Write `steps.a.output`, `.status` or `.error`."),
        ("{{ steps }}", "Write `steps.<key>.output`."),
        ("{{ run.ID }}", "Did you mean `id`?"),
        ("{{ env | tojson }}", "Write `env.<NAME>`."),
        ("{{ steps[input.key].output }}", "Write `steps.<key>.output`."),
        ("{{ input.a.upper() }}", "Use a filter, as in `input.name | upper`."),
        ("{{ 1 if input.a }}", "Add `else none`, or the value wanted then."),
        ("{% if input.a %}x{% endif %}", "Write `{{ '{%' }}` if these characters are meant."),
        ("{{ input.a", "Close it with `}}`; check its quotes and brackets."),
        ("{{- input.a -}}", "Write `{{` and `}}`."),
        ("{{ }}", "Write a name between the braces, or no braces."),
        ("{{ a b }}", "Join its parts with an operator."),
    ],
)
def test_what_does_not_compile_says_how_to_mend_it(text: str, mend: str) -> None:
    (problem,) = check_expressions({"x": [text]}, "steps[0].input")[:1]
    assert problem.path == "steps[0].input.x[0]"
    assert problem.mend == mend
    assert problem.code == "BAD_EXPRESSION"


def test_everything_wrong_in_one_text_is_told() -> None:
    assert len(check_expressions("{{ a + b }} {{ 1 + }} {{ input.x | nope }}")) == 4


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{{ 1 | round(1, 'ceil', 3) }}", "takes 2 arguments at most"),
        ("{{ 1 | round(digits=1) }}", "has no such argument"),
        ("{{ 'a' | replace('b') }}", "needs the argument new"),
        ("{{ 'a' | replace('b', old='c') }}", "is given an argument twice"),
        ("{{ 'a' | replace(*input.names) }}", "may not be given `*`"),
        ("{{ 'a' | replace(**input) }}", "may not be given `*`"),
    ],
)
def test_wrong_calls_are_found_before_anything_runs(text: str, reason: str) -> None:
    assert reason in check_expressions(text)[0].message


def test_references() -> None:
    references, problems = inspect(
        {
            "a": "{{ steps.one.output.total + steps['two'].output['x y'].z }}",
            "b": ["{{ env.A ~ env['B'] }}", "{{ input.x[input.y] | default(steps.three.status) }}"],
        }
    )
    assert problems == []
    assert references == References(
        steps=frozenset({"one", "two", "three"}),
        outputs=frozenset({("one", "total"), ("two", "x y")}),
        env=frozenset({"A", "B"}),
        input=frozenset({"x", "y"}),
    )


def test_compiled_texts_are_kept_within_bounds() -> None:
    templates = Templates(size=2 * parsing_of("{{ 1 }}"))
    for n in [1, 2, 3, 1]:
        assert templates.render(f"{{{{ {n} }}}}", Scope()) == n
    assert len(templates._compiled) == 2
    assert templates.render("{{ 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 }}", Scope()) == 10
    assert len(templates._compiled) == 0


def test_a_template_can_be_compiled_alone() -> None:
    template = compile_template("a {{ input.x }}")
    assert template.single is None
    assert template.references.input == {"x"}
