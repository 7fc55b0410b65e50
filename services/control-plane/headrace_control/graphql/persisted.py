"""Queries that the operator lists, asked for by their SHA-256.

The list is the operator's file and nothing else: no caller adds to it, so none can put a query there for another to
run, nor fill a store. On the wire it is the protocol of automatic persisted queries (`extensions.persistedQuery`), of
which clients know the answer PERSISTED_QUERY_NOT_FOUND and then send the text along.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLSchema, parse, validate
from headrace.errors import Forbidden, InvalidInput, NotFound, Problem

from headrace_control.graphql.limits import MAX_TOKENS

MOST_BYTES = 16 * 1024 * 1024


class PersistedQueryNotFound(NotFound):
    """No listed query has this hash; clients send the text along then."""

    code = "PERSISTED_QUERY_NOT_FOUND"


class PersistedQueries:
    """`only`: what is not listed is not run."""

    def __init__(self, documents: Mapping[str, str], *, only: bool) -> None:
        self._documents, self._only = documents, only

    def text_of(self, query: str | None, extensions: Mapping[str, Any] | None) -> str | None:
        """The text to run. Raises `PersistedQueryNotFound`, or `NotListed`."""
        asked = (extensions or {}).get("persistedQuery")
        wanted = asked.get("sha256Hash") if isinstance(asked, dict) else None
        if query and wanted is None and not self._documents and not self._only:
            return query  # nothing is listed, and no hash is to be compared
        digest = hashlib.sha256(query.encode()).hexdigest() if query else wanted
        if query and wanted is not None and wanted != digest:
            raise InvalidInput(
                [Problem("extensions.persistedQuery.sha256Hash", "not the query's hash", "send its SHA-256")]
            )
        listed = self._documents.get(digest) if isinstance(digest, str) else None
        if listed is None and not query and wanted is not None:
            raise PersistedQueryNotFound("persisted query")
        if listed is None and self._only:
            raise NotListed("only listed queries are run here")
        return listed or query


class NotListed(Forbidden):
    """The deployment runs listed queries alone."""

    code = "QUERY_NOT_LISTED"


def read_documents(path: Path | None, schema: GraphQLSchema) -> Mapping[str, str]:
    """The queries of the operator's file, `{"<SHA-256 in hexadecimal>": "<query>"}`, each checked against its hash and
    the schema. Raises `InvalidInput`."""
    if path is None:
        return MappingProxyType({})
    try:
        if path.stat().st_size > MOST_BYTES:
            raise _wrong("", "the file is too large", f"keep it below {MOST_BYTES} bytes")
        listed = orjson.loads(path.read_bytes())
    except OSError:
        raise _wrong("", "the file can not be read", "name a file that this process may read") from None
    except orjson.JSONDecodeError:
        listed = None
    if not isinstance(listed, dict) or not all(isinstance(text, str) for text in listed.values()):
        raise _wrong("", "not a JSON object of texts", 'write {"<SHA-256>": "<query>"}')
    for digest, text in listed.items():
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise _wrong(digest[:64], "not the SHA-256 of its query", "write it in lower-case hexadecimal")
        try:
            errors = validate(schema, parse(text, max_tokens=MAX_TOKENS))
        except (GraphQLError, RecursionError):
            errors = [GraphQLError("")]
        if errors:
            raise _wrong(digest, "the query does not fit the schema", "write it anew for this release")
    return MappingProxyType(listed)


def _wrong(path: str, message: str, mend: str) -> InvalidInput:
    return InvalidInput([Problem(path, message, mend)])
