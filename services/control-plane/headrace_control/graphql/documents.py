"""Queries that were parsed and found valid before: clients send the same few, with other variables."""

from collections import OrderedDict
from dataclasses import dataclass

from graphql import DocumentNode

MOST = 256
# Characters of a text that is kept.
MOST_CHARACTERS = 8 * 1024


@dataclass(frozen=True, slots=True)
class Known:
    """A valid document. `counted`: its cost was found to be within the limits, and hangs on no variable."""

    document: DocumentNode
    counted: bool


class KnownDocuments:
    """The documents of one schema, by their text; the longest unused gives way.

    A text with a string in it is not kept: what stands in quotes may be a secret, and has no business outlasting its
    request.
    """

    def __init__(self) -> None:
        self._documents: OrderedDict[str, Known] = OrderedDict()

    def find(self, query: str) -> Known | None:
        known = self._documents.get(query)
        if known is not None:
            self._documents.move_to_end(query)
        return known

    def keep(self, query: str, document: DocumentNode, *, counted: bool = False) -> None:
        """`document` is valid, whatever its variables are."""
        if len(query) > MOST_CHARACTERS or '"' in query:
            return
        self._documents[query] = Known(document, counted)
        if len(self._documents) > MOST:
            self._documents.popitem(last=False)
