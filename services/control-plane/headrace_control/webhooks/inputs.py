"""The input of a webhook's runs: the message's body, or JSON whose texts may hold expressions over the message."""

from collections.abc import Mapping
from types import MappingProxyType

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.expressions import (
    ExpressionError,
    Scope,
    Templates,
    check_parsing,
    inspect,
    texts_in,
)
from headrace.workflow.json_rules import check_json

from headrace_control.webhooks.model import Terms

# What expressions see as `input`.
_FIELDS: Mapping[str, str] = MappingProxyType(
    {
        "body": "the message's body",
        "id": "its id",
        "sentAt": "its timestamp, in UTC",
        "webhook": "the webhook's name",
    }
)


def input_problems(value: Json) -> list[Problem]:
    """What is wrong with a webhook's input by itself, with paths under `input`."""
    if problems := [*check_json(value, "input"), *check_parsing(value, "input")]:
        return problems
    known = ", ".join(f"input.{name}" for name in _FIELDS)
    for place, text in texts_in(value, "input"):
        references, faults = inspect(text, place)
        problems += faults
        if references.steps or references.env or references.callbacks:
            problems.append(
                Problem(place, "there are no steps, env and callbacks yet", f"Known are {known}.")
            )
        if unknown := sorted(references.input - _FIELDS.keys()):
            words = f"a message has no `{unknown[0][:63]}`"
            problems.append(Problem(place, words, f"Known are {known}.", "UNKNOWN_INPUT"))
    return problems


def input_of(
    templates: Templates, webhook: str, terms: Terms, body: Json, message_id: str, sent_at: str
) -> Json:
    """The input of the message's run. Raises `InvalidInput` where the body has not what an expression asks for."""
    if terms.input is None:
        return body
    seen: Json = {"body": body, "id": message_id, "sentAt": sent_at, "webhook": webhook}
    try:
        return templates.render(terms.input, Scope(input=seen), "input")
    except ExpressionError as error:
        raise InvalidInput([Problem(error.path, error.reason, error.mend, "BAD_EXPRESSION")]) from None
