"""Cached results: an earlier result of the same call, taken instead of calling (`cache` of a step).

The control plane alone knows where a result is kept: from what tells the call it makes the name of a slot, with a key
of the tenant's. Whoever reads the slot's name learns nothing of the call.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog
from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.workflow.document import Cache
from headrace.workflow.json_rules import digest_of

from headrace_runner.run_pass import RunPass
from headrace_runner.stored import stored_size

_log = structlog.get_logger(__name__)

# A larger output is not kept.
MAX_OUTPUT_BYTES = 64 * 1024


class ControlPlaneAsked(Protocol):
    async def cached_result(self, run: RunPass, digest: str) -> dict[str, Any]:
        """The slot of a call, and what is in it. Raises `NotFound` when the claim is closed, `Unavailable`."""


@dataclass(frozen=True, slots=True)
class Sought:
    """What tells a call whose result may be cached. `by` is all that it depends on."""

    cache: Cache
    action: str
    by: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """A result that stands for the call. `source` says whose it is, and since when: `{runId, at}`."""

    output: Json = field(repr=False)
    source: JsonObject


@dataclass(frozen=True, slots=True)
class Slot:
    """Where the call's own result is to be kept, for others."""

    name: str
    sought: Sought

    def told(self, output: Json, sealed: Json) -> JsonObject:
        """What the event of the result says for it to be kept; nothing for what is not. What is sealed, and so only for
        its own run, is not."""
        if sealed != output or stored_size(output) > MAX_OUTPUT_BYTES:
            return {}
        return {"cache": {"slot": self.name, "action": self.sought.action, "ttlMs": self.sought.cache.ttl_ms}}


class Results(Protocol):
    async def find(self, run: RunPass, sought: Sought) -> Found | Slot | None: ...


class CachedResults:
    """Of one process."""

    def __init__(self, control_plane: ControlPlaneAsked) -> None:
        self._control_plane = control_plane

    async def find(self, run: RunPass, sought: Sought) -> Found | Slot | None:
        """A result, or where to keep one. None when the control plane does not say: then the call is made, as it would
        be without a cache."""
        try:
            answer = await self._control_plane.cached_result(run, digest_of(sought.by))
        except HeadraceError as error:
            _log.info("no cached result", run_id=str(run.run_id), reason=error.message)
            return None
        if (found := answer["found"]) is not None:
            return Found(found["output"], {"runId": found["run_id"], "at": found["at"]})
        return Slot(answer["slot"], sought) if answer["slot"] else None


class NoResults:
    """Nothing is cached."""

    async def find(self, run: RunPass, sought: Sought) -> None:
        return None
