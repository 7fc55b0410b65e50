"""Which runs of a workflow are limited together: the key of a start, taken from its input."""

from hashlib import sha256

from headrace.json_types import Json, JsonMapping
from headrace.workflow.document import Concurrency, OnLimit
from headrace.workflow.extraction import compile_path
from headrace.workflow.json_rules import canonical


def slot_key(rule: Concurrency, value: Json) -> bytes:
    """The same for inputs that are limited together: the SHA-256 of the rule's path and what it finds.

    An input without the value counts as null. Versions with another path do not share a limit.
    """
    found = compile_path(rule.key, "concurrency.key").find(value) if rule.key is not None else None
    return sha256(canonical([rule.key, found]).encode()).digest()


def load_concurrency(stored: JsonMapping | None) -> Concurrency | None:
    """The rule of a published version; None where there is no limit."""
    if stored is None:
        return None
    rule = Concurrency()
    limit, on_limit, key = stored.get("limit"), stored.get("onLimit"), stored.get("key")
    rule = Concurrency(
        limit if isinstance(limit, int) else rule.limit,
        OnLimit(str(on_limit)) if on_limit is not None else rule.on_limit,
        str(key) if key is not None else None,
    )
    return None if rule.on_limit is OnLimit.ALLOW else rule
