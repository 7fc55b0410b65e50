"""Offices of all kinds behind one API, for templates: they open records, move them on, and look things up.

`POST /office/{system}/{kind}` opens a record, `POST /office/{system}/{kind}/{id}/{verb}` moves one on, and
`GET /office/{system}/{kind}/{id}` reads one. A record that nobody opened reads as one in order,
unless its id says that it is `broken` or `small`; `missing` is not there.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

Answer = tuple[int, dict[str, Any]]


@dataclass(slots=True)
class Office:
    """The records of all systems, and the answers kept for calls that come again with their Idempotency-Key."""

    records: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    _answers: dict[str, Answer] = field(default_factory=dict)

    async def create(self, request: Request) -> Answer:
        """Open a record; `case` in the body says what it is about."""
        system, kind = request.path_params["system"], request.path_params["kind"]
        body = await self._body(request)
        request.state.order = body.get("case")

        def opened() -> Answer:
            number = sum(key[:2] == (system, kind) for key in self.records) + 1
            record = {**body, "id": f"{kind}-{number}", "state": "open"}
            self.records[system, kind, record["id"]] = record
            return 201, record

        return self._once(request, opened)

    async def move(self, request: Request) -> Answer:
        """Put a record into the state that the verb names."""
        path = request.path_params
        record = self.records.get((path["system"], path["kind"], path["id"]))
        if record is None:
            return 404, {"error": {"code": "not_found", "message": "no such record"}}
        request.state.order = record.get("case")

        def moved() -> Answer:
            record["state"] = path["verb"]
            return 200, dict(record)

        return self._once(request, moved)

    async def read(self, request: Request) -> Answer:
        path = request.path_params
        found = self.records.get((path["system"], path["kind"], path["id"]))
        if found is not None:
            return 200, found
        if "missing" in path["id"]:
            return 404, {"error": {"code": "not_found", "message": "no such record"}}
        state = "broken" if "broken" in path["id"] else "in order"
        return 200, {"id": path["id"], "state": state, "score": 20 if "small" in path["id"] else 80}

    def _once(self, request: Request, act: Any) -> Answer:
        key = request.headers.get("idempotency-key")
        if not key:
            return 400, {"error": {"code": "bad_request", "message": "send an Idempotency-Key"}}
        if key not in self._answers:
            status, answer = act()
            self._answers[key] = status, dict(answer)
        return self._answers[key]

    @staticmethod
    async def _body(request: Request) -> dict[str, Any]:
        try:
            body = await request.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            return {}
        return body if isinstance(body, dict) else {}
