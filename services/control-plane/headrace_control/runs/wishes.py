"""A wish to start a run, as far as it is well-formed by itself."""

from dataclasses import dataclass

import orjson
from headrace.errors import HeadraceError, InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.json_rules import check_json, digest_of, is_storable

from headrace_control.runs.model import Run, RunStart

Answer = Run | HeadraceError

MAX_INPUT_BYTES = 256 * 1024
MAX_KEY = 200
# A caller that used a firing's key up would keep it from starting its run.
OWN_KEYS = ("schedule/", "backfill/")


@dataclass(frozen=True, slots=True)
class Wish:
    """A start that is well-formed by itself. `digest` is of all that makes two starts the same."""

    n: int
    start: RunStart
    encoded: str
    digest: str


def read_wish(n: int, start: RunStart, answers: dict[int, Answer]) -> Wish | None:
    """The wish, or None: what is wrong with it is its answer."""
    problems = [*_input_problems(start.input), *_key_problems(start)]
    encoded = "" if problems else orjson.dumps(start.input).decode()
    if len(encoded.encode()) > MAX_INPUT_BYTES:
        mend = "Pass large data by reference, such as an id or a URL."
        problems.append(Problem("input", f"above {MAX_INPUT_BYTES // 1024} KB of JSON", mend, "TOO_LARGE"))
    if problems:
        answers[n] = InvalidInput(problems)
        return None
    return Wish(n, start, encoded, _digest(start) if start.key is not None else "")


def _digest(start: RunStart) -> str:
    # The version as wished, not as found: a retry after a new version was published is still the same start.
    # Keys outlive upgrades: what a plain start is told by stays as it is.
    rerun = [start.rerun] if start.rerun is not None else []
    return digest_of([start.workflow, start.version, start.input, *rerun])


def _input_problems(value: Json) -> list[Problem]:
    if not isinstance(value, dict):
        return [Problem("input", "an object is needed", "Write names and values in it.")]
    return check_json(value, "input")


def _key_problems(start: RunStart) -> list[Problem]:
    key = start.key
    if key is None:
        return []
    if not start.own_key and key.startswith(OWN_KEYS):
        words = f"keys that begin with {' or '.join(OWN_KEYS)} are those of schedules"
        return [Problem("idempotencyKey", words, "Begin it with another word.")]
    if 0 < len(key) <= MAX_KEY and is_storable(key):
        return []
    return [Problem("idempotencyKey", "no such key can be kept", f"Use 1 to {MAX_KEY} characters, no NUL.")]
