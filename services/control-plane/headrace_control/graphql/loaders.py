"""Batching of what lists refer to, so that a page costs one look-up per kind and not one per item."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from headrace.errors import NotFound
from strawberry.dataloader import DataLoader

from headrace_control.apps.model import App
from headrace_control.auth.caller import Caller
from headrace_control.graphql.batches import batch
from headrace_control.revisions.loaders import RevisionLoaders
from headrace_control.rollouts.loaders import RolloutLoaders
from headrace_control.runs.loaders import RunLoaders
from headrace_control.services import Services
from headrace_control.waits.loaders import WaitLoaders
from headrace_control.workflows.loaders import WorkflowLoaders

T = TypeVar("T")


class Loaders:
    """Of one caller. Nothing is remembered beyond a batch: a websocket's context lives long."""

    def __init__(self, services: Services, caller: Caller) -> None:
        self.workflows = WorkflowLoaders(services.workflow_reading, caller)
        self.rollouts = RolloutLoaders(services.rollouts, caller)
        self.runs = RunLoaders(services.runs, caller)
        self.revisions = RevisionLoaders(services.revisions, caller)
        self.waits = WaitLoaders(services.waits, caller)
        self.definitions = batch(lambda ids: services.actions.definitions(caller, ids))
        self.apps: DataLoader[UUID, App] = by_id("app", lambda ids: services.apps.by_id(caller, ids))


def by_id(what: str, find: Callable[[Sequence[UUID]], Awaitable[dict[UUID, T]]]) -> DataLoader[UUID, T]:
    """A loader over a look-up by ids; an id that is not found loads as `NotFound`."""

    async def load(ids: list[UUID]) -> list[T | BaseException]:
        found = await find(list(dict.fromkeys(ids)))
        return [found.get(one) or NotFound(what) for one in ids]

    return DataLoader(load_fn=load, cache=False)
