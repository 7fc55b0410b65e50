"""The operators' face, on a port of its own: /metrics and /scaling.

It shows figures of all tenants to whoever reaches it, and asks nobody who they are: its port is the operators' alone.
"""

import asyncio

import orjson
from fastapi import FastAPI
from headrace.errors import TimedOut
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.responses import Response

from headrace_control.body_limit import BodyLimit
from headrace_control.http_errors import install_error_handlers
from headrace_control.scaling.model import Scaling
from headrace_control.scaling.signals import Signals
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.web.headers import SecurityHeaders
from headrace_control.web.unwatched import NO_TELEMETRY

# `headrace fleet` waits for five, KEDA for three (its KEDA_HTTP_DEFAULT_TIMEOUT, unless an operator sets another).
ANSWER_SECONDS = 2.5


def create_operator_app(signals: Signals, registry: CollectorRegistry) -> FastAPI:
    """`registry` is what /metrics shows. /scaling is 503 while Postgres or the bus is away, or has not
    answered for `ANSWER_SECONDS`."""
    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Headrace operators",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    @app.get("/scaling")
    async def scaling() -> Response:
        # asyncpg's UUIDs are a type of their own, which orjson does not know.
        body = orjson.dumps((await _in_time(signals)).as_json(), default=str)
        return Response(body, media_type="application/json")

    install_error_handlers(app)
    app.add_middleware(BodyLimit, paths={})
    app.add_middleware(AnswerUnexpected)
    app.add_middleware(SecurityHeaders)
    return app


async def _in_time(signals: Signals) -> Scaling:
    """Not waited for once it is cancelled: a session with Postgres is given back when its server has heard of it."""
    reading = asyncio.create_task(signals.current())
    try:
        read, _ = await asyncio.wait({reading}, timeout=ANSWER_SECONDS)
    finally:
        reading.cancel()
    if not read:
        reading.add_done_callback(
            lambda late: late.cancelled() or late.exception()
        )  # else asyncio would log it
        raise TimedOut("the figures can not be read in time")
    return reading.result()
