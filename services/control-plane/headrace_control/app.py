"""The public face: /graphql, /auth, /oauth/callback, /callbacks, /webhooks, /health, /ready."""

from collections.abc import Mapping

from fastapi import FastAPI
from headrace.health import Check
from headrace.telemetry.traces import Traces

from headrace_control.auth.authenticator import Authenticator
from headrace_control.authorizations.http import authorization_routes
from headrace_control.body_budget import BodyBudget
from headrace_control.body_limit import Bodies, BodyLimit
from headrace_control.callbacks.http import callback_routes
from headrace_control.graphql.schema import create_schema
from headrace_control.graphql.view import (
    CALLERS_BYTES,
    MAX_BODY,
    GraphQLView,
    StraightToGraphQL,
    tenant_of,
)
from headrace_control.health import health_routes
from headrace_control.http_errors import install_error_handlers
from headrace_control.login.http import MAX_BODY as MAX_LOGIN
from headrace_control.login.http import login_routes
from headrace_control.services import Services
from headrace_control.tracing import RequestTraces
from headrace_control.unexpected import AnswerUnexpected
from headrace_control.waits.payloads import MAX_PAYLOAD_BYTES
from headrace_control.web.addresses import ClientAddress
from headrace_control.web.headers import SecurityHeaders
from headrace_control.web.origins import Origins
from headrace_control.web.policy import HttpPolicy
from headrace_control.web.rates import AddressRate, Buckets
from headrace_control.web.unwatched import NO_TELEMETRY
from headrace_control.webhooks.http import webhook_routes
from headrace_control.webhooks.intake import MAX_MESSAGE_BYTES

# What the process holds at once of what others than its callers send, so that strangers keep no caller's body out.
STRANGERS_BYTES = 16 * 1024 * 1024


def create_app(
    services: Services,
    authenticator: Authenticator,
    checks: Mapping[str, Check],
    policy: HttpPolicy | None = None,
    traces: Traces | None = None,
) -> FastAPI:
    """The application. It opens and closes nothing: pools and clients are `main`'s.

    `checks` are the dependencies that /ready asks, by name. With `traces`, a request that starts a run is a span of its
    trace.
    """
    app = FastAPI(
        telemetry=NO_TELEMETRY,
        title="Headrace",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    policy = policy or HttpPolicy()
    schema = create_schema(introspection=policy.introspection, operation_seconds=policy.operation_seconds)
    callers, strangers = BodyBudget(CALLERS_BYTES), BodyBudget(STRANGERS_BYTES)
    view = GraphQLView(schema, services, authenticator, policy, messages=callers)
    app.router.routes.extend(view.routes("/graphql"))
    app.include_router(callback_routes(services.callbacks))
    app.include_router(webhook_routes(services.webhook_intake))
    app.include_router(authorization_routes(services.authorizations))
    app.include_router(login_routes(services.login, authenticator))
    app.include_router(health_routes(checks))
    install_error_handlers(app)
    app.add_middleware(StraightToGraphQL, path="/graphql", view=view)
    if traces is not None:
        app.add_middleware(RequestTraces, traces=traces)
    bodies = {
        "/graphql": Bodies(MAX_BODY, callers, tenant_of, on_demand=True),
        "/auth/": Bodies(MAX_LOGIN, strangers),
        "/callbacks/": Bodies(MAX_PAYLOAD_BYTES, strangers),
        "/webhooks/": Bodies(MAX_MESSAGE_BYTES, strangers),
    }
    app.add_middleware(BodyLimit, paths=bodies)
    app.add_middleware(AddressRate, buckets=Buckets(policy.rate_per_address))
    app.add_middleware(Origins, origins=policy.origins)
    app.add_middleware(ClientAddress, trusted=policy.trusted_proxies)
    app.add_middleware(AnswerUnexpected)
    app.add_middleware(SecurityHeaders, hsts_seconds=policy.hsts_seconds)
    return app
