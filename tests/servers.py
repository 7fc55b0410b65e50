"""Servers for tests: given by an environment variable, else installed here, else in a container.

A test that finds none skips and names the command that gets one; with HEADRACE_REQUIRE_SERVICES=1 it fails.
"""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType

import pytest

_LOCAL = Path(__file__).resolve().parents[1] / "deploy" / "local"


@contextlib.contextmanager
def running(name: str, container: Callable[[], AbstractContextManager[str]] | None = None) -> Iterator[str]:
    """The address of a server of this kind; `name` is its module in deploy/local."""
    variable = f"HEADRACE_TEST_{name.upper()}_URL"
    if given := os.environ.get(variable):
        yield given
        return
    module = local(name)
    if module.program():
        with module.running() as url:
            yield url
    elif container is not None and docker_answers():
        with container() as url:
            yield url
    else:
        missing(f"no {name} server: python deploy/local install {name} (or set {variable})")


def local(name: str) -> ModuleType:
    """A module of deploy/local, which is a folder of scripts rather than a package."""
    if str(_LOCAL) not in sys.path:
        sys.path.append(str(_LOCAL))
    return importlib.import_module(name)


def docker_answers() -> bool:
    """Whether there is an engine; a client alone says nothing."""
    import docker

    try:
        with contextlib.closing(docker.from_env(timeout=5)) as client:
            return bool(client.ping())
    except docker.errors.DockerException:
        return False


def missing(reason: str) -> None:
    """Skip, or fail where every server is required."""
    if os.environ.get("HEADRACE_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
