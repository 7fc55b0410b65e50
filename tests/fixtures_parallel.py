"""How two processes share the tests (`make test PROCESSES=2`, pytest-xdist): those with fleets in one, the rest in
the other, each in the order in which one process runs them."""

from collections.abc import Sequence
from typing import Any

import pytest

FLEETS = ("tests/e2e/", "tests/faults/")


def half_of(nodeid: str) -> str:
    return "fleets" if nodeid.startswith(FLEETS) else "rest"


def without_parameters(nodeid: str) -> str:
    return nodeid.partition("[")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class Halves(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return half_of(nodeid)

        def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
            """Names may differ in their parameters, which hold ports and keys made anew: by their places they are
            one. A test's parameters all run in one process, so that none is left out in whatever order they are.
            """
            for names in self.registered_collections.values():
                if [without_parameters(n) for n in names] == [without_parameters(n) for n in collection]:
                    collection = names
                break
            super().add_node_collection(node, collection)

    return Halves(config, log)
