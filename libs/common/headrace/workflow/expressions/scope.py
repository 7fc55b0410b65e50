"""The names that an expression may use, and what they stand for in one rendering."""

from collections.abc import Mapping
from dataclasses import field
from typing import Final

from headrace.json_types import Json, JsonMapping
from headrace.records import record

STEP_FIELDS: Final = frozenset({"output", "status", "error"})
RUN_FIELDS: Final = frozenset({"id", "workflow", "startedAt"})
NAMES: Final = frozenset({"input", "env", "steps", "run", "callbacks"})
LOOP_NAMES: Final = frozenset({"item", "index"})


@record
class Local:
    """Names that only some places have: a loop's `item` and `index`, a condition's `output`, `status`, `error`."""

    loop: bool = False
    own: bool = False

    @property
    def names(self) -> frozenset[str]:
        return NAMES | (LOOP_NAMES if self.loop else frozenset()) | (STEP_FIELDS if self.own else frozenset())


EVERYWHERE: Final = Local()


@record
class Scope:
    """What a rendering can see.

    `steps` maps a step's key to its `{output, status, error}`; `run` has `RUN_FIELDS`. `item` and `index` are
    looked at only when `loop` is true. `own` is the `{output, status, error}` of the step that a condition asks
    about, each a name by itself; None where there is no such step. `callbacks` maps the keys of `signal` steps to
    the addresses that send their signals.
    """

    input: Json = None
    env: JsonMapping = field(default_factory=dict)
    steps: Mapping[str, JsonMapping] = field(default_factory=dict)
    run: JsonMapping = field(default_factory=dict)
    loop: bool = False
    item: Json = None
    index: int = 0
    own: JsonMapping | None = None
    callbacks: JsonMapping = field(default_factory=dict)

    @property
    def local(self) -> "Local":
        """Which names it has beside those of every scope."""
        return Local(self.loop, self.own is not None)
