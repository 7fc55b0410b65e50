"""How the runner knows the control plane, and what it shows to it, over https."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from headrace.errors import InvalidInput, Problem
from headrace.outbound.handshake import verifying
from headrace.renewed_files import keep_renewed

from headrace_runner.settings import RunnerSettings


class OwnTls:
    """`context` is None without files of the runner's own: the system's authorities, and no certificate to show.

    Raises `InvalidInput` for files that can not be used.
    """

    def __init__(self, settings: RunnerSettings) -> None:
        self._authority = settings.control_plane_ca_file
        self._certificate, self._key = settings.client_certificate_file, settings.client_key_file
        self.context = self._made() if self._files else None

    async def keep_renewed(self) -> None:
        """Take up files that are renewed, until cancelled; of a runner that has files of its own."""
        assert self.context is not None  # noqa: S101 - it has
        await keep_renewed(self._files, self._load, self.context)

    @property
    def _files(self) -> Sequence[Path]:
        return [file for file in (self._authority, self._certificate, self._key) if file is not None]

    def _made(self) -> ssl.SSLContext:
        try:
            context = verifying(str(self._authority) if self._authority else None)
            self._load(context)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            words = f"the files for TLS can not be used ({type(error).__name__})"
            mend = "give PEM files that this process can read, with the certificate's own key"
            raise InvalidInput([Problem("", words, mend)]) from None
        return context

    def _load(self, context: ssl.SSLContext) -> None:
        if self._authority is not None:
            context.load_verify_locations(self._authority)
        if self._certificate is not None:
            context.load_cert_chain(self._certificate, self._key)
