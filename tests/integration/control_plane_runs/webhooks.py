"""Webhooks, and the external systems that send to them."""

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from headrace.ids import new_id
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP, sign

from tests.integration.control_plane_runs.acting import Client
from tests.integration.control_plane_runs.audit_examples import mutate

SCHEMA = {
    "type": "object",
    "required": ["order"],
    "properties": {"order": {"type": "string", "maxLength": 20}},
}


@dataclass
class Sender:
    """An external system: it knows an address, and a secret or two."""

    http: httpx.AsyncClient
    path: str
    secrets: list[str] = field(default_factory=list)

    def headers(self, body: bytes, message_id: str | None = None, ago: float = 0) -> dict[str, str]:
        message_id, seconds = message_id or str(new_id()), int(time.time() - ago)
        signatures = [sign(secret, message_id, seconds, body) for secret in self.secrets]
        return {
            ID: message_id,
            TIMESTAMP: str(seconds),
            SIGNATURE: " ".join(signatures),
            "content-type": "application/json",
        }

    async def send(
        self, content: Any, message_id: str | None = None, ago: float = 0, **headers: str
    ) -> httpx.Response:
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        signed = self.headers(body, message_id, ago)
        return await self.http.post(self.path, content=body, headers={**signed, **headers})


async def made(client: Client, http: httpx.AsyncClient, **terms: Any) -> Sender:
    given = {"name": "paid", "workflow": "orders", "schema": SCHEMA, **terms}
    issued = await mutate(
        client, "createWebhook", {"input": given}, "... on IssuedWebhook { secret webhook { url } }"
    )
    return Sender(http, urlsplit(issued["webhook"]["url"]).path, [issued["secret"]])
