"""The chain of audit records, without a database: what is found by whom reads an export."""

import hashlib
from typing import Any

import orjson
import pytest
from headrace.audit_chain import GENESIS, ChainCheck, Misfit, Verdict, link


def chain(length: int, tenant: str = "t", first: int = 1, previous: bytes = GENESIS) -> list[dict[str, Any]]:
    entries = []
    for seq in range(first, first + length):
        record = {"seq": seq, "tenantId": tenant, "action": f"act-{seq}", "detail": {"b": 1, "a": "é"}}
        own = link(previous, record)
        entries.append({**record, "previous": previous.hex(), "hash": own.hex()})
        previous = own
    return entries


def rehashed(entries: list[dict[str, Any]], place: int, **changes: Any) -> list[dict[str, Any]]:
    """The chain with one record changed, and all hashes from there on made anew."""
    kept, previous = entries[:place], bytes.fromhex(entries[place]["previous"])
    for n, entry in enumerate(entries[place:]):
        record = {k: v for k, v in entry.items() if k not in ("previous", "hash")} | (
            changes if n == 0 else {}
        )
        own = link(previous, record)
        kept.append({**record, "previous": previous.hex(), "hash": own.hex()})
        previous = own
    return kept


def verify(entries: list[Any], anchors: dict[int, bytes] | None = None) -> Verdict:
    check = ChainCheck(anchors)
    for entry in entries:
        check.add(entry)
    return check.verdict()


def found(entries: list[Any], anchors: dict[int, bytes] | None = None) -> tuple[int | None, Misfit]:
    finding = verify(entries, anchors).finding
    assert finding is not None
    return finding.seq, finding.misfit


def test_a_hash_can_be_made_with_any_tool() -> None:
    (entry,) = chain(1)
    written = '{"action":"act-1","detail":{"a":"é","b":1},"seq":1,"tenantId":"t"}'
    assert entry["hash"] == hashlib.sha256(b"headrace audit\0" + bytes(32) + written.encode()).hexdigest()


def test_a_whole_chain_fits() -> None:
    entries = chain(5)
    verdict = verify(entries)
    assert (verdict.finding, verdict.records, verdict.seq) == (None, 5, 5)
    assert verdict.head.hex() == entries[-1]["hash"]
    assert verify([]).finding is None


def test_an_order_of_names_and_a_journey_through_json_change_nothing() -> None:
    entries = [dict(reversed(orjson.loads(orjson.dumps(e)).items())) for e in chain(3)]
    assert verify(entries).finding is None


@pytest.mark.parametrize("place", range(5))
def test_a_change_is_found_where_it_was_made(place: int) -> None:
    entries = chain(5)
    entries[place]["action"] = "other"
    assert found(entries) == (place + 1, Misfit.CHANGED)


def test_an_added_name_is_a_change() -> None:
    entries = chain(2)
    entries[1]["note"] = ""
    assert found(entries) == (2, Misfit.CHANGED)


@pytest.mark.parametrize("place", range(4))
def test_a_missing_record_is_found(place: int) -> None:
    entries = chain(5)
    del entries[place]
    assert found(entries) == (place + 1, Misfit.MISSING)


def test_records_out_of_order_and_twice_are_found() -> None:
    one, two, three, four = chain(4)
    assert found([one, three, two, four]) == (2, Misfit.REORDERED)
    assert found([two, one, three, four]) == (1, Misfit.REORDERED)
    assert found([one, two, two, three, four]) == (2, Misfit.REORDERED)


def test_a_record_whose_own_hash_was_made_anew_breaks_the_next_one() -> None:
    entries = chain(4)
    entries[1] = rehashed(entries, 1, action="other")[1]
    assert found(entries) == (3, Misfit.UNLINKED)


def test_another_tenants_record_is_found() -> None:
    mine, other = chain(3), chain(3, tenant="o")
    assert found([mine[0], other[1], mine[2]]) == (2, Misfit.FOREIGN)


def test_a_chain_made_anew_is_found_by_an_anchor_alone() -> None:
    entries = chain(6)
    anchor = {4: bytes.fromhex(entries[3]["hash"])}
    forged = rehashed(entries, 1, action="other")
    assert verify(forged).finding is None
    assert found(forged, anchor) == (4, Misfit.REWRITTEN)
    assert verify(entries, anchor).finding is None
    assert verify(entries, anchor).unanchored == 2


def test_an_end_that_was_cut_off_is_found_by_an_anchor_alone() -> None:
    entries = chain(6)
    anchor = {6: bytes.fromhex(entries[5]["hash"])}
    assert verify(entries[:4]).finding is None
    assert found(entries[:4], anchor) == (5, Misfit.CUT_OFF)
    assert found([], anchor) == (1, Misfit.CUT_OFF)


def test_a_record_appended_without_its_link_is_found() -> None:
    entries = chain(3)
    appended = chain(1, first=4, previous=bytes(31) + b"\1")
    anchor = {3: bytes.fromhex(entries[2]["hash"])}
    assert found([*entries, *appended], anchor) == (4, Misfit.UNLINKED)


def test_a_part_behind_an_anchor_can_be_verified_alone() -> None:
    entries = chain(6)
    anchor = {3: bytes.fromhex(entries[2]["hash"])}
    assert verify(entries[3:], anchor).finding is None
    assert found(entries[3:]) == (1, Misfit.MISSING)
    assert found(entries[3:], {3: bytes(31) + b"\1"}) == (4, Misfit.UNLINKED)


@pytest.mark.parametrize(
    "broken",
    [None, 1, "x", [], {}, {"seq": 0}, {"seq": True}, {"seq": 1, "previous": "zz"}, {"seq": 1, "hash": 3}],
)
def test_what_is_no_entry_is_said_to_be_none(broken: Any) -> None:
    links = {"previous": bytes(32).hex(), "hash": bytes(32).hex()}
    given = {**links, **broken} if isinstance(broken, dict) else broken
    assert found([given]) == (None, Misfit.MALFORMED)


def pruned(up_to: int, **changes: Any) -> list[dict[str, Any]]:
    """What is left of a chain of nine; its eighth record says up to where it was pruned."""
    entries = chain(9)
    said = {"action": "audit.prune", "actorKind": "SERVICE"}
    detail = {"seq": up_to, "hash": entries[up_to - 1]["hash"]}
    return rehashed(entries, 7, **{**said, "detail": detail, **changes})[up_to:]


def test_a_pruned_chain_proves_itself_from_there_on() -> None:
    verdict = verify(pruned(3))
    assert (verdict.finding, verdict.records, verdict.seq) == (None, 6, 9)
    assert verdict.unanchored == 6
    left = pruned(3)
    del left[2]
    assert found(left) == (6, Misfit.MISSING)
    assert found([*left[1:2], left[0], *left[2:]])[1] is Misfit.REORDERED


def test_what_no_record_of_a_pruning_stands_for_is_missing() -> None:
    other = {"seq": 3, "hash": "11" * 32}
    assert found(chain(9)[3:]) == (1, Misfit.MISSING)
    assert found(pruned(3)[1:]) == (1, Misfit.MISSING)  # one more was taken than it says
    assert found(pruned(3, detail=other)) == (1, Misfit.MISSING)
    assert found(pruned(3, detail={"seq": "3"})) == (1, Misfit.MISSING)
    assert found(pruned(3, actorKind="API_KEY")) == (1, Misfit.MISSING)


def test_an_anchor_behind_the_pruning_vouches_for_what_comes_after_it() -> None:
    left = pruned(3)
    verdict = verify(left, {6: bytes.fromhex(left[2]["hash"])})
    assert (verdict.finding, verdict.unanchored) == (None, 3)
    # One from before it says nothing about what is left; who keeps the export of then has it there.
    assert verify(left, {2: bytes(32)}).unanchored == 6
