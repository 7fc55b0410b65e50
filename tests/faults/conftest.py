"""The scenes of this suite's scenarios, and the table that it ends with."""

import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from databases import fresh_database
from fixtures_fleet import backends_of
from fleet import Fleet
from target import Target

from tests.faults.fault import Armed, Fault
from tests.faults.kills import Point
from tests.faults.ledger import Tally, printed
from tests.faults.scene import Scene, settings

_tallies = pytest.StashKey[list[Tally]]()
_faults = pytest.StashKey[set[Fault]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_tallies] = []
    config.stash[_faults] = set()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The faults of all tests that will be run: each service carries those of its kind from its start."""
    for item in items:
        callspec = getattr(item, "callspec", None)
        for value in callspec.params.values() if callspec else ():
            if isinstance(value, Point):
                config.stash[_faults].add(value.fault)
            if isinstance(value, Fault):
                config.stash[_faults].add(value)


@pytest.fixture(scope="session")
def tallies(pytestconfig: pytest.Config) -> list[Tally]:
    """Where scenarios leave their figures."""
    return pytestconfig.stash[_tallies]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def scene(
    request: pytest.FixtureRequest,
    postgres: str,
    template: str,
    tmp_path_factory: pytest.TempPathFactory,
    tallies: list[Tally],
) -> AsyncIterator[Scene]:
    """A deployment on the profile that the test names, shared by the scenarios that leave no trace."""
    async with (
        fresh_database(postgres, template) as database,
        backends_of(request, request.param, database) as backends,
        Fleet(backends, tmp_path_factory.mktemp("fleet"), settings()) as fleet,
        Target() as target,
    ):
        faults = {
            fault: Armed(fault, fleet.folder / f"fault-{n}")
            for n, fault in enumerate(request.config.stash[_faults])
        }
        scene = Scene(fleet, target, tallies, faults)
        await scene.prepare()
        yield scene


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several test processes hands its figures to the one that prints them."""
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["tallies"] = [dataclasses.asdict(tally) for tally in config.stash[_tallies]]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    handed = getattr(node, "workeroutput", {}).get("tallies", ())
    node.config.stash[_tallies] += [Tally(**figures) for figures in handed]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if tallies := config.stash[_tallies]:
        terminalreporter.section("faults")
        for line in printed(tallies):
            terminalreporter.write_line(line)
