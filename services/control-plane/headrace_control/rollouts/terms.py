"""Whether the terms of a rollout can be kept."""

import math
from collections.abc import Sequence
from dataclasses import replace

import orjson
from headrace.errors import InvalidInput, Problem
from headrace.workflow.extraction import Path, compile_path
from headrace.workflow.json_rules import is_storable
from headrace.workflow.paths import at_index
from headrace.workflow.rollout import WHOLE
from headrace.workflow.sensitive import Marks

from headrace_control.names import name_problems
from headrace_control.rollouts.model import Cohorts, Terms, cohorts_json

# Read with each start while the rollout is open.
MAX_COHORTS = 20
MAX_COHORT_VALUES = 500
MAX_COHORT_BYTES = 32 * 1024


def check_terms(terms: Terms, marks: Sequence[Marks | None] = (), place: str = "") -> None:
    """Raises `InvalidInput` with every problem, its path behind `place`. `marks`: what the versions' parameters mark as
    sensitive."""
    problems = [*_percent_problems(terms.percent), *_cohort_problems(terms.cohorts)]
    if terms.key is not None:
        problems += _key_problems(terms.key, marks)
    elif terms.cohorts:
        mend = "Name the value that tells who is in them, as `$.customer.id`."
        problems.append(Problem("key", "cohorts are values of a key", mend, "KEY_NEEDED"))
    if problems:
        raise InvalidInput([replace(problem, path=f"{place}{problem.path}") for problem in problems])


def _percent_problems(percent: float) -> list[Problem]:
    hundredths = percent * 100
    if math.isfinite(percent) and 0 <= percent * 100 <= WHOLE and abs(hundredths - round(hundredths)) < 1e-6:
        return []
    return [
        Problem(
            "percent", "this is no such percentage", "Write 0 to 100, to a hundredth, as 12.5.", "BAD_PERCENT"
        )
    ]


def _key_problems(text: str, marks: Sequence[Marks | None]) -> list[Problem]:
    try:
        path: Path = compile_path(text, "key")
    except InvalidInput as error:
        return list(error.problems)
    if not path.single:
        mend = "Use names and indexes only, as in `$.customer.id`."
        return [Problem("key", "the path may find more than one value", mend, "BAD_JSONPATH")]
    if any(one is not None and one.touches(path.place) for one in marks):
        mend = "Take a value that may be known, as the customer's id; those of cohorts can be read."
        return [Problem("key", "the parameters mark what the path finds as sensitive", mend, "SENSITIVE_KEY")]
    return []


def _cohort_problems(cohorts: Cohorts) -> list[Problem]:
    problems: list[Problem] = []
    for index, (name, values) in enumerate(cohorts.items()):
        place = at_index("cohorts", index)
        problems += name_problems(name, f"{place}.name")
        for number, value in enumerate(values):
            if not value or not is_storable(value):
                path = at_index(f"{place}.values", number)
                problems.append(
                    Problem(path, "no such value can be kept", "Write a text that is not empty, no NUL.")
                )
    values_in_all = sum(len(values) for values in cohorts.values())
    size = len(orjson.dumps(cohorts_json(cohorts))) if not problems else 0
    if len(cohorts) > MAX_COHORTS or values_in_all > MAX_COHORT_VALUES or size > MAX_COHORT_BYTES:
        limits = f"{MAX_COHORTS} cohorts with {MAX_COHORT_VALUES} values in all, {MAX_COHORT_BYTES // 1024} KB as JSON"
        mend = f"Keep to {limits}; let the input say who is in, and take that for the key."
        problems.append(Problem("cohorts", "too many values to read with each start", mend, "TOO_LARGE"))
    return problems
