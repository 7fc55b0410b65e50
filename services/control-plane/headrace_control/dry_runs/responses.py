"""Declared responses: whether they are any, before a runner looks for them."""

import orjson
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.keys import read_key

MAX_PATHS = 1_000
MAX_BYTES = 1024 * 1024
MAX_CALLS = 100
_WORDS = frozenset(
    {
        "status",
        "headers",
        "body",
        "error",
        "output",
        "decision",
        "form",
        "reason",
        "payload",
        "timeout",
        "gate",
    }
)


def checked(responses: Json) -> JsonObject:
    """The responses by the paths of rows. Raises `InvalidInput` naming the place of what is none."""
    if responses is None:
        return {}
    if not isinstance(responses, dict):
        mend = "Write step keys, and what each is answered."
        raise InvalidInput([Problem("responses", "an object is needed", mend)])
    if len(responses) > MAX_PATHS or len(orjson.dumps(responses)) > MAX_BYTES:
        raise InvalidInput(
            [Problem("responses", f"more than {MAX_PATHS} steps, or {MAX_BYTES} bytes", "Declare fewer.")]
        )
    problems: list[Problem] = []
    for path, said in responses.items():
        place = f"responses.{path}"
        if not _is_path(path):
            mend = "Write a step's key, `key[3]` for an item of a loop, `parent/key` for a step of a sub-workflow."
            problems.append(Problem(place, "this names no step", mend))
        calls = said if isinstance(said, list) else [said]
        if not 0 < len(calls) <= MAX_CALLS:
            problems.append(Problem(place, f"1 to {MAX_CALLS} answers are needed", "Leave the step out."))
        problems += [problem for one in calls for problem in _problems(one, place)]
    if problems:
        raise InvalidInput(problems[:50])
    return responses


def _is_path(path: str) -> bool:
    try:
        return all(read_key(key).step for key in path.split("/"))
    except ValueError:
        return False


def _problems(said: Json, place: str) -> list[Problem]:
    if not isinstance(said, dict):
        mend = "Write an object: {status: 200, body: ...}."
        return [Problem(place, "this is no answer", mend)]
    unknown = sorted(said.keys() - _WORDS)
    found = [
        Problem(f"{place}.{word}", "unknown", f"Known are {', '.join(sorted(_WORDS))}.") for word in unknown
    ]
    status = said.get("status", 200)
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        found.append(Problem(f"{place}.status", "this is no HTTP status", "Write one of 100 to 599."))
    if not isinstance(said.get("headers", {}), dict):
        found.append(Problem(f"{place}.headers", "an object is needed", "Write names and texts."))
    if said.get("decision", "APPROVED") not in ("APPROVED", "REJECTED"):
        found.append(Problem(f"{place}.decision", "unknown", "Write APPROVED or REJECTED."))
    if said.get("gate", "REJECTED") != "REJECTED":
        found.append(
            Problem(f"{place}.gate", "unknown", "Write REJECTED, or leave it out: calls are approved.")
        )
    return found
