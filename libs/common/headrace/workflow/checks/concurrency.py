"""The key by which runs are limited: a path that finds one value of an input."""

from collections.abc import Sequence

from headrace.errors import InvalidInput
from headrace.workflow.document import Document
from headrace.workflow.extraction import compile_path
from headrace.workflow.reading import Reading
from headrace.workflow.sensitive import Marks

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
    elif _sensitive(document, reading, path.place):
        mend = "Take a value that may be known, as the customer's id; a digest of it is kept."
        reading.add(_PLACE, "the parameters mark what the path finds as sensitive", mend, "SENSITIVE_KEY")


def _sensitive(document: Document, reading: Reading, place: Sequence[str | int]) -> bool:
    """Whether the key would tell of what is to be sealed: whoever reads digests can try values against them."""
    unusable = any(problem.path.startswith("parameters") for problem in reading.problems)
    marks = Marks.of(document.parameters) if document.parameters is not None and not unusable else None
    return marks is not None and marks.touches(place)
