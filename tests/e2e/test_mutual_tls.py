"""The internal API over TLS: runners are known by certificates as well, and others do not get as far as asking."""

from pathlib import Path

import httpx
import pytest
from certificates import self_signed
from designer import Designer
from fleet import Fleet
from headrace.outbound.handshake import verifying
from target import Target


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_runs_go_through_and_strangers_do_not(fleet: Fleet, tmp_path: Path) -> None:
    server, server_key = self_signed(tmp_path, "localhost")
    known, known_key = self_signed(tmp_path, "runner")
    stranger, stranger_key = self_signed(tmp_path, "stranger")
    await fleet.control_plane(
        HEADRACE_INTERNAL_TLS_CERTIFICATE_FILE=str(server),
        HEADRACE_INTERNAL_TLS_KEY_FILE=str(server_key),
        HEADRACE_INTERNAL_TLS_CLIENT_CA_FILE=str(known),
    )
    url = f"https://localhost:{fleet.internal_port}"
    await fleet.runner(
        HEADRACE_CONTROL_PLANE_URL=url,
        HEADRACE_CONTROL_PLANE_CA_FILE=str(server),
        HEADRACE_CLIENT_CERTIFICATE_FILE=str(known),
        HEADRACE_CLIENT_KEY_FILE=str(known_key),
    )
    await fleet.reporter()
    designer = Designer(fleet)
    async with Target() as target:
        await designer.app("shop", target.url)
        await designer.action("shop", "read", "GET", "/anything")
        await designer.publish({"workflow": "read", "steps": [{"key": "read", "action": "shop/read"}]})
        run = await designer.ended(await designer.start("read"))
    assert run["status"] == "SUCCESS", run
    for certificate in (None, (stranger, stranger_key)):
        tls = verifying(str(server))
        if certificate is not None:
            tls.load_cert_chain(*certificate)
        async with httpx.AsyncClient(verify=tls, trust_env=False) as http:
            with pytest.raises(httpx.TransportError):
                await http.post(f"{url}/internal/sessions", json={})
