"""Webhooks among what is applied: their terms as they will stand, and what is wrong with them by themselves."""

from headrace.errors import InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace_control.webhooks.model import DEFAULT_RESULT_SECONDS, DEFAULT_TOLERANCE, Terms, WebhookAnswer
from headrace_control.webhooks.terms import terms_problems

from headrace_cli.apply.documents import Declared


def webhook_terms(declared: Declared) -> JsonObject:
    """A webhook's terms, with all that the document leaves out."""
    fields = declared.fields
    return {
        "workflow": fields.get("workflow"),
        "version": fields.get("version"),
        "input": fields.get("input"),
        "schema": fields.get("schema"),
        "toleranceSeconds": fields.get("toleranceSeconds", DEFAULT_TOLERANCE),
        "answer": fields.get("answer", WebhookAnswer.RUN_ID),
        "resultSeconds": fields.get("resultSeconds", DEFAULT_RESULT_SECONDS),
    }


def read_webhook(declared: Declared) -> None:
    """Raises `InvalidInput`; a value of the wrong kind is left to who looks at the document's keys."""
    terms, problems = webhook_terms(declared), []
    answer = terms["answer"]
    if isinstance(answer, str) and answer not in [*WebhookAnswer]:
        problems.append(Problem("answer", "no such word", f"one of {', '.join(WebhookAnswer)}"))
    given, schema = (
        value if isinstance(value, dict) else None for value in (terms["input"], terms["schema"])
    )
    tolerance, seconds = terms["toleranceSeconds"], terms["resultSeconds"]
    if isinstance(tolerance, int) and isinstance(seconds, int):
        read = Terms(
            str(terms["workflow"]),
            input=given,
            schema=schema,
            tolerance_seconds=tolerance,
            result_seconds=seconds,
        )
        problems += terms_problems(read)
    if problems:
        raise InvalidInput(problems)
