"""What goes on around an operation: its limits, the key of its websocket, its time, the shape of its errors.

This stands in for Strawberry's extensions, which are made, looked through and wrapped anew for each operation. That
took longer than all that was done in them.
"""

import asyncio
from contextvars import ContextVar
from types import TracebackType
from typing import Any

from graphql import ExecutionResult as CoreResult
from graphql import GraphQLError
from headrace.errors import HeadraceError
from strawberry.extensions.runner import SchemaExtensionsRunner
from strawberry.types import ExecutionContext, ExecutionResult
from strawberry.types.graphql import OperationType

from headrace_control.graphql.context import Context
from headrace_control.graphql.errors import stable_error
from headrace_control.graphql.limits import OperationLimits

# The time limit around the operation that runs now. One on a websocket has no end before it is known to be no
# subscription, which may last.
DEADLINE: ContextVar[asyncio.Timeout | None] = ContextVar("DEADLINE", default=None)


class Operation(SchemaExtensionsRunner):
    """One operation, as Strawberry goes through it. `seconds` limits a query or a mutation on a websocket; one by POST
    has its own limit."""

    def __init__(self, context: ExecutionContext, limits: OperationLimits, seconds: float) -> None:
        super().__init__(context)
        self._limits, self._seconds = limits, seconds

    def operation(self) -> Any:
        return _Whole(self.execution_context)

    def parsing(self) -> Any:
        return _Parsing(self._limits)

    def validation(self) -> Any:
        return _Validation(self.execution_context, self._limits)

    def executing(self) -> Any:
        return _Execution(self.execution_context, self._seconds)

    def on_stream_result(self, result: Any) -> Any:
        return _Told(result)


class _Step:
    """A step without a beginning or an end of its own. `done` is for a step that nothing was raised in."""

    async def __aenter__(self) -> None:
        return

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.done()

    def done(self) -> None:
        return


class _Whole(_Step):
    def __init__(self, context: ExecutionContext) -> None:
        self._context = context

    def done(self) -> None:
        _give_errors_their_shape(self._context.result)


class _Parsing(_Step):
    def __init__(self, limits: OperationLimits) -> None:
        self._limits = limits

    async def __aenter__(self) -> None:
        self._limits.before_parsing()


class _Validation(_Step):
    """Refuses, too, what comes by a websocket whose key has ended since it was opened."""

    def __init__(self, context: ExecutionContext, limits: OperationLimits) -> None:
        self._context, self._limits = context, limits

    async def __aenter__(self) -> None:
        self._limits.before_validation()
        asked = self._context.context
        if isinstance(asked, Context) and asked.recheck is not None:
            try:
                await asked.recheck()
            except HeadraceError as error:
                self._context.pre_execution_errors = [GraphQLError(error.message, original_error=error)]

    def done(self) -> None:
        self._limits.after_validation()


class _Execution(_Step):
    def __init__(self, context: ExecutionContext, seconds: float) -> None:
        self._context, self._seconds = context, seconds
        self._deadline: asyncio.Timeout | None = None

    async def __aenter__(self) -> None:
        deadline = DEADLINE.get()
        if deadline is not None and self._context.operation_type is not OperationType.SUBSCRIPTION:
            deadline.reschedule(asyncio.get_running_loop().time() + self._seconds)
            self._deadline = deadline

    def done(self) -> None:
        if self._deadline is not None:
            self._deadline.reschedule(None)


class _Told(_Step):
    """One result of a subscription."""

    def __init__(self, result: Any) -> None:
        self._result = result

    async def __aenter__(self) -> None:
        _give_errors_their_shape(self._result)


def _give_errors_their_shape(result: object) -> None:
    if isinstance(result, CoreResult | ExecutionResult) and result.errors:
        result.errors = [stable_error(error) for error in result.errors]
