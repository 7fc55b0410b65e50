"""Inside a service's process: a named place of its code fails at a chosen moment, as the environment says.

A place is `package.module:name.name`. It is changed right after its module was executed, before anybody can have
imported it from there. One that does not exist ends the process: a scenario whose fault never happens would pass
for nothing. The standard library alone is used, and nothing is read but these variables:

- HEADRACE_TEST_FAULTS: a list of faults, each the fields of `Spec`.
- HEADRACE_TEST_CONSTANTS: an object of places and numbers; a `timedelta` there is given as seconds.
- HEADRACE_TEST_REPLACEMENTS: an object of places and of what stands there instead, a place too.
"""

import asyncio
import functools
import importlib
import inspect
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

FAULTS, CONSTANTS, REPLACEMENTS = (
    "HEADRACE_TEST_FAULTS",
    "HEADRACE_TEST_CONSTANTS",
    "HEADRACE_TEST_REPLACEMENTS",
)

_within: ContextVar[frozenset[str]] = ContextVar("_within", default=frozenset())


@dataclass(frozen=True)
class Spec:
    """One fault. It happens once, in whichever process comes first: `marker` is a file that says that it did.

    Calls count once the file `armed` is there. `when` is "before" or "after" the `nth` call of `place`, or of every
    call where `nth` is 0. Only those count whose arguments, as text, hold every part of `given`, that are made from
    within the place `within`, and after the place `since` was called. `what` is "kill", "stop", "delay"
    (`seconds`) or "raise" (`error`, a place).
    """

    place: str
    when: str
    nth: int
    what: str
    marker: str
    armed: str
    given: Sequence[str] = ()
    within: str = ""
    since: str = ""
    seconds: float = 0.0
    error: str = ""


def find(place: str) -> tuple[Any, str]:
    """Who owns the place, and its name there. Raises `LookupError` that names the place."""
    module, _, path = place.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    try:
        for each in owners:
            owner = getattr(owner, each)
        vars(owner)[name]
    except (AttributeError, KeyError):
        raise LookupError(f"there is no place {place}: name one that exists") from None
    return owner, name


def install() -> None:
    """Have the named places changed as their modules are imported."""
    changes: dict[str, list[Callable[[], None]]] = {}

    def later(place: str, change: Callable[[], None]) -> None:
        changes.setdefault(place.partition(":")[0], []).append(change)

    for place, value in json.loads(os.environ.get(CONSTANTS, "{}")).items():
        later(place, functools.partial(_set, place, value))
    for place, other in json.loads(os.environ.get(REPLACEMENTS, "{}")).items():
        later(place, functools.partial(_replace, place, other))
    for fields in json.loads(os.environ.get(FAULTS, "[]")):
        spec = Spec(**fields)
        fault = _Fault(spec)
        later(spec.place, functools.partial(_wrap, spec.place, fault.around))
        if spec.within:
            later(spec.within, functools.partial(_wrap, spec.within, fault.inside))
        if spec.since:
            later(spec.since, functools.partial(_wrap, spec.since, fault.after))
    if changes:
        sys.meta_path.insert(0, _Finder(changes))


class _Finder:
    """Finds modules as the others do, and has those that are to be changed changed once they were executed."""

    def __init__(self, changes: Mapping[str, Sequence[Callable[[], None]]]) -> None:
        self._changes = changes

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in self._changes:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)):
                self._watch(spec, self._changes[name])
                return spec
        return None

    def _watch(self, spec: ModuleSpec, changes: Sequence[Callable[[], None]]) -> None:
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for change in changes:
                try:
                    change()
                except Exception as error:
                    print(f"fault injection: {error!r}", file=sys.stderr, flush=True)
                    os._exit(86)

        loader.exec_module = exec_module


def _set(place: str, value: float) -> None:
    owner, name = find(place)
    setattr(owner, name, timedelta(seconds=value) if isinstance(vars(owner)[name], timedelta) else value)


def _replace(place: str, other: str) -> None:
    owner, name = find(place)
    its_owner, its_name = find(other)
    replacement = vars(its_owner)[its_name]
    if inspect.isfunction(replacement):
        # What is replaced can be asked for as the replacement's `original`.
        replacement.original = vars(owner)[name]  # type: ignore[attr-defined]
    setattr(owner, name, replacement)


def _wrap(place: str, wrapper: Callable[[Any], Any]) -> None:
    owner, name = find(place)
    setattr(owner, name, wrapper(vars(owner)[name]))


class _Fault:
    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._calls = 0
        self._since = not spec.since

    def inside(self, function: Any) -> Any:
        """`function`, so that what it calls knows that it is within it."""

        @functools.wraps(function)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            token = _within.set(_within.get() | {self._spec.within})
            try:
                return await function(*args, **kwargs)
            finally:
                _within.reset(token)

        return wrapped

    def after(self, function: Any) -> Any:
        """`function`, so that the fault knows that it was called."""

        @functools.wraps(function)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = await function(*args, **kwargs)
            self._since = self._since or os.path.exists(self._spec.armed)
            return result

        return wrapped

    def around(self, function: Any) -> Any:
        """`function`, with the fault before or after the call that is meant."""
        before = self._spec.when == "before"

        @functools.wraps(function)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            meant = self._is_meant(args, kwargs)
            if meant and before:
                await self._strike_and_wait()
            result = await function(*args, **kwargs)
            if meant and not before:
                await self._strike_and_wait()
            return result

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            meant = self._is_meant(args, kwargs)
            if meant and before:
                self._strike()
            result = function(*args, **kwargs)
            if meant and not before:
                self._strike()
            return result

        return awaited if inspect.iscoroutinefunction(function) else called

    def _is_meant(self, args: Any, kwargs: Any) -> bool:
        spec = self._spec
        if not self._since or (spec.within and spec.within not in _within.get()):
            return False
        if not os.path.exists(spec.armed):  # before what is dearer: a process may carry many faults
            return False
        if spec.given:
            text = repr((args, kwargs))
            if not all(part in text for part in spec.given):
                return False
        self._calls += 1
        return spec.nth in (0, self._calls)

    async def _strike_and_wait(self) -> None:
        if self._spec.what == "delay":
            self._mark()
            await asyncio.sleep(self._spec.seconds)
        else:
            self._strike()

    def _strike(self) -> None:
        first = self._mark()
        match self._spec.what:
            case "delay":
                time.sleep(self._spec.seconds)
            case _ if not first and self._spec.nth:
                pass  # a process beside this one, or before it, had it
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
            case "raise":
                owner, name = find(self._spec.error)
                raise vars(owner)[name]("injected by a test")
            case other:
                raise ValueError(f"no such fault: {other}")

    def _mark(self) -> bool:
        """Say that it happened; whether it did so for the first time."""
        try:
            os.close(os.open(self._spec.marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        except FileExistsError:
            return False
        return True
