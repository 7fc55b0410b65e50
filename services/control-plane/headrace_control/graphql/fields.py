"""How slices declare their fields."""

import contextlib
import functools
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any

import strawberry
from headrace.errors import Forbidden, HeadraceError, NotFound
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
            # What is another tenant's is not found, too: whoever looks for it leaves a trace with its own tenant.
            if isinstance(error, Forbidden | NotFound):
                await _refused(info, kwargs, error)
            failure = failure_of(error)
            if failure is None:
                raise
            return failure


class Guarded(FieldExtension):
    """Records that a caller was refused what it asked to see."""

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **kwargs: Any
    ) -> Any:
        try:
            return await next_(source, info, **kwargs)
        except Forbidden as error:
            await _refused(info, kwargs, error)
            raise


async def _refused(info: strawberry.Info, given: Mapping[str, Any], error: HeadraceError) -> None:
    context: Any = info.context
    action = action_of(info.field_name) if info.operation.operation.value == "mutation" else info.field_name
    await context.services.audit.refused(context.caller, action, _target(action, given), error)


def action_of(field: str) -> str:
    """A mutation's name as the audit has it: `createApiKey` is `api_key.create`."""
    if field in _NAMED:
        return _NAMED[field]
    verb, noun = re.fullmatch(r"([a-z]+)(\w*)", field).groups()  # type: ignore[union-attr]
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", noun).lower()
    return f"{words}.{verb}" if words else verb


def _target(action: str, given: Mapping[str, Any]) -> str:
    """What the arguments name, as far as they do."""
    names = [str(value) for key, value in given.items() if key in _NAMING and isinstance(value, str)]
    return "/".join([action.partition(".")[0], *names])


# Mutations whose acts have other names.
_NAMED = {
    "startRuns": "run.start",
    "replayDeadLetters": "dead_letter.replay_group",
    "discardDeadLetters": "dead_letter.discard",
    "discardNobodysDeadLetters": "dead_letter.discard_nobodys",
    "moveRuns": "run.move",
    "rollBackRollout": "rollout.roll_back",
    "revokeInvitation": "member.revoke_invitation",
    "changeMemberRole": "member.change_role",
    "revokeSessions": "member.revoke_sessions",
}
# Arguments that say what a mutation is about; the others may hold anything.
_NAMING = ("id", "run_id", "app", "name", "action", "step", "workflow", "tenant", "member")


def mutation(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A mutation whose payload is a union of its result and `Failed`; its docstring is its description."""
    return strawberry.mutation(
        resolver=resolver, description=_description(resolver), extensions=[TypedFailures()]
    )


def query(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A field of Query; its docstring is its description. Errors go to the answer's `errors`."""
    return strawberry.field(resolver=resolver, description=_description(resolver), extensions=[Guarded()])


def field(resolver: Callable[..., Awaitable[Any]]) -> Any:
    """A field of an object that has to be looked up; its docstring is its description."""
    return strawberry.field(resolver=resolver, description=_description(resolver))


def subscription(resolver: Callable[..., AsyncGenerator[Any, None]]) -> Any:
    """A field of Subscription; its docstring is its description. That a caller was refused it is recorded: Strawberry's
    extensions of fields do not see into subscriptions."""

    @functools.wraps(resolver)
    async def told(source: Any, info: strawberry.Info, **given: Any) -> AsyncGenerator[Any, None]:
        try:
            async with contextlib.aclosing(resolver(source, info, **given)) as values:
                async for value in values:
                    yield value
        except (Forbidden, NotFound) as error:
            await _refused(info, given, error)
            raise

    return strawberry.subscription(resolver=told, description=_description(resolver))


def _description(resolver: Callable[..., Any]) -> str:
    return " ".join((resolver.__doc__ or "").split())
