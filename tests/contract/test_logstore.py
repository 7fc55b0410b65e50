"""The log store's contract (headrace.logstore.port), held to by both adapters."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from headrace.errors import InvalidInput, LogStoreUnavailable
from headrace.logstore.open import open_log_store
from headrace.logstore.port import LogQuery, LogStore
from headrace.messages import LogLevel

from tests.contract.log_stores import NOW, OTHER, RETENTION, TENANT, found, opened, record


class TestAppend:
    async def test_a_record_comes_back_as_it_was(self, store: LogStore) -> None:
        whole = record(
            "whole",
            level=LogLevel.ERROR,
            step="refund",
            attempt=3,
            context={"n": 1, "f": 2.5, "l": [None, {"t": True}]},
        )
        await store.append([whole])
        assert (await store.search(LogQuery(TENANT))).records == [whole]

    async def test_appending_again_stores_once(self, store: LogStore) -> None:
        one, two, three = record("one"), record("two"), record("three")
        await store.append([one, two, one])
        await store.append([two, three, one])
        await store.append([one, two, three])
        assert sorted(await found(store, LogQuery(TENANT))) == ["one", "three", "two"]

    async def test_appending_a_known_id_changes_nothing(self, store: LogStore) -> None:
        first = record("first")
        await store.append([first])
        await store.append([replace(first, message="second"), record("beside")])
        assert sorted(await found(store, LogQuery(TENANT))) == ["beside", "first"]

    async def test_an_empty_batch_is_no_batch(self, store: LogStore) -> None:
        await store.append([])
        assert await found(store, LogQuery(TENANT)) == []

    @pytest.mark.parametrize(
        "odd",
        [
            pytest.param({"message": "nul \x00 here"}, id="NUL"),
            pytest.param({"message": "half \ud83d of a pair"}, id="lone surrogate"),
            pytest.param({"message": "x" * 1_000_000}, id="a megabyte"),
            pytest.param({"message": "many " + " ".join(f"w{n}" for n in range(50_000))}, id="many words"),
            pytest.param({"message": ""}, id="nothing"),
            pytest.param({"message": "$where: function() { return true }"}, id="operator"),
            pytest.param({"step": "a\x00b\ud800" + "c" * 10_000}, id="step"),
            pytest.param({"attempt": 2**70}, id="attempt"),
            pytest.param({"at": datetime.max.replace(tzinfo=UTC)}, id="the end of time"),
            pytest.param({"at": datetime.min.replace(tzinfo=UTC)}, id="the beginning of time"),
            pytest.param({"context": {"$set": {"a.b": 1}, "": 2, "nul\x00": "\x00\ud800"}}, id="keys"),
            pytest.param({"context": {"big": 2**63, "bigger": 2**80, "nan": float("nan")}}, id="numbers"),
            pytest.param({"context": {"when": NOW}}, id="no JSON"),
            pytest.param({"context": {"text": "x" * 17_000_000}}, id="a large context"),
        ],
    )
    async def test_odd_records_are_kept_and_harm_no_neighbour(
        self, store: LogStore, odd: dict[str, Any]
    ) -> None:
        strange = replace(record("strange"), **odd)
        await store.append([record("before"), strange, record("after")])
        assert {"before", "after"} <= set(await found(store, LogQuery(TENANT)))
        [kept] = (await store.search(LogQuery(TENANT, run_id=strange.run_id))).records
        assert kept.id == strange.id
        assert abs(kept.at - strange.at) < timedelta(days=3)
        assert len(kept.message) < 10_000

    async def test_what_is_cut_says_how_long_it_was(self, store: LogStore) -> None:
        await store.append([record("y" * 1_000_000)])
        [message] = await found(store, LogQuery(TENANT))
        assert message.endswith("(1000000 characters)")

    async def test_a_deep_context_is_left_out(self, store: LogStore) -> None:
        deep: dict[str, Any] = {}
        for _ in range(5_000):
            deep = {"in": deep}
        await store.append([record("deep", context=deep), record("beside")])
        assert sorted(await found(store, LogQuery(TENANT))) == ["beside", "deep"]


class TestPurge:
    async def test_it_deletes_what_has_expired_and_no_more_than_told(self, store: LogStore) -> None:
        old = [record("old", at=NOW - timedelta(seconds=n), tenant=(TENANT, OTHER)[n % 2]) for n in range(25)]
        young = [record("young", at=NOW + timedelta(seconds=n + 1)) for n in range(5)]
        await store.append(old + young)
        expired_at = NOW + RETENTION
        assert await store.purge(NOW, 10) == 0
        assert await store.purge(expired_at, 10) == 10
        assert await store.purge(expired_at, 10) == 10
        assert await store.purge(expired_at, 10) == 5
        assert await store.purge(expired_at) == 0
        assert await found(store, LogQuery(TENANT)) == ["young"] * 5
        assert await found(store, LogQuery(OTHER)) == []

    async def test_what_expires_first_goes_first(self, store: LogStore) -> None:
        await store.append([record(f"m{n}", at=NOW + timedelta(seconds=n)) for n in (3, 1, 4, 2)])
        assert await store.purge(NOW + RETENTION + timedelta(days=1), 2) == 2
        assert await found(store, LogQuery(TENANT)) == ["m4", "m3"]


class TestForget:
    async def test_one_tenants_records_go_whatever_their_age_and_no_more_than_told(
        self, store: LogStore
    ) -> None:
        await store.append([record(tenant=TENANT, at=NOW + timedelta(days=n)) for n in range(12)])
        await store.append([record("theirs", tenant=OTHER)])
        assert [await store.forget(TENANT, 5) for _ in range(4)] == [5, 5, 2, 0]
        assert await found(store, LogQuery(TENANT)) == []
        assert await found(store, LogQuery(OTHER)) == ["theirs"]


class TestAway:
    async def test_a_store_that_answers_is_there(self, store: LogStore) -> None:
        await store.ping()

    async def test_every_call_says_so_in_time(self) -> None:
        """Of a server that refuses and of one that is silent, by both schemes; all at once, for time's sake."""

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async def answers_of(url: str) -> list[Any]:
            query = LogQuery(TENANT, since=NOW)
            async with opened(url) as store:
                return await asyncio.gather(
                    store.append([record()]),
                    store.search(query),
                    anext(store.tail(query)),
                    store.purge(NOW),
                    store.forget(TENANT),
                    store.ping(),
                    return_exceptions=True,
                )

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        refusing = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        ports = [server.sockets[0].getsockname()[1] for server in (silent, refusing)]
        refusing.close()
        urls = [f"{s}://hidden:secret@127.0.0.1:{p}/logs" for s in ("mongodb", "postgresql") for p in ports]
        async with asyncio.timeout(25):
            answers = await asyncio.gather(*map(answers_of, urls))
        silent.close()
        assert [[type(each) for each in of_one] for of_one in answers] == [[LogStoreUnavailable] * 6] * 4
        assert "secret" not in str(answers)

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "logs",
            "redis://u:secret@x/",
            "mongodb://",
            "mongodb://u:secret@h:x/",
            "mongodb://u:secret@@h/",
            "postgresql://[u:secret@h/",
        ],
    )
    async def test_a_url_that_can_not_be_read_is_refused_without_being_quoted(self, url: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            await open_log_store(url, retention=RETENTION)
        assert "secret" not in refused.value.message
