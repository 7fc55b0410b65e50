"""The input of a re-run: that of its origin, opened, and edited where it is asked for."""

from uuid import UUID

from headrace.errors import Conflict
from headrace.json_types import Json
from headrace.sealed_outputs import INPUT_ROW, OutputPlace, OutputUnreadable, marker_of, open_value
from headrace.workflow.schema_survey import escape


def is_sealed(value: Json) -> bool:
    """Whether anything in it is."""
    if marker_of(value) is not None:
        return True
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(is_sealed(part) for part in parts)


def opened(tenant_id: UUID, run_id: UUID, key: bytes, value: Json, pointer: str = "") -> Json:
    """An input as it was before it was sealed. Raises `Conflict` when it does not open."""
    if (marker := marker_of(value)) is not None:
        try:
            return open_value(key, OutputPlace(tenant_id, run_id, INPUT_ROW, pointer), marker)
        except OutputUnreadable:
            raise Conflict("the run's input is sealed and does not open: start a new run") from None
    if isinstance(value, dict):
        return {
            name: opened(tenant_id, run_id, key, part, f"{pointer}/{escape(name)}")
            for name, part in value.items()
        }
    if isinstance(value, list):
        return [opened(tenant_id, run_id, key, part, f"{pointer}/{n}") for n, part in enumerate(value)]
    return value


def merged(value: Json, patch: Json) -> Json:
    """RFC 7396: what `patch` says of `value`; null takes a name away."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), part)
    return result
