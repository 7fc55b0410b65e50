"""Which certificates are good does not hang on the Python that a runner runs on."""

import ssl
from pathlib import Path

from certificates import plainly_signed
from headrace.outbound.call import CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.handshake import bounded, verifying
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools

from tests.journal_server import JournalServer, answering

TENANT = "0190a0a0-0000-7000-8000-000000000001"


async def test_a_certificate_that_does_not_say_what_its_key_is_for(tmp_path: Path) -> None:
    authority, certificate, key = plainly_signed(tmp_path, "localhost")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    pools = OutboundPools(EgressPolicy((Opening(None, "localhost"),)), tls=verifying(str(authority)))
    async with JournalServer(answering(200, b"ok"), tls=tls) as server:
        call = OutboundCall("GET", f"https://localhost:{server.port}/")
        outcome = await OutboundClient(pools).send(call, tenant_id=TENANT)
        await pools.aclose()
    assert isinstance(outcome, CallResult), outcome


def test_targets_are_verified_by_the_same_rules() -> None:
    context = bounded()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.verify_flags == ssl.VERIFY_X509_TRUSTED_FIRST
