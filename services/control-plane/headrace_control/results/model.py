"""Cached results, as their tenant sees them."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class CachedAction:
    """The results of one action that stand for calls now. `until` is when the last of them ends."""

    action: str
    results: int
    newest_at: datetime
    until: datetime
