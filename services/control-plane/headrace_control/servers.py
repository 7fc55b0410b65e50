"""The HTTP servers of a control plane: the public face, the runners', and the operators' where it is asked for."""

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from headrace.errors import InvalidInput, Problem

from headrace_control.graphql.view import MAX_BODY
from headrace_control.internal_tls import InternalTls
from headrace_control.settings import ControlPlaneSettings
from headrace_control.web.server import http_server


@dataclass(frozen=True, slots=True)
class Servers:
    """Not started; each at its address of the settings. `upkeep` goes on beside them, until it is cancelled."""

    all: Sequence[uvicorn.Server]
    upkeep: Sequence[Coroutine[Any, Any, None]]


def http_servers(
    settings: ControlPlaneSettings, public: FastAPI, internal: FastAPI, operators: FastAPI | None
) -> Servers:
    """Raises `InvalidInput` when the files for the runners' port can not be used."""

    def served(app: FastAPI, host: str, port: int, **more: Any) -> uvicorn.Server:
        return http_server(app, host, port, max_message=MAX_BODY, grace=settings.drain_seconds, **more)

    tls = InternalTls(settings)
    servers = [
        served(public, settings.listen_host, settings.listen_port),
        runners := served(internal, settings.internal_host, settings.internal_port, **tls.options),
    ]
    if operators is not None and settings.operator_port is not None:
        servers.append(served(operators, settings.operator_host, settings.operator_port))
    if not tls:
        return Servers(servers, [])
    try:
        runners.config.load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        words = f"the files for TLS can not be used ({type(error).__name__})"
        mend = "give PEM files that this process can read, with the certificate's own key"
        raise InvalidInput([Problem("", words, mend)]) from None
    return Servers(servers, [tls.keep_renewed(runners)])
