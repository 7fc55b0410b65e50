"""Certificates and authorities that are renewed while the process runs, as cert-manager does it every sixty days."""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)

PERIOD_SECONDS = 60.0


async def keep_renewed(
    files: Sequence[Path], load: Callable[[ssl.SSLContext], None], into: ssl.SSLContext
) -> None:
    """Until cancelled: when one of the PEM files has changed, `load` them into a context that is in use.

    Handshakes from then on show the new certificate; connections that are open stay. Files that can not be used, such
    as a certificate whose key is not there yet, change nothing: they are tried again.
    """
    there = _state(files)
    while True:
        await asyncio.sleep(PERIOD_SECONDS)
        now = _state(files)
        if now == there:
            continue
        try:
            # What does not go together would be half loaded: a context of its own tells.
            load(ssl.SSLContext(into.protocol))
            load(into)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            _log.error(
                "certificate not renewed", error=type(error).__name__, files=[str(file) for file in files]
            )
        else:
            there = now
            _log.info("certificate renewed", files=[str(file) for file in files])


def _state(files: Sequence[Path]) -> Sequence[tuple[int, int, int] | None]:
    """What changes when a file is written anew, or a link to it is turned."""
    return [_stamp(file) for file in files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
