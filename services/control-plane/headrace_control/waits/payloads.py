"""What may be said to a run: bounded JSON, which fits the schema of what waits for it."""

import orjson
from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.json_rules import check_json, is_storable
from headrace.workflow.schemas import Schemas

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_REASON = 2000
MAX_KEY = 200


class Payloads:
    """Checks payloads; keeps the schemas compiled that were used last."""

    def __init__(self) -> None:
        self._schemas = Schemas()

    def problems(self, value: Json, path: str, schema: JsonObject | None = None) -> list[Problem]:
        """Everything wrong with `value`, with places under `path`."""
        problems = check_json(value, path)
        if problems:
            return problems
        if len(orjson.dumps(value)) > MAX_PAYLOAD_BYTES:
            mend = "Pass large data by reference, such as an id or a URL."
            words = f"above {MAX_PAYLOAD_BYTES // 1024} KB of JSON"
            return [Problem(path, words, mend, "TOO_LARGE")]
        if schema is None:
            return []
        try:
            return self._schemas.validator(schema).validate(value, path)
        except InvalidInput:
            mend = "Publish the workflow again with a schema that can be used."
            return [Problem(path, "the schema of what waits for this can not be used", mend, "BAD_SCHEMA")]


def reason_problems(reason: str) -> list[Problem]:
    if len(reason) <= MAX_REASON and is_storable(reason):
        return []
    return [Problem("reason", "no such reason can be kept", f"Use {MAX_REASON} characters at most, no NUL.")]


def key_problems(key: str | None) -> list[Problem]:
    if key is None or (0 < len(key) <= MAX_KEY and is_storable(key)):
        return []
    return [Problem("idempotencyKey", "no such key can be kept", f"Use 1 to {MAX_KEY} characters, no NUL.")]
