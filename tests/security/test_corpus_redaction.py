"""P9, by corpus: no value stalls a runner that searches it for what the run must not tell, however much that is.

Each case of `corpora/redaction.yaml` goes through what a runner does with an answer, a record and a log line.
"""

import os
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest
from headrace.json_types import Json
from headrace.redaction import MARKER, Redactor
from headrace.workflow.sensitive import leaves_of
from headrace_runner.history import MAX_OUTPUT_BYTES
from headrace_runner.sensitive import Sensitive, opened

from tests.security.cost import Meter
from tests.security.hostile_server import CORPORA, load

CASES = load(CORPORA / "redaction.yaml")
KNOWN: dict[str, list[Json]] = {
    "one": ["secret-00-abcdef"],
    "hundred": [f"secret-{n:02}-abcdef" for n in range(100)],
    "alike": ["a" * (8 + n) for n in range(100)],
    "long": ["a" * (1_000 + n) for n in range(100)],
}
RUN, KEY = UUID(int=1), bytes(32)


@pytest.fixture(scope="module")
def here() -> Iterator[Meter]:
    meter = Meter(os.getpid())
    yield meter
    print(f"redaction: {meter.worst()}")


def built(case: dict[str, Any]) -> Json:
    texts = [
        str(case["text"]).replace("#", str(number)) * case.get("times", 1)
        for number in range(case.get("texts", 1))
    ]
    return dict.fromkeys(texts, True) if case.get("names") else [*texts]


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_costly_value(here: Meter, case: dict[str, Any]) -> None:
    value, known = built(case), KNOWN[case["known"]]
    assert len(orjson.dumps(value)) <= MAX_OUTPUT_BYTES
    redactor = Redactor([str(secret) for secret in known])
    sensitive = Sensitive(RUN, RUN, KEY)
    sensitive.learn(leaves_of([*known], "known"))
    with here.one(f"redacted: {case['name']}"):
        redacted = redactor.value(value)
    with here.one(f"logged: {case['name']}"):
        logged = redactor.anything(value)
    with here.one(f"hidden: {case['name']}"):
        hidden = sensitive.hidden(value)
    with here.one(f"sealed: {case['name']}"):
        sealed = sensitive.sealed("row", value)
    assert opened(RUN, {RUN: KEY}, "row", sealed)[0] == value
    for shown in (redacted, logged, hidden):
        outcome = "shown" if shown == value else "hidden" if shown == MARKER else "parts"
        assert outcome == case["outcome"]
    assert (sealed == value) == (case["outcome"] == "shown")
