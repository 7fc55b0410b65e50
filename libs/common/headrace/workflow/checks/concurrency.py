"""The key by which runs are limited: a path that finds one value of an input."""

from headrace.errors import InvalidInput
from headrace.workflow.document import Document
from headrace.workflow.extraction import compile_path
from headrace.workflow.reading import Reading

_PLACE = "concurrency.key"


def check_concurrency(document: Document, reading: Reading) -> None:
    """Note what is wrong with the document's `concurrency`."""
    if document.concurrency is None or document.concurrency.key is None:
        return
    try:
        path = compile_path(document.concurrency.key, _PLACE)
    except InvalidInput as error:
        reading.problems.extend(error.problems)
        return
    if not path.single:
        mend = "Use names and indexes only, as in `$.customer.id`."
        reading.add(_PLACE, "the path may find more than one value", mend, "BAD_JSONPATH")
