"""The certificate of the runners' port, and whose certificates runners have to show there."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn
from headrace.renewed_files import keep_renewed

from headrace_control.settings import ControlPlaneSettings


class InternalTls:
    """False without a certificate: the port is plain HTTP."""

    def __init__(self, settings: ControlPlaneSettings) -> None:
        self._certificate = settings.internal_tls_certificate_file
        self._key = settings.internal_tls_key_file
        self._authority = settings.internal_tls_client_ca_file

    def __bool__(self) -> bool:
        return self._certificate is not None

    @property
    def options(self) -> dict[str, Any]:
        """uvicorn's."""
        if not self:
            return {}
        return {
            "ssl_certfile": str(self._certificate),
            "ssl_keyfile": str(self._key),
            "ssl_ca_certs": str(self._authority) if self._authority else None,
            "ssl_cert_reqs": ssl.CERT_REQUIRED if self._authority else ssl.CERT_NONE,
        }

    async def keep_renewed(self, server: uvicorn.Server) -> None:
        """Take up files that are renewed, until cancelled; of a server with these `options`, loaded."""
        assert server.config.ssl is not None  # noqa: S101 - it has the options
        await keep_renewed(self._files, self._load, server.config.ssl)

    @property
    def _files(self) -> Sequence[Path]:
        return [file for file in (self._certificate, self._key, self._authority) if file is not None]

    def _load(self, context: ssl.SSLContext) -> None:
        if self._certificate is not None:
            context.load_cert_chain(self._certificate, self._key)
        if self._authority is not None:
            context.load_verify_locations(self._authority)
