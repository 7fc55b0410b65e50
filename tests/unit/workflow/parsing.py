"""Documents that are refused."""

import pytest
from headrace.errors import InvalidInput, Problem
from headrace.workflow.parse import parse_document


def problems(data: object) -> tuple[Problem, ...]:
    with pytest.raises(InvalidInput) as caught:
        parse_document(data)
    return caught.value.problems
