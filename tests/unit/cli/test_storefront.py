"""The demo's storefront: what it must hold for the demo to prove anything."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

DEMO = Path(__file__).parents[3] / "docs" / "demo"


@pytest.fixture
async def shop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """A fresh storefront; each credential is its own name."""
    monkeypatch.syspath_prepend(str(DEMO))
    from storefront.app import create_app
    from storefront.credentials import Credentials

    app = create_app(Credentials(**{name: name for name in Credentials.__slots__}), slow_seconds=0)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
        yield client


async def token(shop: httpx.AsyncClient, api: str, **form: str) -> httpx.Response:
    who = (f"{api}_client_id", f"{api}_client_secret")
    return await shop.post(f"/{api}/oauth/token", data=form, auth=who)


async def paid(shop: httpx.AsyncClient) -> dict[str, str]:
    answer = await token(shop, "payments", grant_type="client_credentials")
    return {"authorization": f"Bearer {answer.json()['access_token']}"}


async def refund(shop: httpx.AsyncClient, key: str | None, **body: Any) -> httpx.Response:
    headers = await paid(shop) | ({"idempotency-key": key} if key else {})
    return await shop.post("/payments/refunds", json=body, headers=headers)


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("/shop/orders/1001", {"headers": {"x-api-key": "shop_api_key"}}),
        ("/customers/c1", {"auth": ("customers_user", "customers_password")}),
        ("/customers/c1/loyalty", {"auth": ("customers_user", "customers_password")}),
    ],
)
async def test_each_api_has_a_credential_of_its_own(shop: httpx.AsyncClient, path: str, how: Any) -> None:
    assert (await shop.get(path)).status_code == 401
    assert (await shop.get(path, headers={"authorization": "Bearer shop_api_key"})).status_code == 401
    assert (await shop.get(path, **how)).status_code == 200


async def test_the_warehouse_fails_twice_for_each_order(shop: httpx.AsyncClient) -> None:
    for order in ("1001", "1002"):
        url = f"/warehouse/returns/{order}?key=warehouse_api_key"
        assert [(await shop.get(url)).status_code for _ in range(4)] == [503, 503, 200, 200]


async def test_money_moves_once_per_key(shop: httpx.AsyncClient) -> None:
    first = await refund(shop, "k", order="1002", amount=100)
    again = await refund(shop, "k", order="1002", amount=100)
    assert (first.status_code, again.json()) == (201, first.json())
    other = await refund(shop, "k", order="1002", amount=200)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_key_reused")
    assert (await refund(shop, None, order="1002", amount=100)).status_code == 400
    assert len((await shop.get("/journal")).json()["refunds"]) == 1


async def test_settled_payments_are_not_given_back(shop: httpx.AsyncClient) -> None:
    answer = await refund(shop, "k", order="1008", amount=100)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "refund_window_closed")


async def test_a_refresh_token_works_once_and_its_reuse_ends_everything(shop: httpx.AsyncClient) -> None:
    grant = {"grant_type": "refresh_token"}
    first = await token(shop, "ledger", **grant, refresh_token="ledger_refresh_token")
    second = await token(shop, "ledger", **grant, refresh_token=first.json()["refresh_token"])
    headers = {"authorization": f"Bearer {second.json()['access_token']}", "idempotency-key": "k"}
    assert (await shop.post("/ledger/entries", json={"order": "1"}, headers=headers)).status_code == 201
    reused = await token(shop, "ledger", **grant, refresh_token="ledger_refresh_token")
    assert reused.json()["error"] == "invalid_grant"
    assert (await shop.post("/ledger/entries", json={"order": "1"}, headers=headers)).status_code == 401
    newest = await token(shop, "ledger", **grant, refresh_token=second.json()["refresh_token"])
    assert newest.status_code == 400


async def test_the_journal_tells_every_call_and_no_credential(shop: httpx.AsyncClient) -> None:
    await shop.get("/shop/orders/1001", headers={"x-api-key": "shop_api_key"})
    await shop.get("/shop/orders/1001")
    await refund(shop, "k", order="1002", amount=100)
    journal = await shop.get("/journal")
    assert [(e["api"], e["status"], e["order"]) for e in journal.json()["entries"]] == [
        ("shop", 200, "1001"),
        ("shop", 401, None),
        ("payments", 201, "1002"),
    ]
    assert "shop_api_key" not in journal.text
    assert len((await shop.get("/journal?api=shop&status=200")).json()["entries"]) == 1


async def test_an_office_opens_and_moves_a_record_once_for_a_key(shop: httpx.AsyncClient) -> None:
    async def post(path: str, key: str | None, **body: Any) -> httpx.Response:
        headers = {"x-api-key": "shop_api_key"} | ({"idempotency-key": key} if key else {})
        return await shop.post(f"/office/{path}", json=body, headers=headers)

    first, again = [await post("crm/deals", "k", case="7") for _ in range(2)]
    assert first.status_code == 201
    assert first.json() == again.json() == {"case": "7", "id": "deals-1", "state": "open"}
    assert (await post("crm/deals/deals-1/close", "c")).json()["state"] == "close"
    assert (await post("crm/deals/deals-2/close", "d")).status_code == 404
    assert (await post("crm/deals", None, case="7")).status_code == 400
    assert (await shop.post("/office/crm/deals", json={})).status_code == 401
    headers = {"x-api-key": "shop_api_key"}
    read = {
        name: await shop.get(f"/office/crm/{name}", headers=headers)
        for name in ("deals/deals-1", "companies/small", "controls/broken", "sources/missing")
    }
    assert [answer.status_code for answer in read.values()] == [200, 200, 200, 404]
    assert read["deals/deals-1"].json()["state"] == "close"
    assert (read["companies/small"].json()["score"], read["controls/broken"].json()["state"]) == (
        20,
        "broken",
    )
    journal = (await shop.get("/journal", params={"order": "7"})).json()["entries"]
    assert [(one["api"], one["operation"]) for one in journal] == [
        ("crm", "create deals"),
        ("crm", "create deals"),
        ("crm", "close deals"),
        ("crm", "create deals"),
    ]
