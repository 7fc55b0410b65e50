"""Wherever the control plane calls what a tenant names, base URLs and token endpoints, the egress policy holds."""

import socket
from typing import Any

import pytest

from tests.integration.control_plane.conftest import Client
from tests.integration.control_plane.designs import TEST_CONNECTION, create_app, create_connection
from tests.journal_server import JournalServer, answering

# The policy of these tests opens 127.0.0.0/8.
FORBIDDEN = (
    "http://10.0.0.1/",
    "http://0:{port}/",
    "http://[::]:{port}/",
    "http://[::ffff:10.0.0.1]/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[64:ff9b:1::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://169.254.169.254/latest/",
    "http://0xA9FEA9FE/latest/",
    "http://１６９.254.169.254/latest/",
    "http://[fd00:ec2::254]/latest/",
    "http://100.100.100.200/latest/",
)


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The address of every TCP connection that is begun in this process."""
    addresses: list[str] = []
    connect = socket.socket.connect

    def recorded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            addresses.append(str(address[0]))
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", recorded)
    return addresses


async def test_no_base_url_and_no_token_endpoint_leads_there(admin: Client, dialled: list[str]) -> None:
    async with JournalServer(answering(200, b"{}")) as server:
        for number, url in enumerate(FORBIDDEN):
            written = url.replace("{port}", str(server.port))
            for app, given, connection in (
                (f"base-{number}", {"baseUrl": written}, {}),
                (
                    f"token-{number}",
                    {"auth": {"kind": "OAUTH2", "tokenUrl": written, "grant": "CLIENT_CREDENTIALS"}},
                    {"config": {"clientId": "id"}, "secrets": {"clientSecret": "canary-5f2a9c"}},
                ),
            ):
                await create_app(admin, app, **given)
                made = await create_connection(admin, app, app, **connection)
                assert "code" not in made, made
                answer = (await admin(TEST_CONNECTION, name=app, method="GET", path=""))["testConnection"]
                wanted = "EGRESS_DENIED" if app.startswith("base") else "TOKEN_REFUSED"
                assert (answer["ok"], answer["errorCode"], answer["address"]) == (False, wanted, None)
        assert server.connections == 0
    assert not {"10.0.0.1", "0.0.0.0", "::", "169.254.169.254", "fd00:ec2::254", "100.100.100.200"} & set(
        dialled
    )
    assert not any("64:ff9b" in address or "2002:" in address for address in dialled)


@pytest.mark.parametrize("place", ["baseUrl", "tokenUrl"])
async def test_urls_that_readers_differ_about_are_not_saved(admin: Client, place: str) -> None:
    for url in (
        "https://user:password@shop.example/",
        "https://shop.example\\@evil.example/",
        "//shop.example/",
        "ftp://shop.example/",
        "https://shop.example /",
        "https://shop.example/ ",
        "https://shop.example:99999/",
        "https://[::1%25lo]/",
        "https://127.0.0.1%00.shop.example/",
    ):
        oauth2 = {"kind": "OAUTH2", "tokenUrl": url, "grant": "CLIENT_CREDENTIALS"}
        given: dict[str, Any] = {"baseUrl": url} if place == "baseUrl" else {"auth": oauth2}
        made = await create_app(admin, **given)
        assert made["code"] == "INVALID_INPUT", url
        assert [problem["code"] for problem in made["problems"]] == ["BAD_URL"]
