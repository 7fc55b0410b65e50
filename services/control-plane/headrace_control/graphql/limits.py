"""The limits on operations, as extensions of the schema."""

import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from graphql import GraphQLError
from graphql.validation import MaxIntrospectionDepthRule
from headrace.errors import HeadraceError, LimitExceeded
from strawberry.extensions import SchemaExtension

from headrace_control.graphql.context import Context
from headrace_control.graphql.cost import CostLimits, TooCostly, check_cost
from headrace_control.graphql.errors import BAD_QUERY
from headrace_control.graphql.scalars import check_json

MAX_TOKENS = 4_000
LIMITS = CostLimits()

# An escaped NUL in a literal: Postgres can not store it, and nobody means it.
_NUL = re.compile(r"\\u(?:0000|\{0+\})")


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
    """Refuses what is too long, too deep or too costly before graphql-core walks it."""

    def on_operation(self) -> Iterator[None]:
        self.execution_context.parse_options["max_tokens"] = MAX_TOKENS
        yield

    def on_validate(self) -> Iterator[None]:
        context = self.execution_context
        if (error := self._refusal()) is not None:
            # With errors there already, Strawberry does not validate.
            context.pre_execution_errors = [error]
        context.validation_rules = (*context.validation_rules, MaxIntrospectionDepthRule)
        yield

    def _refusal(self) -> GraphQLError | None:
        context = self.execution_context
        variables: dict[str, Any] = context.variables or {}
        if "\0" in (context.query or "") or _NUL.search(context.query or ""):
            return GraphQLError("the query holds a NUL character", extensions={"code": BAD_QUERY})
        try:
            check_json(variables)
            if context.graphql_document is not None:
                check_cost(context.schema._schema, context.graphql_document, variables, LIMITS)  # noqa: SLF001
        except TooCostly as error:
            return GraphQLError(str(error), extensions={"code": LimitExceeded.code})
        except GraphQLError as error:
            return GraphQLError(error.message, extensions={"code": BAD_QUERY})
        return None
