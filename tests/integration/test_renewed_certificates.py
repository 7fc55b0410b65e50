"""Certificates of the internal API that are renewed while services run, as cert-manager does it."""

import asyncio
import contextlib
import shutil
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import headrace.tls_files
import pytest
from certificates import plainly_signed, self_signed
from headrace.tls_files import TlsFiles
from headrace_control.servers import uvicorn_tls
from headrace_control.web.server import http_server
from headrace_runner.own_tls import own_tls
from starlette.responses import Response


@pytest.fixture(autouse=True)
def period(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headrace.tls_files, "PERIOD_SECONDS", 0.01)


@contextlib.asynccontextmanager
async def going_on(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    yield
    assert not task.done()
    task.cancel()


async def shown(port: int) -> bytes:
    """The certificate that a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


async def test_the_runners_port_shows_a_renewed_certificate(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    certificate, key = self_signed(tmp_path, "localhost")
    renewed, its_key = self_signed(tmp_path / "new", "localhost")
    old = der(certificate)
    files = TlsFiles(certificate, key)
    server = http_server(Response("x"), "127.0.0.1", 0, max_message=1, **uvicorn_tls(files))
    server.config.load()
    assert server.config.ssl is not None
    async with going_on(server.serve()), asyncio.timeout(20):
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with going_on(files.keep_renewed(server.config.ssl)):
            shutil.copy(renewed, certificate)  # and its key is not there yet
            for _ in range(20):
                assert await shown(port) == old
            shutil.copy(its_key, key)
            while await shown(port) == old:
                await asyncio.sleep(0.01)
            assert await shown(port) == der(renewed)


async def test_a_runner_shows_a_renewed_certificate_and_knows_a_new_authority(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    server, server_key = self_signed(tmp_path, "localhost")
    next_authority, next_server, next_key = plainly_signed(tmp_path / "new", "localhost")
    mine, my_key = self_signed(tmp_path, "runner")
    renewed, its_key = self_signed(tmp_path / "new", "runner-two")
    old, new, seen = der(mine), der(renewed), set[bytes]()
    authority = tmp_path / "ca.crt"
    shutil.copy(server, authority)
    files = TlsFiles(mine, my_key, authority)
    tls = own_tls(files)
    assert tls is not None
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(mine))
    serving.load_verify_locations(renewed)
    serving.load_cert_chain(server, server_key)
    serving.verify_mode = ssl.CERT_REQUIRED

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.add(writer.get_extra_info("ssl_object").getpeercert(binary_form=True))
        writer.close()

    async with await asyncio.start_server(meet, "127.0.0.1", 0, ssl=serving) as listening:
        port = listening.sockets[0].getsockname()[1]

        async def call() -> None:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=tls, server_hostname="localhost"
            )
            await reader.read()
            writer.close()

        async with going_on(files.keep_renewed(tls)), asyncio.timeout(20):
            await call()
            assert seen == {old}
            shutil.copy(renewed, mine)
            shutil.copy(its_key, my_key)
            while new not in seen:
                await call()
            serving.load_cert_chain(next_server, next_key)
            shutil.copy(next_authority, authority)
            while True:
                try:
                    await call()
                except ssl.SSLError:
                    continue  # the authority was not taken up yet
                break
