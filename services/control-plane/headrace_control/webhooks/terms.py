"""What is wrong with the terms of a webhook by themselves."""

from headrace.errors import Problem
from headrace.workflow.schemas import check_schema
from headrace.workflow.sensitive import unheeded_marks

from headrace_control.webhooks.inputs import input_problems
from headrace_control.webhooks.model import MAX_RESULT_SECONDS, MAX_TOLERANCE, Terms


def terms_problems(terms: Terms) -> list[Problem]:
    """Of its input, schema and limits."""
    problems = [] if terms.input is None else input_problems(terms.input)
    if terms.schema is not None:
        problems += [*check_schema(terms.schema, "schema"), *unheeded_marks(terms.schema, "schema")]
    for path, value, most in (
        ("toleranceSeconds", terms.tolerance_seconds, MAX_TOLERANCE),
        ("resultSeconds", terms.result_seconds, MAX_RESULT_SECONDS),
    ):
        if not 1 <= value <= most:
            problems.append(Problem(path, "out of range", f"Write a number from 1 to {most}."))
    return problems
