"""What the fleet makes of what the operators' port answers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from headrace.errors import Unavailable
from headrace_cli.fleet.signals import Figures, SignalsClient
from headrace_control.scaling.model import PoolFigures, Scaling

KEYS = {"load": 5, "backlog": 3, "oldest_seconds": 1.5, "runs_in_flight": 2, "held": 2, "capacity": 200}


@dataclass
class Port:
    """An operators' port that answers as the test says."""

    url: str = ""
    status: int = 200
    body: str = ""

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, text=self.body)


@pytest.fixture
async def port() -> AsyncIterator[Port]:
    port, app = Port(), web.Application()
    app.router.add_get("/scaling", port.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield port
    await runner.cleanup()


async def test_figures_are_read_from_the_control_planes_keys(port: Port) -> None:
    assert set(KEYS) <= set(Scaling.__dataclass_fields__)
    port.body = web.json_response({**KEYS, "tenants": []}).text or ""
    async with SignalsClient(port.url) as client:
        assert await client.read() == Figures(**KEYS)


async def test_each_pool_is_read_by_itself(port: Port) -> None:
    """Those of all pools are a release's that knows none, and the default pool's then."""
    assert set(KEYS) <= set(PoolFigures.__dataclass_fields__)
    pools = {"default": {**KEYS, "load": 1}, "eu": {**KEYS, "load": 4}}
    port.body = web.json_response({**KEYS, "pools": pools}).text or ""
    for pool, load in (("default", 1), ("eu", 4)):
        async with SignalsClient(port.url, pool) as client:
            assert (await client.read()).load == load
    async with SignalsClient(port.url, "us") as client:
        with pytest.raises(Unavailable, match="no runner pool us"):
            await client.read()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (503, "{}", "answered 503"),
        (404, "canary", "answered 404"),
        (200, "canary", "did not answer with figures"),
        (200, '{"load": "canary"}', "did not answer with figures"),
    ],
)
async def test_what_says_nothing_is_no_figure(port: Port, status: int, body: str, words: str) -> None:
    port.status, port.body = status, body
    async with SignalsClient(port.url) as client:
        with pytest.raises(Unavailable, match=words) as raised:
            await client.read()
    assert "canary" not in raised.value.message


async def test_a_port_that_is_not_there_is_no_figure() -> None:
    async with SignalsClient("http://127.0.0.1:1") as client:
        with pytest.raises(Unavailable, match="can not be reached"):
            await client.read()
