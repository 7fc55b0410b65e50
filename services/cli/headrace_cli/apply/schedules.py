"""Schedules among what is applied: their terms as they will stand, and what is wrong with them by themselves."""

from enum import StrEnum

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json, JsonObject
from headrace_control.schedules.deciding import MAX_MISSED, Missed, Overlap
from headrace_control.schedules.model import Terms
from headrace_control.schedules.terms import terms_problems

from headrace_cli.apply.documents import Declared


def terms_of(declared: Declared) -> JsonObject:
    """A schedule's terms, with all that the document leaves out."""
    fields = declared.fields
    return {
        "workflow": fields.get("workflow"),
        "version": fields.get("version"),
        "cron": fields.get("cron"),
        "timeZone": fields.get("timeZone", "UTC"),
        "input": fields.get("input") or {},
        "missed": fields.get("missed", Missed.FIRE_ONCE),
        "missedLimit": fields.get("missedLimit", MAX_MISSED),
        "overlap": fields.get("overlap", Overlap.ALLOW),
    }


def read_schedule(declared: Declared) -> None:
    """Raises `InvalidInput`; a value of the wrong kind is left to who looks at the document's keys."""
    terms = terms_of(declared)
    problems = [
        *_wrong_words("missed", terms["missed"], Missed),
        *_wrong_words("overlap", terms["overlap"], Overlap),
    ]
    cron, zone, given, limit = (terms[name] for name in ("cron", "timeZone", "input", "missedLimit"))
    if isinstance(cron, str) and isinstance(zone, str) and isinstance(given, dict) and isinstance(limit, int):
        problems += terms_problems(Terms(str(terms["workflow"]), cron, zone, given, missed_limit=limit))
    if problems:
        raise InvalidInput(problems)


def _wrong_words(path: str, value: Json, words: type[StrEnum]) -> list[Problem]:
    if not isinstance(value, str) or value in [*words]:
        return []
    return [Problem(path, "no such word", f"one of {', '.join(words)}")]
