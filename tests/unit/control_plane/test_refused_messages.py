"""Refused messages of webhooks: one sender's hide no other's, and each is written down once."""

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from unittest.mock import MagicMock
from uuid import UUID, uuid4

import pytest
from headrace.errors import ConcurrencyLimit, DatabaseUnavailable, HeadraceError, InvalidInput, Problem
from headrace.json_types import JsonObject
from headrace_control.webhooks import refused
from headrace_control.webhooks.addresses import Address
from headrace_control.webhooks.model import Replayed
from headrace_control.webhooks.refused import (
    MOST_OF_TENANT,
    MOST_OF_WEBHOOK,
    RefusedMessage,
    RefusedMessages,
)

MINE, THEIRS = uuid4(), uuid4()
PAID, SHIPPED = Address(MINE, uuid4()), Address(THEIRS, uuid4())


class Kept:
    """What is committed; the transactions of a tenant in trouble are rolled back."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[UUID, str, str]] = Counter()
        self.in_trouble: set[UUID] = set()

    @contextlib.asynccontextmanager
    async def transaction(self, _: object, tenant_id: UUID) -> AsyncIterator[Counter[tuple[UUID, str, str]]]:
        rows: Counter[tuple[UUID, str, str]] = Counter()
        yield rows
        if tenant_id in self.in_trouble:
            raise DatabaseUnavailable("away")
        self.rows.update(rows)

    async def keep(
        self,
        rows: Counter[tuple[UUID, str, str]],
        _tenant: UUID,
        webhook: UUID,
        error: JsonObject,
        times: int,
    ) -> None:
        rows[(webhook, str(error["code"]), str(error["message"]))] += times

    def of(self, address: Address) -> dict[tuple[str, str], int]:
        return {row[1:]: times for row, times in self.rows.items() if row[0] == address.webhook_id}


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    made = Kept()
    monkeypatch.setattr(refused, "tenant_transaction", made.transaction)
    monkeypatch.setattr(refused.repository, "keep_refused", made.keep)
    return made


async def test_bodies_of_one_sender_hide_no_other_tenants_messages(kept: Kept) -> None:
    counted = RefusedMessages(MagicMock())
    for n in range(300):
        wrong = InvalidInput([Problem(f"items[{n}]", "a text is needed", "Write one.")] * 2)
        counted.note(RefusedMessage.of(PAID, wrong))
        counted.note(RefusedMessage(PAID, "ANOTHER", f"{n}"))
        counted.note(RefusedMessage(Address(MINE, uuid4()), "ANOTHER", f"{n}"))
    counted.note(RefusedMessage(SHIPPED, "UNAUTHENTICATED", "no"))
    await counted.write()
    assert kept.of(SHIPPED) == {("UNAUTHENTICATED", "no"): 1}
    assert kept.of(PAID)[("INVALID_INPUT", "items[]: a text is needed")] == 300
    assert len(kept.of(PAID)) == MOST_OF_WEBHOOK
    assert len(kept.rows) == MOST_OF_TENANT + 1
    # The next period has room again.
    counted.note(RefusedMessage(PAID, "ANOTHER", "new"))
    await counted.write()
    assert kept.of(PAID)[("ANOTHER", "new")] == 1


async def test_what_can_not_be_written_is_kept_and_the_rest_is_written_once(kept: Kept) -> None:
    counted = RefusedMessages(MagicMock())
    for address in (PAID, SHIPPED):
        counted.note(RefusedMessage(address, "UNAUTHENTICATED", "no"))
    kept.in_trouble = {THEIRS}
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await counted.write()
    counted.note(RefusedMessage(SHIPPED, "UNAUTHENTICATED", "no"))
    kept.in_trouble = set()
    await counted.write()
    await counted.write()
    assert kept.of(PAID) == {("UNAUTHENTICATED", "no"): 1}
    assert kept.of(SHIPPED) == {("UNAUTHENTICATED", "no"): 2}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InvalidInput([Problem(f"a[{n}].b[7]", "too long", "") for n in (1, 2)]), "a[].b[]: too long"),
        (InvalidInput([Problem("a.4711", "no text", "", "NOT_JSON")]), "no text"),
        (ConcurrencyLimit(f"as many as may be are unfinished: {MINE}"), "as many as may be are unfinished"),
        (Replayed(f"the message was taken before; its run is {MINE}"), "the message was taken before"),
    ],
)
def test_what_differs_with_each_message_is_left_out(error: HeadraceError, words: str) -> None:
    assert RefusedMessage.of(PAID, error) == RefusedMessage(PAID, error.code, words)
