"""What conditions see of their step, and when they are true."""

import pytest
from headrace.json_types import Json
from headrace.workflow.expressions import (
    Budget,
    ExpressionError,
    Local,
    References,
    Scope,
    Templates,
    evaluate_when,
    inspect,
)

from tests.unit.workflow.rendering import SCOPE, fails

OWN: dict[str, Json] = {"output": {"total": 5}, "status": "SUCCESS", "error": None}


def test_a_condition_sees_the_end_of_its_step_and_all_else() -> None:
    templates = Templates()
    assert evaluate_when(templates, SCOPE, "{{ output.total >= input.n and error is none }}", OWN, Budget())
    assert not evaluate_when(
        templates, SCOPE, "{{ status == 'FAILED' or steps.ok.status != 'SUCCESS' }}", OWN, Budget()
    )


@pytest.mark.parametrize("text", ["{{ output.total }}", "{{ status }}", "{{ error }}", "{{ true }}!", "true"])
def test_a_condition_is_true_or_false(text: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate_when(Templates(), SCOPE, text, OWN, Budget())
    assert "true or false" in caught.value.reason


def test_what_a_condition_lacks_is_an_error() -> None:
    with pytest.raises(ExpressionError):
        evaluate_when(Templates(), SCOPE, "{{ output.nope > 1 }}", OWN, Budget())


@pytest.mark.parametrize("text", ["{{ output.total }}", "{{ status }}", "{{ error }}"])
def test_a_step_s_own_end_has_names_in_conditions_alone(text: str) -> None:
    assert "is not a name" in fails(text).reason
    assert inspect(text)[1]
    assert inspect(text, local=Local(own=True))[1] == []


def test_the_same_text_in_a_loop_a_condition_and_elsewhere() -> None:
    templates = Templates()
    text = "{{ item | default('none') }}"
    assert templates.render(text, Scope(loop=True, item=3)) == 3
    with pytest.raises(ExpressionError):
        templates.render(text, SCOPE)
    assert templates.render("{{ status }}", Scope(own=OWN)) == "SUCCESS"


def test_what_a_condition_reads_of_its_step_is_known() -> None:
    references, problems = inspect("{{ output.total > 1 and output['x'] }}", local=Local(own=True))
    assert references == References(own_output=frozenset({"total", "x"}))
    assert problems == []
