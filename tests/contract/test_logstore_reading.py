"""The log store's contract (headrace.logstore.port), held to by both adapters: searching and following."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from headrace.errors import InvalidInput
from headrace.ids import new_id
from headrace.logstore.port import MAX_PAGE, LogQuery, LogStore
from headrace.messages import LogLevel, LogRecord

from tests.contract.log_stores import NOW, OTHER, TENANT, found, messages, opened, record

# A message, searches that find it, searches that do not.
WORDS: list[tuple[str, list[str], list[str]]] = [
    (
        "Order-17 was refused",
        ["order-17", "ORDER", "17", "was refused"],
        ["order-1", "ord", "refuse"],
    ),
    ("answered HTTP_503.", ["http_503", "503", "http"], ["50", "http_50"]),
    (
        "mail to Ann.Lee@Example.com",
        ["ann.lee@example.com", "example.com", "ann.lee", "lee"],
        ["exam"],
    ),
    (
        "GET https://api.shop.example/v1/orders?id=9",
        ["api.shop.example", "orders 9"],
        ["api.shop.exam"],
    ),
    ("run 018f2d3e-aaaa-7bbb-8ccc-1234567890ab", ["018F2D3E-AAAA-7BBB-8CCC-1234567890AB"], ["018f"]),
    ("Große STRASSE", ["grosse straße", "GROSSE"], ["gross"]),
    ("cafe\u0301 ferme\u0301", ["caf\u00e9", "FERMÉ"], ["cafe"]),
    ("注文に失敗しました", ["注文", "失敗"], ["成功"]),
    ("नमस्ते दुनिया", ["दुनिया"], ["दुन"]),
    ("a.*b [x] (y|z) ^q$ \\d+", ["a.*b", "[x]", "(y|z)", "^q$", "\\d+"], [".*y.*9", "[a-z]", "\\w"]),
    ("cost {$gt: 5}", ["$gt", "{$gt: 5}"], ['{"$ne": null}', "$where", "$regex"]),
    ("level:ERROR step:pay", ["level:ERROR", "step:pay"], ["level:WARN"]),
    ("50% off; DROP TABLE runs--", ["drop table", "';drop"], ["runs-x"]),
]


async def pages(store: LogStore, query: LogQuery, first: int) -> AsyncIterator[list[LogRecord]]:
    after: str | None = None
    while True:
        page = await store.search(query, first, after)
        yield list(page.records)
        if page.after is None:
            return
        after = page.after


@contextlib.asynccontextmanager
async def following(store: LogStore, query: LogQuery) -> AsyncIterator[AsyncIterator[LogRecord]]:
    tail = store.tail(query)
    async with asyncio.timeout(30), contextlib.aclosing(tail):
        yield tail


class TestSearch:
    async def test_newest_first_and_by_id_where_times_are_equal(self, store: LogStore) -> None:
        records = [record(f"m{n}", at=NOW + timedelta(microseconds=n // 3)) for n in range(30)]
        await store.append(records[::-2] + records[::2])
        newest_first = sorted(records, key=lambda r: (r.at, r.id), reverse=True)
        assert await found(store, LogQuery(TENANT)) == messages(newest_first)

    async def test_pages_of_every_size_are_whole_and_apart(self, store: LogStore) -> None:
        records = [record(f"m{n}", at=NOW + timedelta(microseconds=n // 4)) for n in range(21)]
        await store.append(records)
        for first in (1, 2, 7, 20, 21, 22):
            seen = [r.id async for page in pages(store, LogQuery(TENANT), first) for r in page]
            assert seen == [r.id for r in reversed(records)]

    async def test_filters_narrow_together(self, store: LogStore) -> None:
        run = new_id()
        hit: dict[str, Any] = {"run_id": run, "step": "refund", "level": LogLevel.WARN}
        await store.append(
            [
                record("refund failed", **hit),
                record("refund worse failed", **{**hit, "level": LogLevel.ERROR}),
                record("refund mild failed", **{**hit, "level": LogLevel.INFO}),
                record("refund elsewhere failed", **{**hit, "run_id": new_id()}),
                record("refund other failed", **{**hit, "step": "notify"}),
                record("refund stepless failed", **{**hit, "step": None}),
                record("refund worked", **hit),
                record("refund early failed", at=NOW - timedelta(microseconds=1), **hit),
                record("refund late failed", at=NOW + timedelta(seconds=1), **hit),
            ]
        )
        query = LogQuery(
            TENANT, "FAILED refund", LogLevel.WARN, run, "refund", NOW, NOW + timedelta(seconds=1)
        )
        assert sorted(await found(store, query)) == ["refund failed", "refund worse failed"]

    async def test_a_level_is_the_least_severe_wanted(self, store: LogStore) -> None:
        await store.append([record(str(each), level=each) for each in LogLevel])
        for least in LogLevel:
            worse = {str(each) for each in LogLevel if each.severity >= least.severity}
            assert set(await found(store, LogQuery(TENANT, level=least))) == worse

    async def test_words_match_whole_words_without_case(self, store: LogStore) -> None:
        for message, hits, misses in WORDS:
            tenant = new_id()
            await store.append([record(message, tenant=tenant), record("something else", tenant=tenant)])
            for words in hits:
                assert await found(store, LogQuery(tenant, words)) == [message], words
            for words in misses:
                assert await found(store, LogQuery(tenant, words)) == [], words

    async def test_no_words_do_not_narrow(self, store: LogStore) -> None:
        await store.append([record("one"), record("two")])
        for words in ("", "   \n"):
            assert sorted(await found(store, LogQuery(TENANT, words))) == ["one", "two"]

    async def test_words_that_can_not_be_searched_are_refused(self, store: LogStore) -> None:
        for words in (".*", "$ {} ()", "\x00", "\ud800", "w " * 2_000, " ".join("abcdefghijklmnopqrst")):
            with pytest.raises(InvalidInput) as refused:
                await store.search(LogQuery(TENANT, words))
            assert refused.value.problems[0].path == "words"

    async def test_a_step_that_is_none_finds_nothing(self, store: LogStore) -> None:
        await store.append([record("one", step="pay")])
        for step in ("\x00", "\ud800", "x" * 100_000, "$ne", "unknown", ""):
            assert await found(store, LogQuery(TENANT, step=step)) == []

    async def test_a_cursor_that_is_none_of_ours_is_refused(self, store: LogStore) -> None:
        for after in ("", "x", "AAAA", "é", "\ud800", "!" * 34, "A" * 34, "////", "A" * 100_000):
            with pytest.raises(InvalidInput) as refused:
                await store.search(LogQuery(TENANT), 10, after)
            assert refused.value.problems[0].path == "after"

    async def test_a_page_has_its_bounds(self, store: LogStore) -> None:
        for first in (-1, 0, MAX_PAGE + 1):
            with pytest.raises(InvalidInput) as refused:
                await store.search(LogQuery(TENANT), first)
            assert refused.value.problems[0].path == "first"

    async def test_tenants_are_apart(self, store: LogStore) -> None:
        run = new_id()
        await store.append([record("ours pay", run_id=run), record("theirs pay", run_id=run, tenant=OTHER)])
        for query in (LogQuery(TENANT), LogQuery(TENANT, "pay"), LogQuery(TENANT, run_id=run)):
            assert await found(store, query) == ["ours pay"]
        assert await found(store, LogQuery(new_id(), "pay")) == []

    async def test_another_tenants_cursor_opens_nothing(self, store: LogStore) -> None:
        await store.append(
            [record("old"), record("theirs", tenant=OTHER), record("theirs too", tenant=OTHER)]
        )
        theirs = await store.search(LogQuery(OTHER), 1)
        assert messages((await store.search(LogQuery(TENANT), 10, theirs.after)).records) == ["old"]

    async def test_thousands_of_records_page_by_page_while_new_ones_arrive(
        self, store: LogStore, many: int
    ) -> None:
        wanted, others = [], []
        for n in range(many):
            at = NOW + timedelta(milliseconds=n)
            wanted.append(record(f"refund {n} failed", at=at, step="refund", level=LogLevel.ERROR))
            if n % 20 == 0:
                others.append(record(f"refund {n} worked", at=at, step="refund", level=LogLevel.ERROR))
                others.append(record(f"refund {n} failed", at=at, step="notify", level=LogLevel.ERROR))
                others.append(record(f"refund {n} failed", at=at, step="refund"))
        arrivals = wanted + others
        for start in range(0, len(arrivals), 1_000):
            await store.append(arrivals[start : start + 1_000])
        query = LogQuery(
            TENANT, "refund failed", LogLevel.WARN, step="refund", since=NOW, until=NOW + timedelta(hours=1)
        )
        seen: list[UUID] = []
        async for page in pages(store, query, MAX_PAGE):
            seen += [r.id for r in page]
            newer = [
                record("refund failed", at=NOW + timedelta(minutes=30), step="refund", level=LogLevel.ERROR)
            ]
            await store.append(newer)
        assert seen == [r.id for r in reversed(wanted)]


class TestTail:
    async def test_it_sees_what_is_appended_from_now_on(self, store: LogStore) -> None:
        await store.append([record("before")])
        async with following(store, LogQuery(TENANT)) as tail:
            first = asyncio.ensure_future(anext(tail))
            # Until the follower has begun, what is appended is "before" to it: go on until it answers.
            for n in itertools.count():
                await store.append([record(f"new {n}")])
                done, _ = await asyncio.wait([first], timeout=0.2)
                if done:
                    break
            begun = int(first.result().message.removeprefix("new "))
            await store.append([record("last")])
            rest = [(await anext(tail)).message for _ in range(n - begun + 1)]
        assert rest == [f"new {k}" for k in range(begun + 1, n + 1)] + ["last"]

    async def test_from_a_time_on_by_time_then_as_they_come(self, store: LogStore) -> None:
        earlier = [record(f"m{n:03}", at=NOW + timedelta(milliseconds=n)) for n in range(-10, 700)]
        await store.append(earlier[::2])
        await store.append(earlier[1::2])
        async with following(store, LogQuery(TENANT, since=NOW)) as tail:
            assert [(await anext(tail)).id for _ in range(700)] == [r.id for r in earlier[10:]]
            await store.append([record("next")])
            assert (await anext(tail)).message == "next"

    async def test_what_comes_late_is_seen_too(self, store: LogStore) -> None:
        await store.append([record("one", at=NOW + timedelta(hours=1))])
        async with following(store, LogQuery(TENANT, since=NOW)) as tail:
            assert (await anext(tail)).message == "one"
            await store.append([record("late", at=NOW)])
            assert (await anext(tail)).message == "late"
            await store.append([record("two", at=NOW + timedelta(hours=2))])
            assert (await anext(tail)).message == "two"

    async def test_it_narrows_as_a_search_does(self, store: LogStore) -> None:
        run = new_id()
        hit: dict[str, Any] = {"run_id": run, "step": "pay", "level": LogLevel.WARN}
        query = LogQuery(TENANT, "card", LogLevel.WARN, run, "pay", since=NOW)
        async with following(store, query) as tail:
            await store.append([record("card 1", **hit)])
            assert (await anext(tail)).message == "card 1"
            await store.append(
                [
                    record("card theirs", tenant=OTHER, **hit),
                    record("cash", **hit),
                    record("card mild", **{**hit, "level": LogLevel.INFO}),
                    record("card else", **{**hit, "step": "ship"}),
                    record("card run", **{**hit, "run_id": new_id()}),
                    record("card old", at=NOW - timedelta(days=1), **hit),
                ]
            )
            await store.append([record("card 2", **hit)])
            assert (await anext(tail)).message == "card 2"

    async def test_of_many_writers_at_once_nothing_is_missed_or_doubled(
        self, store: LogStore, store_url: str
    ) -> None:
        async with opened(store_url) as another, following(store, LogQuery(TENANT, since=NOW)) as tail:
            batches = [[record(f"{w} {b} {n}") for n in range(5)] for w in range(6) for b in range(10)]

            async def write(by: LogStore, mine: list[list[LogRecord]]) -> None:
                for batch in mine:
                    await by.append(batch)
                    await by.append(batch)

            writing = asyncio.gather(*(write((store, another)[w % 2], batches[w::6]) for w in range(6)))
            seen = [(await anext(tail)).id for _ in range(300)]
            await writing
            await store.append([record("end")])
            assert (await anext(tail)).message == "end"
        assert set(seen) == {r.id for batch in batches for r in batch}

    async def test_words_that_can_not_be_searched_are_refused(self, store: LogStore) -> None:
        with pytest.raises(InvalidInput):
            async with following(store, LogQuery(TENANT, "...")) as tail:
                await anext(tail)
