"""How two processes share the tests (`make test PROCESSES=2`, pytest-xdist): those with fleets in one, the rest in
the other, each in the order in which one process runs them."""

import re
from collections.abc import Sequence
from typing import Any

import pytest

FLEETS = ("tests/e2e/", "tests/faults/")
# What may differ in the name of a test that two processes have collected: a port, an id, a time.
NUMBER = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
GZIP = b"\x1f\x8b"


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """The time of day is in the header of what was compressed."""
    return argname if isinstance(val, bytes) and GZIP in val else None


def half_of(nodeid: str) -> str:
    return "fleets" if nodeid.startswith(FLEETS) else "rest"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class Halves(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return half_of(nodeid)

        def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
            """Every process is asked for a test by the name that the first one gave it."""
            for names in self.registered_collections.values():
                if [NUMBER.sub("0", n) for n in names] == [NUMBER.sub("0", n) for n in collection]:
                    collection = names
                break
            super().add_node_collection(node, collection)

    return Halves(config, log)
