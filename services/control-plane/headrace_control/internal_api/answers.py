"""Answers of the internal API."""

from typing import Any

import orjson
from starlette.responses import Response


def json_answer(value: Any) -> Response:
    """200 with `value`."""
    # asyncpg's UUIDs are a type of their own, which orjson does not know.
    body = orjson.dumps(value, default=str)
    return Response(body, media_type="application/json", headers={"cache-control": "no-store"})
