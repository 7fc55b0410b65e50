"""Row keys: how a step, an item of it, and the calls that belong to it are named in events, rows and logs.

`charge` is a step, `charge[3]` the item 3 (from 0) of its loop, `charge.undo` and `charge[3].undo` what
compensates them, `charge.probe` what settles their doubt. A step's own key holds neither `[` nor `.`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache


class Part(StrEnum):
    """What of a step a row is about, when not its own work."""

    UNDO = "undo"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class RowKey:
    step: str
    index: int | None = None
    part: Part | None = None

    def __str__(self) -> str:
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.step}{item}" + (f".{self.part}" if self.part else "")

    @property
    def work(self) -> str:
        """The row whose work this one undoes or asks about; itself otherwise."""
        return str(replace(self, part=None))


@lru_cache(maxsize=20_000)
def read_key(text: str) -> RowKey:
    """The parts of a row key. Raises `ValueError` for what is none."""
    name, dot, part = text.partition(".")
    step, bracket, index = name.partition("[")
    if bracket and not (index.endswith("]") and index[:-1].isascii() and index[:-1].isdigit()):
        raise ValueError("not a row key")
    return RowKey(step, int(index[:-1]) if bracket else None, Part(part) if dot else None)


def item_key(step: str, index: int) -> str:
    return f"{step}[{index}]"


def undo_key(work: str) -> str:
    return f"{work}.{Part.UNDO}"


def probe_key(work: str) -> str:
    return f"{work}.{Part.PROBE}"
