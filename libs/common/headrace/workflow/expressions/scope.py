"""The names that an expression may use, and what they stand for in one rendering."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headrace.json_types import Json, JsonMapping

STEP_FIELDS: Final = frozenset({"output", "status", "error"})
RUN_FIELDS: Final = frozenset({"id", "workflow", "startedAt"})
NAMES: Final = frozenset({"input", "env", "steps", "run"})
LOOP_NAMES: Final = frozenset({"item", "index"})


@dataclass(frozen=True, slots=True)
class Scope:
    """What a rendering can see.

    `steps` maps a step's key to its `{output, status, error}`; `run` has `RUN_FIELDS`. `item` and `index` are
    looked at only when `loop` is true.
    """

    input: Json = None
    env: JsonMapping = field(default_factory=dict)
    steps: Mapping[str, JsonMapping] = field(default_factory=dict)
    run: JsonMapping = field(default_factory=dict)
    loop: bool = False
    item: Json = None
    index: int = 0
