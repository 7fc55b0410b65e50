"""Published versions as runs need them: loaded once and kept, for they are immutable."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from cachetools import LRUCache
from headrace.errors import InvalidInput
from headrace.workflow.definition import Version
from headrace.workflow.graph import Graph
from headrace.workflow.version import load_version

_log = structlog.get_logger(__name__)

# Of versions as JSON, in bytes; loaded, they take about five times as much.
ROOM = 16 * 1024 * 1024
# Each claim call names what is kept: about 0.1 microseconds of CPU a name.
MOST = 2_000


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    version: Version
    graph: Graph

    @classmethod
    def of(cls, resolved: Mapping[str, Any]) -> "LoadedVersion":
        """Raises `InvalidInput` for a version that this runner can not read."""
        version = load_version(resolved)
        return cls(version, Graph.of(version.document))


class KeptVersions:
    """The versions of the runs that were claimed last, by digest: at most `MOST`, and no more than `room` holds."""

    def __init__(self, room: int = ROOM) -> None:
        self._least, self._room = room // MOST, room
        self._kept: LRUCache[str, tuple[int, LoadedVersion]] = LRUCache(room, getsizeof=lambda kept: kept[0])

    def digests(self) -> list[str]:
        """What an answer need not hold."""
        return list(self._kept)

    def found(
        self, sent: Mapping[str, Any], needed: Iterable[str | None]
    ) -> Mapping[str, LoadedVersion | None]:
        """Of the needed, those that were sent with the answer or are kept; None stands for one that can not be loaded.

        What is missing has given way to others while the answer was on its way.
        """
        loaded = {digest: self._loaded(digest, resolved) for digest, resolved in sent.items()}
        for digest in {digest for digest in needed if digest is not None} - loaded.keys():
            kept = self._kept.get(digest)
            if kept is not None:
                loaded[digest] = kept[1]
        return loaded

    def _loaded(self, digest: str, resolved: Mapping[str, Any]) -> LoadedVersion | None:
        try:
            loaded = LoadedVersion.of(resolved)
        except InvalidInput as error:  # its own runs can not go on; those beside it can
            _log.error("version can not be loaded", digest=digest, problem=error.message)
            return None
        size = max(len(orjson.dumps(resolved)), self._least)
        if size <= self._room:
            self._kept[digest] = size, loaded
        return loaded
