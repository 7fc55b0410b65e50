"""What a look finds."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    OK = "ok"
    MISSING = "missing"  # needed for `headrace dev` and `make demo`
    WRONG = "wrong"  # of a deployment: somebody has to do something
    OPTIONAL = "note"  # worth knowing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. `what` names the place; `mend` is the command that gets it, or what to do."""

    what: str
    verdict: Verdict
    detail: str
    mend: str = ""


def ok(what: str, detail: str) -> Finding:
    return Finding(what, Verdict.OK, detail)


def wrong(what: str, detail: str, mend: str) -> Finding:
    return Finding(what, Verdict.WRONG, detail, mend)


def note(what: str, detail: str, mend: str = "") -> Finding:
    return Finding(what, Verdict.OPTIONAL, detail, mend)
