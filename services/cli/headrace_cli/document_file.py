"""Files with a document, in YAML or JSON, that a command is given."""

from pathlib import Path
from typing import Any

from headrace.errors import InvalidInput, Problem
from headrace.workflow.text import read_document_text


def read_text(file: Path) -> str:
    """What stands in the file. Raises `InvalidInput` for one that can not be read, and for one that is no text."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        message, mend = f"the file can not be read ({error.strerror})", "name a YAML or JSON file"
    except UnicodeDecodeError:
        message, mend = "this is no text in UTF-8", "save it as UTF-8"
    raise InvalidInput([Problem(str(file), message, mend)])


def read_document(file: Path) -> Any:
    """The data in the file. Raises `InvalidInput`, for a file that is no document too."""
    return read_document_text(read_text(file))
