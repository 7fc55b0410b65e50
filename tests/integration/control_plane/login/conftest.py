"""A provider of identities on this machine, a deployment that trusts it, and people."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import uvicorn
from headrace_control.settings import ControlPlaneSettings
from loopback import loopback
from pydantic import SecretStr

from tests.integration.control_plane.login.logging_in import ALLOWED, Person
from tests.issuer import CLIENT_ID, CLIENT_SECRET, Issuer


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer()
    with loopback() as listening:
        issuer.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(issuer.app(), lifespan="off", log_config=None))
        task = asyncio.create_task(server._serve(sockets=[listening]))
        yield issuer
        server.should_exit = True
        await task


@pytest.fixture
def settings(settings: ControlPlaneSettings, issuer: Issuer) -> ControlPlaneSettings:
    return settings.model_copy(
        update={
            "oidc_issuer": issuer.url,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": SecretStr(CLIENT_SECRET),
            "login_redirects": ALLOWED,
        }
    )


@pytest.fixture
async def people(issuer: Issuer, http: httpx.AsyncClient) -> AsyncIterator[Any]:
    """Makes people, each with a browser of their own."""
    async with contextlib.AsyncExitStack() as stack:

        async def person(**given: Any) -> Person:
            browser = httpx.AsyncClient(transport=http._transport, base_url="http://test")
            return Person(issuer, await stack.enter_async_context(browser), **given)

        yield person


@pytest.fixture
async def kim(people: Any) -> Person:
    return await people()
