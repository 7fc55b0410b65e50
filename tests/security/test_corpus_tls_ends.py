"""An answer over TLS that was cut off on its way is not taken for a whole one, on either loop that we run on."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
from certificates import self_signed
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools

from tests.security.hostile_server import CORPORA, load

CASES = load(CORPORA / "tls_ends.yaml")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@dataclass
class Target:
    """Answers one connection after another, in a thread: only there can a session be left open on purpose."""

    listener: socket.socket
    tls: ssl.SSLContext
    authority: Path
    case: dict[str, Any] | None = None

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed in the end
            while True:
                connection, _ = self.listener.accept()
                with contextlib.suppress(OSError, ssl.SSLError):
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        assert self.case is not None
        with self.tls.wrap_socket(connection, server_side=True) as tls:
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += tls.recv(4096)
            tls.sendall(self.case["send"].encode())
            match self.case["end"]:
                case "notify":
                    with contextlib.suppress(OSError, ssl.SSLError):
                        tls.unwrap()
                case "reset":
                    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                case "fin":
                    socket.socket.shutdown(tls, socket.SHUT_WR)
                    # A reset would come instead, were there something unread.
                    while socket.socket.recv(tls, 4096):
                        pass


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    certificate, key = self_signed(tmp_path_factory.mktemp("tls"), "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        target = Target(listener, tls, certificate)
        threading.Thread(target=target.serve, daemon=True).start()
        yield target
        listener.shutdown(socket.SHUT_RDWR)


async def call(target: Target) -> CallResult | CallFailure:
    pools = OutboundPools(
        EgressPolicy((Opening.parse("127.0.0.0/8"),)),
        tls=ssl.create_default_context(cafile=str(target.authority)),
    )
    try:
        asked = OutboundCall("POST", f"https://localhost:{target.port}/", body=b"x", timeout=20)
        return await OutboundClient(pools).send(asked, tenant_id="tenant")
    finally:
        await pools.aclose()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda v: v.name)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_an_end_over_tls(target: Target, case: dict[str, Any], loop: str, version: ssl.TLSVersion) -> None:
    target.case = case
    # The least may not pass the most in between.
    target.tls.minimum_version, target.tls.maximum_version = ssl.TLSVersion.TLSv1_2, version
    target.tls.minimum_version = version
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        outcome = runner.run(call(target))
    if case["body"] is None:
        assert isinstance(outcome, CallFailure), outcome
        assert (outcome.code, outcome.sent) == ("CONNECTION_LOST", True)
    else:
        assert isinstance(outcome, CallResult), outcome
        assert outcome.body == case["body"]
