"""A workflow document as it comes in: a JSON value, or a text of YAML or JSON."""

from headrace.json_types import Json
from headrace.workflow.text import read_document_text


def read_document(given: object) -> tuple[Json, str | None]:
    """The data and, when it came as one, its text. Raises `InvalidInput`; what is in it is for others to check."""
    if isinstance(given, str):
        return read_document_text(given), given
    return given, None  # type: ignore[return-value]
