"""Publishing checks of actions: their schemas, and what their headers may see."""

from headrace.workflow.validate import validate_action

from tests.unit.workflow.catalogs import action


def test_an_action_is_held_to_its_schemas() -> None:
    broken = action(
        "a", "b", bodySchema={"properties": {"x": {"pattern": "(?=a)b"}}}, querySchema={"type": 1}
    )
    assert [problem.path for problem in validate_action(broken)] == [
        "querySchema.type",
        "bodySchema.properties.x.pattern",
    ]


def test_the_headers_of_an_action_see_its_input_only() -> None:
    good = action("a", "b", headersTemplate={"X-Id": "{{ input.id }}-{{ run.id }}"})
    assert validate_action(good) == []
    for text, code in [
        ("{{ env.A }}", "EXPRESSION_NOT_ALLOWED"),
        ("{{ steps.a.output }}", "EXPRESSION_NOT_ALLOWED"),
        ("{{ 1 + }}", "BAD_EXPRESSION"),
    ]:
        (problem,) = validate_action(action("a", "b", headersTemplate={"X-Id": text}))
        assert (problem.path, problem.code) == ("headersTemplate.X-Id", code)
