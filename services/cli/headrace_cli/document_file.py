"""Files with a document, in YAML or JSON, that a command is given."""

from pathlib import Path
from typing import Any

from headrace.errors import InvalidInput, Problem
from headrace.json_types import Json
from headrace.workflow.text import read_document_text

# As the files of `headrace apply` have it, where it may be left out.
_WORKFLOW = "Workflow"


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


def read_workflow(file: Path) -> Json:
    """A workflow document as the API takes it: the file's text, comments and all; of one that is written for
    `headrace apply`, with its `kind`, the data without that. Raises `InvalidInput` for another kind, too.
    """
    text = read_text(file)
    try:
        document = read_document_text(text)
    except InvalidInput:
        return text  # for the API to say what is wrong with it, with all else
    if not isinstance(document, dict) or "kind" not in document:
        return text
    if document["kind"] != _WORKFLOW:
        mend = "name a file with a workflow alone; `headrace apply --dry-run -f FILE` checks the other kinds"
        raise InvalidInput([Problem(f"{file}: kind", "this is no workflow", mend)])
    return {name: value for name, value in document.items() if name != "kind"}
