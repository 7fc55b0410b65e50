"""What every resolver has at hand."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import strawberry
from headrace.errors import Unauthenticated

from headrace_control.answer_room import ANSWER
from headrace_control.auth.caller import Caller
from headrace_control.graphql.loaders import Loaders
from headrace_control.services import Services

Recheck: TypeAlias = Callable[[], Awaitable[None]]


class Context:
    """Of one HTTP request, or of one websocket for as long as it is open.

    `connection_params` is what a websocket's connection_init brought (set by Strawberry). `recheck` raises
    `Unauthenticated` once a websocket's key has ended; it is asked before each operation.
    """

    def __init__(
        self, services: Services, caller: Caller | None = None, recheck: Recheck | None = None
    ) -> None:
        self.services = services
        self.recheck = recheck
        self.connection_params: Any = None
        self._caller: Caller | None = None
        self._loaders: WeakKeyDictionary[Any, Loaders] = WeakKeyDictionary()
        if caller is not None:
            self.identify(caller)

    def identify(self, caller: Caller) -> None:
        """From now on the context acts for `caller`."""
        if caller != self._caller:
            self._caller = caller
            self._loaders.clear()

    @property
    def caller(self) -> Caller:
        if self._caller is None:
            raise Unauthenticated("a valid API key is needed")
        return self._caller

    @property
    def loaders(self) -> Loaders:
        """Of the answer that is being made: what it looks up is held for it alone. Made when first asked for: most
        operations look nothing up."""
        answer = ANSWER.get() or self
        loaders = self._loaders.get(answer)
        if loaders is None:
            loaders = self._loaders[answer] = Loaders(self.services, self.caller)
        return loaders


Info: TypeAlias = strawberry.Info[Context, None]
