"""Services leave while a server does not answer, and does not refuse."""

import asyncio

import pytest
from fleet import Backends, Fleet
from proxy import dialler, proxied, through


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_services_leave_a_postgres_that_does_not_answer(fleet: Fleet, backends: Backends) -> None:
    """The network drops every packet. Nobody has to kill them."""
    url = backends.database_url
    async with proxied(dialler(url)) as proxy:
        cut_off = {"HEADRACE_DATABASE_URL": through(url, proxy.port), "HEADRACE_DRAIN_SECONDS": "1"}
        services = [await fleet.control_plane(**cut_off), await fleet.reporter(**cut_off)]
        proxy.stall()
        assert await asyncio.gather(*(service.stop() for service in services)) == [0, 0]
