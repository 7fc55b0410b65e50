"""`POST /webhooks/{address}`: external systems start a workflow by messages that they sign."""

import orjson
from fastapi import APIRouter, Request
from headrace.signed_messages import ID, SIGNATURE, TIMESTAMP
from starlette.responses import Response

from headrace_control.auth.origin import origin_of
from headrace_control.http_errors import refusal
from headrace_control.webhooks.intake import Taken, UnsupportedMediaType, WebhookIntake
from headrace_control.webhooks.model import Message


def webhook_routes(intake: WebhookIntake) -> APIRouter:
    """202 with the run's id; 200 with what became of the run, where the webhook says so and it ended in time; or what
    `WebhookIntake.take` raises."""
    router = APIRouter(include_in_schema=False)

    @router.post("/webhooks/{address}")
    async def take(address: str, request: Request) -> Response:
        headers = request.headers
        message = Message(
            headers.get(ID),
            headers.get(TIMESTAMP),
            headers.get(SIGNATURE),
            headers.get("content-type"),
            await request.body(),
        )
        try:
            taken = await intake.take(address, message, origin_of(request))
        except UnsupportedMediaType:
            return refusal(415)
        return Response(
            orjson.dumps(_told(taken)),
            200 if taken.ended else 202,
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )

    return router


def _told(taken: Taken) -> dict[str, object]:
    told: dict[str, object] = {"runId": str(taken.run.id)}
    if taken.ended:
        error = taken.run.error
        told |= {"status": taken.run.status, "result": taken.result}
        told["error"] = error and {"code": error.get("code"), "message": error.get("message")}
    return told
