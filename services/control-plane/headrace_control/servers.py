"""The HTTP servers of a control plane: the public face, the runners', and the operators' where it is asked for."""

import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from headrace.tls_files import TlsFiles, usable

from headrace_control.graphql.view import MAX_BODY
from headrace_control.settings import ControlPlaneSettings
from headrace_control.web.open_connections import OpenConnections
from headrace_control.web.server import http_server


@dataclass(frozen=True, slots=True)
class Servers:
    """Not started; each at its address of the settings. `upkeep` goes on beside them, until it is cancelled."""

    all: Sequence[uvicorn.Server]
    upkeep: Sequence[Coroutine[Any, Any, None]]


def http_servers(
    settings: ControlPlaneSettings,
    public: FastAPI,
    internal: FastAPI,
    operators: FastAPI | None,
    connections: OpenConnections,
    runners_connections: OpenConnections,
) -> Servers:
    """`connections` are the public face's.

    Raises `InvalidInput` when the files for the runners' port can not be used.
    """

    def served(app: FastAPI, host: str, port: int, **more: Any) -> uvicorn.Server:
        return http_server(app, host, port, max_message=MAX_BODY, grace=settings.drain_seconds, **more)

    files = settings.internal_tls_files
    servers = [
        served(public, settings.listen_host, settings.listen_port, connections=connections),
        runners := served(
            internal,
            settings.internal_host,
            settings.internal_port,
            connections=runners_connections,
            **uvicorn_tls(files),
        ),
    ]
    if operators is not None and settings.operator_port is not None:
        servers.append(served(operators, settings.operator_host, settings.operator_port))
    if not files:
        return Servers(servers, [])
    with usable():
        runners.config.load()
    assert runners.config.ssl is not None  # noqa: S101 - it has a certificate
    return Servers(servers, [files.keep_renewed(runners.config.ssl)])


def uvicorn_tls(files: TlsFiles) -> dict[str, Any]:
    """uvicorn's options; none without files: the port is plain HTTP. With an authority, clients have to show a
    certificate."""
    if not files:
        return {}
    return {
        "ssl_certfile": str(files.certificate),
        "ssl_keyfile": str(files.key),
        "ssl_ca_certs": str(files.authority) if files.authority else None,
        "ssl_cert_reqs": ssl.CERT_REQUIRED if files.authority else ssl.CERT_NONE,
    }
