"""What expressions of these tests see: much of everything."""

from headrace.json_types import Json
from headrace.workflow.expressions import Scope

BIG_TEXT = "ab" * 120_000
BIG_LIST: list[Json] = list(range(60_000))
SCOPE = Scope(
    input={
        "text": BIG_TEXT,
        "list": BIG_LIST,
        "texts": ["a" * 200 + str(n) for n in range(2_000)],
        "objects": [{"id": n, "name": f"n{n}"} for n in range(20_000)],
        "n": 3,
        "__class__": "a field like any other",
    },
    env={"A": "a"},
    steps={"s": {"output": {"body": {"a": 1}}, "status": "SUCCESS", "error": None}},
    run={"id": "r"},
)
