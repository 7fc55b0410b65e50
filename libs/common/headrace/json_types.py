"""What JSON can hold, as Python types."""

from collections.abc import Mapping
from typing import TypeAlias

# Any JSON value. `object` would be honest too, but says less at the edges.
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]
JsonMapping: TypeAlias = Mapping[str, Json]
