"""Certificates and authorities of a process, taken up anew when they are renewed while it runs, as cert-manager does it
every sixty days."""

import asyncio
import contextlib
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from headrace.errors import InvalidInput, Problem

_log = structlog.get_logger(__name__)

PERIOD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: what this process shows with its key, and by whom the other side's certificates are signed."""

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    def __bool__(self) -> bool:
        return bool(self._files)

    def load(self, context: ssl.SSLContext) -> None:
        """Raises OSError or ValueError for files that can not be used: see `usable`."""
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        if self.authority is not None:
            context.load_verify_locations(self.authority)

    async def keep_renewed(self, into: ssl.SSLContext) -> None:
        """Until cancelled: when one of the files has changed, load them into a context that is in use.

        Handshakes from then on show the new certificate; connections that are open stay. Files that can not be used,
        such as a certificate whose key is not there yet, change nothing: they are tried again.
        """
        there = self._state()
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            now = self._state()
            if now == there:
                continue
            try:
                # What does not go together would be half loaded: a context of its own tells.
                self.load(ssl.SSLContext(into.protocol))
                self.load(into)
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                _log.error("certificate not renewed", error=type(error).__name__, files=self._names)
            else:
                there = now
                _log.info("certificate renewed", files=self._names)

    @property
    def _files(self) -> Sequence[Path]:
        return [file for file in (self.certificate, self.key, self.authority) if file is not None]

    @property
    def _names(self) -> Sequence[str]:
        return [str(file) for file in self._files]

    def _state(self) -> Sequence[tuple[int, int, int] | None]:
        """What changes when a file is written anew, or a link to it is turned."""
        return [_stamp(file) for file in self._files]


@contextlib.contextmanager
def usable() -> Iterator[None]:
    """Around the first loading of such files. Raises `InvalidInput` where they can not be used."""
    try:
        yield
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        words = f"the files for TLS can not be used ({type(error).__name__})"
        mend = "give PEM files that this process can read, with the certificate's own key"
        raise InvalidInput([Problem("", words, mend)]) from None


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
