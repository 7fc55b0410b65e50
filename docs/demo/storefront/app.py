"""The routes of the six APIs, the token endpoints and the journal.

| API           | credential                                      | what is special                        |
|---------------|-------------------------------------------------|----------------------------------------|
| shop          | API key in a header                             | plain look-ups                         |
| warehouse     | API key in the query                            | 503 twice for each order, then works   |
| customers     | Basic                                           | `loyalty` is slow                      |
| payments      | OAuth2 client credentials, short-lived tokens   | Idempotency-Key; 422 for settled ones  |
| ledger        | OAuth2 refresh token, rotated at each use       | one entry per Idempotency-Key          |
| notifications | a custom header, and a PIN with each message    | 422 for people without an address      |
| office        | the shop's API key                              | records of any system, for templates   |
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from storefront.credentials import Credentials, TokenIssuer, basic_matches, same
from storefront.data import customers, orders, returns
from storefront.journal import Journal
from storefront.office import Office
from storefront.payments import Refunds

FAILURES_FIRST = 2

Answer = tuple[int, dict[str, Any]]
Operation = Callable[[Request], Awaitable[Answer]]


def create_app(
    credentials: Credentials, token_lifetime: float = 20.0, slow_seconds: float = 0.6
) -> Starlette:
    """A storefront with nothing done yet. `token_lifetime` and `slow_seconds` are in seconds."""
    journal = Journal()
    office = Office()
    shop = _Apis(slow_seconds, credentials.sender_pin)
    payments_tokens = TokenIssuer(
        credentials.payments_client_id, credentials.payments_client_secret, token_lifetime
    )
    ledger_tokens = TokenIssuer(
        credentials.ledger_client_id,
        credentials.ledger_client_secret,
        token_lifetime,
        credentials.ledger_refresh_token,
    )

    def knows_shop(request: Request) -> bool:
        return same(request.headers.get("x-api-key"), credentials.shop_api_key)

    def knows_warehouse(request: Request) -> bool:
        return same(request.query_params.get("key"), credentials.warehouse_api_key)

    def knows_customers(request: Request) -> bool:
        return basic_matches(request, credentials.customers_user, credentials.customers_password)

    def knows_notifications(request: Request) -> bool:
        return same(request.headers.get("x-notify-token"), credentials.notify_token)

    def route(method: str, path: str, knows: Callable[[Request], bool], operation: Operation) -> Route:
        async def endpoint(request: Request) -> JSONResponse:
            status, answer = 401, {"error": {"code": "unauthorized", "message": "no valid credential"}}
            if knows(request):
                status, answer = await operation(request)
            key = request.headers.get("idempotency-key")
            api, name = _called(request, path, operation)
            journal.add(api, name, getattr(request.state, "order", None), status, key)
            return JSONResponse(answer, status)

        return Route(path, endpoint, methods=[method])

    async def read_journal(request: Request) -> JSONResponse:
        return JSONResponse(
            {
                "entries": journal.find(request.query_params),
                "tokensIssued": {"payments": payments_tokens.issued, "ledger": ledger_tokens.issued},
                "refunds": list(shop.refunds.made.values()),
                "ledgerEntries": list(shop.ledger.values()),
            }
        )

    return Starlette(
        routes=[
            route("GET", "/shop/orders/{order}", knows_shop, shop.get_order),
            route("GET", "/warehouse/returns/{order}", knows_warehouse, shop.get_return),
            route("GET", "/customers/{customer}", knows_customers, shop.get_customer),
            route("GET", "/customers/{customer}/loyalty", knows_customers, shop.get_loyalty),
            route("POST", "/payments/refunds", payments_tokens.accepts, shop.create_refund),
            route("POST", "/ledger/entries", ledger_tokens.accepts, shop.add_entry),
            route("POST", "/notifications/messages", knows_notifications, shop.send_message),
            route("POST", "/office/{system}/{kind}", knows_shop, office.create),
            route("POST", "/office/{system}/{kind}/{id}/{verb}", knows_shop, office.move),
            route("GET", "/office/{system}/{kind}/{id}", knows_shop, office.read),
            Route("/payments/oauth/token", payments_tokens.token, methods=["POST"]),
            Route("/ledger/oauth/token", ledger_tokens.token, methods=["POST"]),
            Route("/journal", read_journal),
        ]
    )


class _Apis:
    """The operations behind the credentials, over one in-memory state."""

    def __init__(self, slow_seconds: float, sender_pin: str) -> None:
        self._orders, self._customers, self._returns = orders(), customers(), returns()
        self._slow_seconds = slow_seconds
        self._sender_pin = sender_pin
        self._asked: Counter[str] = Counter()
        self._messages: dict[str, int] = {}
        self.refunds = Refunds(self._orders)
        self.ledger: dict[str, dict[str, Any]] = {}

    async def get_order(self, request: Request) -> Answer:
        order = self._orders.get(self._order(request, request.path_params["order"]))
        return (200, order.as_json()) if order else _missing()

    async def get_return(self, request: Request) -> Answer:
        number = self._order(request, request.path_params["order"])
        found = self._returns.get(number)
        if found is None:
            return _missing()
        self._asked[number] += 1
        if self._asked[number] <= FAILURES_FIRST:
            return 503, {"error": {"code": "busy", "message": "the warehouse is counting"}}
        return 200, {"order": found.order, "condition": found.condition, "percent": found.percent}

    async def get_customer(self, request: Request) -> Answer:
        customer = self._customers.get(request.path_params["customer"])
        if customer is None:
            return _missing()
        return 200, {"id": customer.id, "name": customer.name, "email": customer.email}

    async def get_loyalty(self, request: Request) -> Answer:
        customer = self._customers.get(request.path_params["customer"])
        if customer is None:
            return _missing()
        await asyncio.sleep(self._slow_seconds)
        return 200, {"customer": customer.id, "tier": ("bronze", "silver", "gold")[int(customer.id[1:]) % 3]}

    async def create_refund(self, request: Request) -> Answer:
        body = await self._body(request)
        return self.refunds.create(request.headers.get("idempotency-key"), body)

    async def add_entry(self, request: Request) -> Answer:
        body, key = await self._body(request), request.headers.get("idempotency-key")
        if not key or not isinstance(body, dict):
            return 400, {"error": {"code": "bad_request", "message": "an Idempotency-Key and a JSON object"}}
        entry = self.ledger.setdefault(key, {**body, "number": len(self.ledger) + 1})
        return 201, entry

    async def send_message(self, request: Request) -> Answer:
        body = await self._body(request)
        if not same(request.headers.get("x-sender-pin"), self._sender_pin):
            return 403, {"error": {"code": "wrong_pin", "message": "the sender's PIN is not right"}}
        if not isinstance(body, dict) or not body.get("to"):
            return 422, {"error": {"code": "no_recipient", "message": "nobody to send this to"}}
        # The same key again is the same message: nobody is written to twice.
        key = request.headers.get("idempotency-key") or f"none-{len(self._messages)}"
        number = self._messages.setdefault(key, len(self._messages) + 1)
        return 202, {"id": f"msg-{number:04d}", "to": body["to"]}

    async def _body(self, request: Request) -> Any:
        try:
            body = await request.json()
        except (json.JSONDecodeError, UnicodeDecodeError):
            return None
        if isinstance(body, dict):
            self._order(request, body.get("order"))
        return body

    @staticmethod
    def _order(request: Request, order: Any) -> str:
        """Remember which order the call is about, for the journal."""
        request.state.order = str(order) if order is not None else None
        return str(order)


def _called(request: Request, path: str, operation: Operation) -> tuple[str, str]:
    """The API and the operation, as the journal names them; an office's are its system, and what is done to what."""
    found = request.path_params
    if "system" in found:
        return found["system"], f"{found.get('verb', operation.__name__)} {found['kind']}"
    return path.split("/")[1], operation.__name__


def _missing() -> Answer:
    return 404, {"error": {"code": "not_found", "message": "no such thing"}}
