"""Refunds: money moves once per Idempotency-Key, however often the call arrives."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storefront.data import Order

# A payment older than this is settled with the bank and can not be given back.
REFUND_WINDOW_DAYS = 90


@dataclass(slots=True)
class Refunds:
    """What was given back, and the answers kept for calls that come again."""

    orders: Mapping[str, Order]
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    _answers: dict[str, tuple[str, int, dict[str, Any]]] = field(default_factory=dict)

    def create(self, key: str | None, body: Any) -> tuple[int, dict[str, Any]]:
        """The status and the answer. The same key with another body is refused, as is a missing key."""
        if not key:
            return 400, _problem("idempotency_key_missing", "send an Idempotency-Key header")
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        if key in self._answers:
            seen, status, answer = self._answers[key]
            if seen != digest:
                return 422, _problem("idempotency_key_reused", "this key came with another request")
            return status, answer
        status, answer = self._create(body)
        self._answers[key] = (digest, status, answer)
        return status, answer

    def _create(self, body: Any) -> tuple[int, dict[str, Any]]:
        if not isinstance(body, dict) or not isinstance(body.get("amount"), int) or body["amount"] <= 0:
            return 422, _problem("amount_invalid", "amount is a whole number of cents above zero")
        order = self.orders.get(str(body.get("order")))
        if order is None:
            return 404, _problem("order_unknown", "no such order")
        if order.daysSincePayment > REFUND_WINDOW_DAYS:
            return 422, _problem(
                "refund_window_closed", f"the payment is older than {REFUND_WINDOW_DAYS} days and settled"
            )
        if body["amount"] > order.total:
            return 422, _problem("amount_above_payment", "more than was paid")
        refund = {
            "id": f"rf-{len(self.made) + 1:04d}",
            "order": order.id,
            "amount": body["amount"],
            "currency": order.currency,
        }
        self.made[str(refund["id"])] = refund
        return 201, refund


def _problem(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}
