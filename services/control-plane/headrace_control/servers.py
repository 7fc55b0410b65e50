"""The HTTP servers of a control plane: the public face, the runners', and the operators' where it is asked for."""

import ssl
from typing import Any

import uvicorn
from fastapi import FastAPI

from headrace_control.graphql.view import MAX_BODY
from headrace_control.settings import ControlPlaneSettings
from headrace_control.web.server import http_server


def http_servers(
    settings: ControlPlaneSettings, public: FastAPI, internal: FastAPI, operators: FastAPI | None
) -> list[uvicorn.Server]:
    """Not started; each at its address of the settings."""

    def served(app: FastAPI, host: str, port: int, **more: Any) -> uvicorn.Server:
        return http_server(app, host, port, max_message=MAX_BODY, grace=settings.drain_seconds, **more)

    servers = [
        served(public, settings.listen_host, settings.listen_port),
        served(internal, settings.internal_host, settings.internal_port, **_internal_tls(settings)),
    ]
    if operators is not None and settings.operator_port is not None:
        servers.append(served(operators, settings.operator_host, settings.operator_port))
    return servers


def _internal_tls(settings: ControlPlaneSettings) -> dict[str, Any]:
    """uvicorn's options; none without a certificate."""
    if settings.internal_tls_certificate_file is None:
        return {}
    authority = settings.internal_tls_client_ca_file
    return {
        "ssl_certfile": str(settings.internal_tls_certificate_file),
        "ssl_keyfile": str(settings.internal_tls_key_file),
        "ssl_ca_certs": str(authority) if authority else None,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if authority else ssl.CERT_NONE,
    }
