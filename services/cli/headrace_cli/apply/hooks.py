"""Hooks among what is applied: their terms as they will stand, and what is wrong with them by themselves."""

from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace_control.hooks.model import HookEvent
from headrace_control.hooks.terms import hook_problems

from headrace_cli.apply.documents import Declared


def hook_terms(declared: Declared) -> JsonObject:
    """A hook's address, and what it is told of: in which order says nothing."""
    fields = declared.fields
    events = fields.get("events")
    given = {str(event) for event in events} if isinstance(events, list) else set()
    return {"url": fields.get("url"), "events": [*sorted(given)]}


def read_hook(declared: Declared) -> None:
    """Raises `InvalidInput`; a value of the wrong kind is left to who looks at the document's keys."""
    url, events = declared.fields.get("url"), declared.fields.get("events")
    if not isinstance(url, str) or not isinstance(events, list):
        return
    unknown = [n for n, event in enumerate(events) if event not in [*HookEvent]]
    problems = [Problem(f"events[{n}]", "no such word", f"one of {', '.join(HookEvent)}") for n in unknown]
    if not unknown:
        problems += hook_problems(url, [HookEvent(str(event)) for event in events])
    if problems:
        raise InvalidInput(problems)
