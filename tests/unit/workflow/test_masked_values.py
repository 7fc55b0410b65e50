"""Values as they are shown: what expressions make of certain names of `env` is hidden, and nothing else."""

import pytest
from headrace.json_types import Json
from headrace.workflow.expressions import Scope, Templates

SCOPE = Scope(input={"n": 5, "list": [1]}, env={"PIN": "1234", "REGION": "eu"})


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("{{ env.PIN }}", "#"),
        ("{{ env['P' 'IN'] | reverse }}", "#"),
        ("{{ env.PIN | int + input.n }}", "#"),
        ("a {{ env.PIN }} b {{ input.n }} {{ env.REGION }}", "a # b 5 eu"),
        ("{{ env.REGION }}", "eu"),
        ("{{ input.list }}", [1]),
        ("PIN 1234", "PIN 1234"),
        ({"a": ["{{ env.PIN[0:2] }}", 1, None], "b": "{{ input.n }}"}, {"a": ["#", 1, None], "b": 5}),
    ],
)
def test_an_expression_that_names_one_is_hidden(value: Json, shown: Json) -> None:
    templates = Templates()
    made = templates.render(value, SCOPE)
    assert templates.masked(value, made, SCOPE, ["PIN"], "#") == shown
    assert templates.masked(value, made, SCOPE, [], "#") == made
