"""How slices declare their fields."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import strawberry
from headrace.errors import HeadraceError
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver

from headrace_control.graphql.failures import failure_of


class TypedFailures(FieldExtension):
    """Answers an expected error as a member of the payload."""

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        try:
            return await next_(source, info, **kwargs)
        except HeadraceError as error:
            failure = failure_of(error)
            if failure is None:
                raise
            return failure


def mutation(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A mutation whose payload is a union of its result and `Failed`; its docstring is its description."""
    return strawberry.mutation(
        resolver=resolver, description=_description(resolver), extensions=[TypedFailures()]
    )


def query(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A field of Query; its docstring is its description. Errors go to the answer's `errors`."""
    return strawberry.field(resolver=resolver, description=_description(resolver))


def field(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A field of an object that has to be looked up; its docstring is its description."""
    return strawberry.field(resolver=resolver, description=_description(resolver))


def subscription(resolver: Callable[..., AsyncIterator[Any]]) -> Any:
    """A field of Subscription; its docstring is its description."""
    return strawberry.subscription(resolver=resolver, description=_description(resolver))


def _description(resolver: Callable[..., Any]) -> str:
    return " ".join((resolver.__doc__ or "").split())
