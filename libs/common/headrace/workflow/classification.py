"""How long a version lives and what it lacks for that, as values and as JSON; `classify` decides it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from headrace.errors import Problem
from headrace.json_types import Json, JsonMapping, JsonObject


class LifeClass(StrEnum):
    """What a run of the version is, by what its document may do.

    SHORT_LIVED: it calls nothing and waits for nothing. MEDIUM_LIVED: steps of minutes or hours, over one system.
    LONG_LIVED: it has to survive days, or binds several systems, people or outsiders.
    """

    SHORT_LIVED = "SHORT_LIVED"
    MEDIUM_LIVED = "MEDIUM_LIVED"
    LONG_LIVED = "LONG_LIVED"


class ClassRule(StrEnum):
    """Why a version is of its class."""

    CALLS = "CALLS"  # medium: it calls an API, or a plug-in's step does who knows what
    WAITS = "WAITS"  # medium: it waits, for less than a day
    DAYS = "DAYS"  # long: what it waits for may take a day or more
    SYSTEMS = "SYSTEMS"  # long: it calls two apps or more
    COMPENSATION = "COMPENSATION"  # long: it declares how a step is undone
    APPROVAL = "APPROVAL"  # long: it waits for a person's decision
    COMMITMENT = "COMMITMENT"  # long: it does what can not be taken back
    CHILD = "CHILD"  # medium or long: a workflow that it runs is


class Safeguard(StrEnum):
    """What a side-effecting step of a long-lived version needs."""

    IDEMPOTENCY = "NO_IDEMPOTENCY"
    COMPENSATION = "NO_COMPENSATION"


# What the codes of problems are that an admin may waive.
WAIVABLE = frozenset(found.value for found in Safeguard)


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that holds. `step` is a key, or None where it is about the version as a whole."""

    rule: ClassRule
    step: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Lack:
    """A safeguard that a step lacks. `path` is the place in the document, as `steps[1].action`."""

    safeguard: Safeguard
    step: str
    path: str
    message: str
    mend: str

    @property
    def problem(self) -> Problem:
        return Problem(self.path, self.message, self.mend, self.safeguard.value)


@dataclass(frozen=True, slots=True)
class Classification:
    """`systems` are the apps that it calls, its children's among them. `longest_ms` bounds what it waits for in a row;
    None, nothing does. `lacks` holds for whatever class it is of: a long-lived parent has to answer for them."""

    life: LifeClass
    reasons: tuple[Reason, ...]
    systems: frozenset[str]
    longest_ms: int | None
    lacks: tuple[Lack, ...] = ()

    @property
    def hindrances(self) -> tuple[Lack, ...]:
        """The lacks that stand in the way of publishing it."""
        return self.lacks if self.life is LifeClass.LONG_LIVED else ()


def dump_classification(found: Classification) -> JsonObject:
    """As JSON data that `load_classification` reads back."""
    return {
        "class": found.life.value,
        "reasons": [{"rule": r.rule.value, "step": r.step, "message": r.message} for r in found.reasons],
        "systems": [*sorted(found.systems)],
        "longestMs": found.longest_ms,
        "lacks": [
            {
                "code": lack.safeguard.value,
                "step": lack.step,
                "path": lack.path,
                "message": lack.message,
                "mend": lack.mend,
            }
            for lack in found.lacks
        ],
    }


def load_classification(data: JsonMapping) -> Classification:
    """What `dump_classification` wrote."""
    longest = data["longestMs"]
    return Classification(
        LifeClass(str(data["class"])),
        tuple(
            Reason(
                ClassRule(str(one["rule"])),
                None if one["step"] is None else str(one["step"]),
                str(one["message"]),
            )
            for one in _objects(data["reasons"])
        ),
        frozenset(map(str, _list(data["systems"]))),
        longest if isinstance(longest, int) else None,
        tuple(
            Lack(
                Safeguard(str(one["code"])),
                str(one["step"]),
                str(one["path"]),
                str(one["message"]),
                str(one["mend"]),
            )
            for one in _objects(data["lacks"])
        ),
    )


def _list(data: Json) -> Sequence[Json]:
    return data if isinstance(data, list) else ()


def _objects(data: Json) -> Sequence[JsonObject]:
    return [one for one in _list(data) if isinstance(one, dict)]
