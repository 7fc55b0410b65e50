"""Fixtures of more than one suite here."""

from collections.abc import AsyncIterator

import pytest
from headrace.logstore.port import LogStore

from tests.contract.log_stores import opened


@pytest.fixture(params=[pytest.param("mongodb", marks=pytest.mark.mongodb), "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    name = {"mongodb": "mongodb_database", "postgres": "database"}[request.param]
    return str(request.getfixturevalue(name))


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[LogStore]:
    async with opened(store_url) as store:
        yield store


@pytest.fixture
def many(store_url: str) -> int:
    """More records than a store should have to look at for one page. FerretDB reads them all for each."""
    return 2_500 if store_url.startswith("mongodb") else 10_000
