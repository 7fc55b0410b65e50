"""The input of a schedule's runs: JSON whose texts may hold expressions over the firing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from headrace.errors import Problem
from headrace.json_types import Json, JsonObject
from headrace.workflow.expressions import Scope, Templates, check_parsing, inspect, texts_in
from headrace.workflow.json_rules import check_json

from headrace_control.schedules.cron import Cron

_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "schedule": "the schedule's name",
        "firingAt": "the firing's time, in UTC",
        "localTime": "the same on the schedule's wall clock",
        "date": "the day of that",
        "backfill": "the backfill's id, or null",
    }
)


@dataclass(frozen=True, slots=True)
class Occasion:
    """A firing of the schedule `schedule`, by the clock or of a backfill."""

    schedule: str
    clock: Cron
    at: datetime
    backfill_id: UUID | None = None

    @property
    def fields(self) -> JsonObject:
        """What expressions see as `input`."""
        local = self.at.astimezone(self.clock.zone)
        return {
            "schedule": self.schedule,
            "firingAt": self.at.isoformat().replace("+00:00", "Z"),
            "localTime": local.isoformat(),
            "date": local.date().isoformat(),
            "backfill": str(self.backfill_id) if self.backfill_id else None,
        }


def input_problems(value: Json) -> list[Problem]:
    """What is wrong with a schedule's input by itself, with paths under `input`."""
    if not isinstance(value, dict):
        return [Problem("input", "an object is needed", "Write names and values in it.")]
    if problems := [*check_json(value, "input"), *check_parsing(value, "input")]:
        return problems
    for place, text in texts_in(value, "input"):
        references, faults = inspect(text, place)
        problems += faults
        if references.steps or references.env or references.callbacks:
            known = ", ".join(f"input.{name}" for name in _FIELDS)
            problems.append(
                Problem(place, "there are no steps, env and callbacks yet", f"Known are {known}.")
            )
        if unknown := sorted(references.input - _FIELDS.keys()):
            known = ", ".join(_FIELDS)
            problems.append(
                Problem(place, f"a firing has no `{unknown[0][:63]}`", f"It has {known}.", "UNKNOWN_INPUT")
            )
    return problems


def rendered(templates: Templates, value: Json, occasion: Occasion) -> Json:
    """The input of the firing's run. Raises `ExpressionError`."""
    return templates.render(value, Scope(input=occasion.fields), "input")
