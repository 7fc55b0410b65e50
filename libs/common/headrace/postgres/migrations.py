"""The numbered files that a schema is made of, and what each declares about itself.

A file is `NNNN_name.sql`. Comment lines at its head, `-- word: value`, say

- `phase`: `expand` (the release before goes on working on the new schema; the default) or `contract` (takes away what
  no release from `needs` on uses any more);
- `needs`: of a contract, the number of a migration: a release that knows it can live without what is taken away;
- `transaction`: `none` for statements that Postgres refuses in one, see `concurrently`.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files

from headrace.errors import InvalidInput, Problem

_NAME = re.compile(r"(\d{4})_\w+\.sql")
_HEADER = re.compile(r"-- (\w+): *(\S+) *")
_WORDS = ("phase", "needs", "transaction")


class Phase(StrEnum):
    EXPAND = "expand"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Migration:
    """One file. `needs` is None unless it is a contract."""

    name: str
    number: int
    text: str
    phase: Phase
    needs: int | None
    in_transaction: bool

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def read_migrations(package: str) -> Sequence[Migration]:
    """Those of a package, in their order. Raises `InvalidInput` for one that declares itself wrongly."""
    found = [
        read_migration(f.name, f.read_text(encoding="utf-8"))
        for f in files(package).iterdir()
        if f.name.endswith(".sql")
    ]
    return sorted(found, key=lambda migration: migration.name)


def read_migration(name: str, text: str) -> Migration:
    numbered = _NAME.fullmatch(name)
    if numbered is None:
        raise _wrong(name, "a migration's name is NNNN_name.sql")
    number, said = int(numbered[1]), _header(text)
    try:
        phase = Phase(said.get("phase", Phase.EXPAND))
        needs = int(said["needs"]) if "needs" in said else None
    except ValueError:
        raise _wrong(name, "phase is expand or contract, needs a number") from None
    if (phase is Phase.CONTRACT) != (needs is not None):
        raise _wrong(name, "a contract, and nothing else, says which migration it needs services to know")
    if needs is not None and needs >= number:
        raise _wrong(name, "a contract needs a migration before it")
    if said.get("transaction", "none") != "none":
        raise _wrong(name, "transaction is none, or not said")
    return Migration(name, number, text, phase, needs, "transaction" not in said)


def _header(text: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for line in text.splitlines():
        if not line.startswith("--"):
            break
        if (found := _HEADER.fullmatch(line)) and found[1] in _WORDS:
            said[found[1]] = found[2]
    return said


def _wrong(name: str, message: str) -> InvalidInput:
    return InvalidInput([Problem(name, message, "see docs/guides/upgrades.md")])
