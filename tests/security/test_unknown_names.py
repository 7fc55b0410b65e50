"""P9: who writes thousands of unknown names is told of the first hundred, and stalls nobody by being told what they
are like."""

import os
import random

import pytest
from headrace.workflow.json_rules import MAX_PROBLEMS
from headrace.workflow.parse import parse_document
from headrace.workflow.reading import Reading
from headrace.workflow.validate import Catalog, validate_document
from headrace_control.apps.auth_scheme import read_scheme

from tests.security.cost import Meter

_letters = random.Random(7)


def alike() -> str:
    """One of many names of the same letters, which take longest to be compared."""
    return "k" + "".join(_letters.sample("ab" * 31, 62))


@pytest.fixture
def here() -> Meter:
    return Meter(os.getpid())


def test_in_edges_and_references(here: Meter) -> None:
    steps = [
        {"key": alike(), "type": "transform", "input": {"a": f"{{{{ steps.{alike()}.output }}}}"}}
        for _ in range(1_000)
    ]
    edges = [{"from": alike(), "to": alike()} for _ in range(5_000)]
    document = parse_document({"workflow": "w", "steps": steps, "edges": edges})
    with here.one("unknown steps"):
        problems = validate_document(document, Catalog())
    assert len(problems) == MAX_PROBLEMS
    assert all(problem.mend.startswith("Did you mean `k") for problem in problems)


def test_in_an_object(here: Meter) -> None:
    given = {f"authorizationUrl{n}": 1 for n in range(66_000)}
    reading = Reading()
    with here.one("unknown keys of an app's auth"):
        read_scheme(reading, {"kind": "OAUTH2", **given}, "auth")
    assert len(reading.problems) == MAX_PROBLEMS
    assert reading.problems[0].mend == "Did you mean `authorizationUrl`?"


def test_in_filters(here: Meter) -> None:
    text = "{{ " + " ~ ".join(f"(1 | {alike()[:16]})" for _ in range(90)) + " }}"
    step = {"key": "a", "type": "transform", "input": {f"k{n}": text for n in range(300)}}
    document = parse_document({"workflow": "w", "steps": [step]})
    with here.one("unknown filters"):
        problems = validate_document(document, Catalog())
    assert len(problems) == MAX_PROBLEMS
