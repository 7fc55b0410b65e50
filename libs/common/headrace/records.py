"""Values that are made many times in every run."""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[_T]) -> type[_T]:
    """A dataclass with slots that nobody changes: final to the type checker, and not guarded at run time.

    The `__init__` of a frozen dataclass sets each field by a call of `object.__setattr__`, which takes several times
    as long; a run makes some eighty of such values.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
