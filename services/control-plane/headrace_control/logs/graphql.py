"""Searching and following logs in GraphQL."""

import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime

import strawberry
from headrace.messages import LogLevel, LogRecord

from headrace_control.graphql.context import Info
from headrace_control.graphql.fields import query, subscription
from headrace_control.graphql.pages import Page, page
from headrace_control.graphql.scalars import JSON, read_id
from headrace_control.logs.service import LogFilter
from headrace_control.pages import DEFAULT_PAGE

strawberry.enum(LogLevel, description="How severe a record is, from DEBUG up to ERROR.")


@strawberry.type(name="LogRecord", description="One line about a run, redacted.")
class LogRecordType:
    id: strawberry.ID
    run_id: strawberry.ID
    at: datetime
    level: LogLevel
    message: str
    step: str | None
    attempt: int | None
    context: JSON

    @classmethod
    def of(cls, record: LogRecord) -> "LogRecordType":
        return cls(
            id=strawberry.ID(str(record.id)),
            run_id=strawberry.ID(str(record.run_id)),
            at=record.at,
            level=record.level,
            message=record.message,
            step=record.step,
            attempt=record.attempt,
            context=JSON(record.context),
        )


@strawberry.input(name="LogFilter", description="Which records; what is not given does not narrow.")
class LogFilterInput:
    words: str = strawberry.field(default="", description="Whole words of the message, all of them.")
    level: LogLevel | None = strawberry.field(default=None, description="The least severe level wanted.")
    run: strawberry.ID | None = None
    step: str | None = strawberry.field(default=None, description="Its key.")
    since: datetime | None = strawberry.field(default=None, description="Then or later.")
    until: datetime | None = strawberry.field(default=None, description="Before then.")

    def wanted(self) -> LogFilter:
        run_id = None if self.run is None else read_id(self.run, "run")
        return LogFilter(self.words, self.level, run_id, self.step, self.since, self.until)


@strawberry.type
class LogsQuery:
    @query
    async def logs(
        self,
        info: Info,
        filter: LogFilterInput | None = None,  # noqa: A002
        first: int = DEFAULT_PAGE,
        after: str | None = None,
    ) -> Page[LogRecordType]:
        """Log records, newest first."""
        wanted = filter.wanted() if filter else LogFilter()
        found = await info.context.services.logs.search(info.context.caller, wanted, first, after)
        return page(found, LogRecordType.of)


@strawberry.type
class LogsSubscription:
    @subscription
    async def log_tail(
        self,
        info: Info,
        filter: LogFilterInput | None = None,  # noqa: A002
    ) -> AsyncGenerator[LogRecordType, None]:
        """Log records as they come, oldest first, beginning at `since` if it is given."""
        wanted = filter.wanted() if filter else LogFilter()
        tail = info.context.services.logs.tail(info.context.caller, wanted)
        async with contextlib.aclosing(tail) as records:
            async for record in records:
                yield LogRecordType.of(record)
