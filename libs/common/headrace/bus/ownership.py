"""What both adapters do when the queues are another deployment's."""

from typing import NoReturn

import structlog

from headrace.errors import ForeignQueues

_log = structlog.get_logger(__name__)


def refuse(namespace: str) -> NoReturn:
    """Raise `ForeignQueues`. Told here, too: whoever connects anew tries again later, and tells no reasons."""
    _log.error("queues are another deployment's", bus_namespace=namespace)
    raise ForeignQueues(
        "the queues of this namespace are another deployment's, which has another database; give this one a namespace "
        "or a virtual host of its own, or, if the other one is gone for good, run `headrace own-queues`"
    )
