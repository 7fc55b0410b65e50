"""How the runner knows the control plane, and what it shows to it, over https."""

import ssl

from headrace.errors import InvalidInput, Problem
from headrace.outbound.handshake import verifying

from headrace_runner.settings import RunnerSettings


def own_tls(settings: RunnerSettings) -> ssl.SSLContext | None:
    """None: the system's authorities and no certificate of its own. Raises `InvalidInput`."""
    if settings.control_plane_ca_file is None and settings.client_certificate_file is None:
        return None
    try:
        authority = settings.control_plane_ca_file
        context = verifying(str(authority) if authority else None)
        if settings.client_certificate_file is not None:
            context.load_cert_chain(settings.client_certificate_file, settings.client_key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        words = f"the files for TLS can not be used ({type(error).__name__})"
        mend = "give PEM files that this process can read, with the certificate's own key"
        raise InvalidInput([Problem("", words, mend)]) from None
    return context
