"""How the runner knows the control plane, and what it shows to it, over https."""

import ssl

from headrace.outbound.handshake import verifying
from headrace.tls_files import TlsFiles, usable


def own_tls(files: TlsFiles) -> ssl.SSLContext | None:
    """None without files of the runner's own: the system's authorities, and no certificate to show.

    Raises `InvalidInput` for files that can not be used.
    """
    if not files:
        return None
    with usable():
        context = verifying(str(files.authority) if files.authority else None)
        files.load(context)
    return context
