"""The chain of a tenant's audit records: how a record is hashed, and what does not fit in a chain. Pure.

A record's hash is SHA-256 over the previous record's hash (32 zero bytes before the first) and the record as JSON:
UTF-8, names in order, no white space, nothing escaped that need not be, whole numbers without a fraction (as RFC 8785
has it).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import orjson

from headrace.json_types import Json, JsonObject

FORMAT = 1
# The action of the record that says up to which place, `seq`, of which `hash`, the chain was pruned.
PRUNE = "audit.prune"
GENESIS = bytes(32)
_CONTEXT = b"headrace audit\0"
# What stands in an entry of the chain beside the record that is hashed.
_LINKS = ("previous", "hash")


def link(previous: bytes, record: JsonObject) -> bytes:
    """The hash of a record that follows the one whose hash is `previous`."""
    return hashlib.sha256(_CONTEXT + previous + canonical(record)).digest()


def canonical(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


class Misfit(StrEnum):
    """How an entry does not fit into its chain."""

    MALFORMED = "MALFORMED"  # it is no entry of a chain at all
    FOREIGN = "FOREIGN"  # it is another tenant's
    CHANGED = "CHANGED"  # its content is not what its hash was made of
    MISSING = "MISSING"  # it is not there
    REORDERED = "REORDERED"  # it is there, and not where it belongs
    UNLINKED = "UNLINKED"  # it fits in itself and does not follow the one before
    REWRITTEN = "REWRITTEN"  # it is well linked, and an anchor says otherwise
    CUT_OFF = "CUT_OFF"  # the chain ends before an anchor


@dataclass(frozen=True, slots=True)
class Finding:
    """The first entry that does not fit: its place in the chain, as far as it is known, and how."""

    seq: int | None
    misfit: Misfit
    message: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`records` were read, the last of which has the `head`; `unanchored` of them come after the last anchor."""

    records: int
    seq: int
    head: bytes
    unanchored: int
    finding: Finding | None


@dataclass(frozen=True, slots=True)
class _Entry:
    seq: int
    tenant: Json
    previous: bytes
    hash: bytes
    computed: bytes
    pruned: tuple[int, bytes] | None  # up to where, as a record of a pruning has it


class ChainCheck:
    """Takes the entries of one chain in order, and says in the end what is wrong.

    `anchors` are hashes by place that were kept elsewhere. A chain begins at 1, right behind an anchor, or right behind
    what was pruned: then a record in it says so.
    """

    def __init__(self, anchors: Mapping[int, bytes] | None = None) -> None:
        self._anchors = dict(anchors or {})
        self._records = 0
        self._seq, self._head = 0, GENESIS
        self._tenant: Json = None
        self._finding: Finding | None = None
        # What it begins behind, and no anchor vouches for: until a record says that it was pruned up to there.
        self._gone: tuple[int, bytes] | None = None
        self._begins_behind = 0

    def add(self, entry: Json) -> None:
        self._records += 1
        read = _read(entry)
        if self._finding is not None:
            self._look_again(read)
            return
        if read is None:
            words = f"entry {self._records} is no audit record: `seq`, `previous` and `hash` are needed"
            self._finding = Finding(None, Misfit.MALFORMED, words)
            return
        if self._records == 1:
            self._tenant = read.tenant
            before = read.seq - 1
            self._begins_behind = before
            if before in self._anchors:
                self._seq, self._head = before, self._anchors[before]
            elif before:
                self._seq, self._head = self._gone = before, read.previous
        self._finding = self._misfit(read)
        if self._finding is None:
            self._seq, self._head = read.seq, read.hash
            if read.pruned is not None and read.pruned == self._gone:
                self._gone = None

    def verdict(self) -> Verdict:
        """To be asked when all entries have been given."""
        finding = self._finding
        if finding is None and self._gone is not None:
            before = self._gone[0]
            gap = "record 1 is" if before == 1 else f"records 1 to {before} are"
            words = f"{gap} missing, and no record says that they were pruned"
            finding = Finding(1, Misfit.MISSING, words)
        last = max(self._anchors, default=0)
        if finding is None and last > self._seq:
            words = (
                f"the chain ends at record {self._seq}, and record {last} was anchored: its end was cut off"
            )
            finding = Finding(self._seq + 1, Misfit.CUT_OFF, words)
        beyond = max(self._seq - max(last, self._begins_behind), 0) if self._anchors else self._records
        return Verdict(self._records, self._seq, self._head, beyond, finding)

    def _misfit(self, read: _Entry) -> Finding | None:
        seq, expected = read.seq, self._seq + 1
        if read.tenant != self._tenant:
            return Finding(seq, Misfit.FOREIGN, f"record {seq} is of another tenant than those before")
        if read.computed != read.hash:
            return Finding(
                seq, Misfit.CHANGED, f"record {seq} was changed: its content does not make its hash"
            )
        if seq > expected:
            gap = f"record {expected} is" if seq == expected + 1 else f"records {expected} to {seq - 1} are"
            return Finding(expected, Misfit.MISSING, f"{gap} missing")
        if seq <= self._begins_behind:
            words = f"record {seq} is not in its place: others come before it"
            return Finding(seq, Misfit.REORDERED, words)
        if seq < expected:
            return Finding(seq, Misfit.REORDERED, f"record {seq} comes again, behind record {self._seq}")
        if read.previous != self._head:
            words = f"record {seq} does not follow record {self._seq}: one of them was put in or written anew"
            return Finding(seq, Misfit.UNLINKED, words)
        if self._anchors.get(seq, read.hash) != read.hash:
            words = f"record {seq} is not the one that was anchored: the chain was written anew up to it"
            return Finding(seq, Misfit.REWRITTEN, words)
        return None

    def _look_again(self, read: _Entry | None) -> None:
        """What seemed to be missing may come later."""
        found = self._finding
        if found and found.misfit is Misfit.MISSING and read is not None and read.seq == found.seq:
            words = f"record {read.seq} is not in its place: others come before it"
            self._finding = Finding(read.seq, Misfit.REORDERED, words)


def _read(entry: Json) -> _Entry | None:
    if not isinstance(entry, dict):
        return None
    seq, previous, own = entry.get("seq"), _bytes(entry.get("previous")), _bytes(entry.get("hash"))
    if type(seq) is not int or seq < 1 or previous is None or own is None:
        return None
    record = {name: value for name, value in entry.items() if name not in _LINKS}
    return _Entry(seq, entry.get("tenantId"), previous, own, link(previous, record), _pruned(entry))


def _pruned(entry: JsonObject) -> tuple[int, bytes] | None:
    detail = entry.get("detail")
    if entry.get("action") != PRUNE or entry.get("actorKind") != "SERVICE" or not isinstance(detail, dict):
        return None
    seq, last = detail.get("seq"), _bytes(detail.get("hash"))
    return (seq, last) if type(seq) is int and last is not None else None


def _bytes(value: Json) -> bytes | None:
    try:
        read = bytes.fromhex(value) if isinstance(value, str) else b""
    except ValueError:
        return None
    return read if len(read) == 32 else None
