"""The limits on operations, as extensions of the schema."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

from graphql import DocumentNode, GraphQLError, NoSchemaIntrospectionCustomRule, TokenKind
from graphql.validation import MaxIntrospectionDepthRule
from headrace.errors import HeadraceError, LimitExceeded
from strawberry.extensions import SchemaExtension
from strawberry.types.graphql import OperationType

from headrace_control.graphql.context import Context
from headrace_control.graphql.cost import CostLimits, TooCostly, check_cost
from headrace_control.graphql.documents import KnownDocuments
from headrace_control.graphql.errors import BAD_QUERY
from headrace_control.graphql.scalars import check_json

MAX_TOKENS = 4_000
# Characters of a query's text: what is large comes in variables.
MAX_QUERY = 256 * 1024
LIMITS = CostLimits()

# Of a number that is written in a query.
MAX_DIGITS = 400

# An escaped NUL in a literal: Postgres can not store it, and nobody means it.
_NUL = re.compile(r"\\u(?:0000|\{0+\})")


# The time limit around the operation that runs now. One on a websocket has no end before it is known to be no
# subscription, which may last.
DEADLINE: ContextVar[asyncio.Timeout | None] = ContextVar("DEADLINE", default=None)


class Deadline(SchemaExtension):
    """Sets the time limit for a query or a mutation on a websocket; one by POST has its own."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def on_execute(self) -> Iterator[None]:
        deadline = DEADLINE.get()
        if deadline is None or self.execution_context.operation_type is OperationType.SUBSCRIPTION:
            yield
            return
        deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
        yield
        deadline.reschedule(None)


class KeyStillValid(SchemaExtension):
    """Refuses operations on a websocket whose key has ended since it was opened."""

    async def on_validate(self) -> AsyncIterator[None]:
        context = self.execution_context.context
        if isinstance(context, Context) and context.recheck is not None:
            try:
                await context.recheck()
            except HeadraceError as error:
                self.execution_context.pre_execution_errors = [
                    GraphQLError(error.message, original_error=error)
                ]
        yield


class OperationLimits(SchemaExtension):
    """Refuses what is too long, too deep or too costly before graphql-core walks it. What it has walked before it does
    not walk again; the cost is that of each request's variables."""

    def __init__(self, *, introspection: bool, known: KnownDocuments) -> None:
        self._introspection, self._known = introspection, known

    def on_parse(self) -> Iterator[None]:
        context = self.execution_context
        if len(context.query or "") > MAX_QUERY:
            raise LimitExceeded(
                f"the query is longer than {MAX_QUERY} characters; send what is large in variables"
            )
        context.graphql_document = self._known.find(context.query or "")
        yield

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MAX_TOKENS
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        query, document = context.query or "", context.graphql_document
        # With errors there already, be they none, Strawberry does not validate.
        if (error := self._refusal()) is not None:
            context.pre_execution_errors = [error]
        elif self._known.find(query) is not None:
            context.pre_execution_errors = []
        asked = MaxIntrospectionDepthRule if self._introspection else NoSchemaIntrospectionCustomRule
        context.validation_rules = (*context.validation_rules, asked)
        yield
        if document is not None and not context.pre_execution_errors:
            self._known.keep(query, document)

    def _refusal(self) -> GraphQLError | None:
        context = self.execution_context
        variables: dict[str, Any] = context.variables or {}
        if "\0" in (context.query or "") or _NUL.search(context.query or ""):
            return GraphQLError("the query holds a NUL character", extensions={"code": BAD_QUERY})
        try:
            check_json(variables)
            if context.graphql_document is not None:
                _check_numbers(context.graphql_document)
                check_cost(context.schema._schema, context.graphql_document, variables, LIMITS)  # noqa: SLF001
        except TooCostly as error:
            return GraphQLError(str(error), extensions={"code": LimitExceeded.code})
        except GraphQLError as error:
            return GraphQLError(error.message, extensions={"code": BAD_QUERY})
        return None


def _check_numbers(document: DocumentNode) -> None:
    """Python refuses to read a number of some thousand digits, in words of its own; no type here holds one."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in (TokenKind.INT, TokenKind.FLOAT) and len(token.value or "") > MAX_DIGITS:
            raise GraphQLError(f"a number has more than {MAX_DIGITS} digits")
        token = token.next
