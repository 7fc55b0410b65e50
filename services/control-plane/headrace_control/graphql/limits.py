"""The limits on operations."""

import re
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    TokenKind,
)
from graphql.validation import MaxIntrospectionDepthRule
from headrace.errors import LimitExceeded
from strawberry.types import ExecutionContext

from headrace_control.graphql.cost import CostLimits, TooCostly, check_cost
from headrace_control.graphql.documents import Known, KnownDocuments
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


class OperationLimits:
    """Of one operation. Refuses what is too long, too deep or too costly before graphql-core walks it. What it has
    walked before it does not walk again, nor is a cost counted again that no variable changes."""

    def __init__(
        self, context: ExecutionContext, schema: GraphQLSchema, known: KnownDocuments, *, introspection: bool
    ) -> None:
        self._context, self._schema = context, schema
        self._documents, self._introspection = known, introspection
        self._known: Known | None = None
        self._varies = True

    def before_parsing(self) -> None:
        context = self._context
        if len(context.query or "") > MAX_QUERY:
            raise LimitExceeded(
                f"the query is longer than {MAX_QUERY} characters; send what is large in variables"
            )
        context.parse_options["max_tokens"] = MAX_TOKENS
        self._known = self._documents.find(context.query or "")
        if self._known is not None:
            context.graphql_document = self._known.document

    def before_validation(self) -> None:
        context = self._context
        # With errors there already, be they none, Strawberry does not validate.
        if (error := self._refusal()) is not None:
            context.pre_execution_errors = [error]
        elif self._known is not None:
            context.pre_execution_errors = []
        asked = MaxIntrospectionDepthRule if self._introspection else NoSchemaIntrospectionCustomRule
        context.validation_rules = (*context.validation_rules, asked)

    def after_validation(self) -> None:
        context = self._context
        document = context.graphql_document
        if self._known is None and document is not None and not context.pre_execution_errors:
            self._documents.keep(context.query or "", document, counted=not self._varies)

    def _refusal(self) -> GraphQLError | None:
        context = self._context
        variables: dict[str, Any] = context.variables or {}
        try:
            check_json(variables)
            if self._known is None or not self._known.counted:
                self._check_document(variables)
            self._check_choice()
        except TooCostly as error:
            return GraphQLError(str(error), extensions={"code": LimitExceeded.code})
        except GraphQLError as error:
            return GraphQLError(error.message, extensions={"code": BAD_QUERY})
        return None

    def _check_choice(self) -> None:
        """Of several operations one has to be named (GraphQL, GetOperation); Strawberry would take the first one."""
        context = self._context
        named = context._provided_operation_name  # noqa: SLF001 - its public property answers the first one's, too
        definitions = () if context.graphql_document is None else context.graphql_document.definitions
        if named is None and sum(isinstance(one, OperationDefinitionNode) for one in definitions) > 1:
            raise GraphQLError("the query holds several operations: name one by `operationName`")

    def _check_document(self, variables: dict[str, Any]) -> None:
        context = self._context
        if "\0" in (context.query or "") or _NUL.search(context.query or ""):
            raise GraphQLError("the query holds a NUL character")
        if context.graphql_document is not None:
            _check_numbers(context.graphql_document)
            self._varies = check_cost(self._schema, context.graphql_document, variables, LIMITS)


def _check_numbers(document: DocumentNode) -> None:
    """Python refuses to read a number of some thousand digits, in words of its own; no type here holds one."""
    token = document.loc.start_token if document.loc else None
    while token is not None:
        if token.kind in (TokenKind.INT, TokenKind.FLOAT) and len(token.value or "") > MAX_DIGITS:
            raise GraphQLError(f"a number has more than {MAX_DIGITS} digits")
        token = token.next
