"""A sensitive value is sealed wherever a run puts it, opens at its own place alone, and is shown nowhere."""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from headrace.ids import new_id
from headrace.sealed_outputs import (
    INPUT_ROW,
    KEY_BYTES,
    SEALED,
    OutputPlace,
    OutputUnreadable,
    mask,
    open_value,
    run_key,
    seal_input,
    seal_value,
)
from headrace.workflow.expressions import Scope, Templates
from headrace.workflow.sensitive import MAX_REPLACED, Marks, leaves_of
from headrace_runner.sensitive import MOST_SEARCHED, Sensitive, opened
from hypothesis import given
from hypothesis import strategies as st

TENANT, RUN, ROOT = new_id(), new_id(), b"r" * KEY_BYTES
KEY = run_key(ROOT, TENANT, RUN)
PLACE = OutputPlace(TENANT, RUN, "fetch", "/body/card")
CARD, PIN = "4111-1111-1111-1111", 7391

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(SEALED), inner),
    max_leaves=20,
)


@given(_JSON, st.lists(st.sampled_from([CARD, PIN, True, "x"]), max_size=3))
def test_whatever_was_sealed_comes_back_as_it_was(output: Any, known: list[Any]) -> None:
    whole = {"output": output, "also": known}
    sealed = sensitive(("pin", known)).sealed("fetch", whole)
    assert opened(TENANT, {RUN: KEY}, "fetch", sealed)[0] == whole


@pytest.mark.parametrize(
    "place",
    [
        replace(PLACE, tenant_id=new_id()),
        replace(PLACE, run_id=new_id()),
        replace(PLACE, row="fetch[0]"),
        replace(PLACE, pointer="/body/other"),
        replace(PLACE, row="fetch/body", pointer="/card"),
    ],
    ids=["tenant", "run", "row", "pointer", "shifted"],
)
def test_a_sealed_value_moved_elsewhere_does_not_open(place: OutputPlace) -> None:
    marker = marker_in(seal_value(KEY, PLACE, CARD))
    assert open_value(KEY, PLACE, marker) == CARD
    with pytest.raises(OutputUnreadable):
        open_value(KEY, place, marker)


@pytest.mark.parametrize("key", [run_key(ROOT, TENANT, new_id()), run_key(ROOT, new_id(), RUN)])
def test_every_run_has_a_key_of_its_own(key: bytes) -> None:
    with pytest.raises(OutputUnreadable):
        open_value(key, PLACE, marker_in(seal_value(KEY, PLACE, CARD)))


@pytest.mark.parametrize("marker", ["", "AQ==", "no base64", b64encode(b"\x01" + b"x" * 60).decode()])
def test_what_was_never_sealed_does_not_open(marker: str) -> None:
    with pytest.raises(OutputUnreadable):
        opened(TENANT, {RUN: KEY}, "fetch", {"card": {SEALED: marker}})


def test_a_marker_that_a_target_writes_is_data() -> None:
    """Not even one of the same place: it is sealed as a whole, and comes back as the target wrote it."""
    stolen = seal_value(KEY, OutputPlace(TENANT, RUN, "fetch", "/card"), CARD)
    sealed = sensitive(("pin", PIN)).sealed("fetch", {"card": stolen})
    assert sealed["card"] != stolen
    assert opened(TENANT, {RUN: KEY}, "fetch", sealed)[0] == {"card": stolen}


@pytest.mark.parametrize(
    "output",
    [
        {"card": CARD},
        [CARD],
        {"renamed": {"deep": [0, CARD]}},
        {"line": f"paid with {CARD}"},
        {"basic": b64encode(f"user:{CARD}".encode()).decode()},
        {CARD: "as a name"},
        {"nested": {CARD: {"x": 1}}},
        {"json": orjson.dumps({"card": CARD}).decode()},
    ],
)
def test_a_known_value_is_found_wherever_it_stands(output: Any) -> None:
    known = sensitive(("card", CARD))
    for shown in (known.sealed("later", output), known.hidden(output), mask(known.sealed("later", output))):
        text = orjson.dumps(shown).decode()
        assert CARD not in text
        assert b64encode(f"user:{CARD}".encode()).decode() not in text


def test_short_values_and_numbers_are_known_as_whole_values() -> None:
    known = sensitive(("pin", PIN), ("cvv", "12"), ("vip", True))
    shown = known.hidden({"pin": PIN, "text": "7391", "float": 7391.0, "cvv": "12", "vip": True, "ok": True})
    assert shown == dict.fromkeys(("pin", "text", "float", "cvv", "vip"), "[***]") | {"ok": True}
    assert known.hidden({"n": 12345, "t": "room 12"}) == {"n": 12345, "t": "room 12"}
    # As an API may send it, and as it is kept.
    assert sensitive(("number", 9.007199254740993e17)).hidden({"n": 900719925474099300}) == {"n": "[***]"}


def test_a_number_is_found_within_texts_as_they_have_it() -> None:
    account = 12345678901.0
    text = Templates().render("to account {{ input }}", Scope(input=account))
    known = sensitive(("account", account))
    assert known.hidden({"title": text, "url": "/accounts/12345678901"}) == {"title": "[***]", "url": "[***]"}
    assert known.sealed("later", {"title": text}) != {"title": text}


def test_more_values_than_are_searched_for_are_still_sealed_whole() -> None:
    values = [f"canary-{number:05}" for number in range(MOST_SEARCHED * 3)]
    known = sensitive(("cards", values))
    text = orjson.dumps(known.sealed("row", {"again": values})).decode()
    assert "canary" not in text


def test_without_marks_nothing_is_touched() -> None:
    unmarked = Sensitive(TENANT, RUN)
    unmarked.learn([("card", CARD)])
    output = {"card": CARD, "odd": {SEALED: "x"}}
    assert unmarked.sealed("row", output) is output
    assert unmarked.hidden(output) is output
    assert opened(TENANT, {}, "row", output) == (output, [])


def test_what_is_opened_is_known_from_then_on() -> None:
    sealed = sensitive(("card", CARD)).sealed("fetch", {"body": {"card": CARD}})
    output, revealed = opened(TENANT, {new_id(): run_key(ROOT, TENANT, new_id()), RUN: KEY}, "fetch", sealed)
    assert output == {"body": {"card": CARD}}
    resumed = Sensitive(TENANT, RUN, KEY)
    resumed.learn(revealed)
    assert resumed.hidden([f"card {CARD}", "card"]) == ["[***]", "card"]


PARAMETERS = {
    "properties": {
        "card": {"x-sensitive": True},
        "people": {"items": {"properties": {"name": {"x-sensitive": True}}}},
    }
}


@given(st.fixed_dictionaries({}, optional={"card": _JSON, "people": _JSON, "other": _JSON}))
def test_an_input_comes_back_as_it_was_given(given_input: Any) -> None:
    """To its own run, and to one that undoes that run."""
    stored = sealed_input(given_input)
    again, revealed = opened(TENANT, {new_id(): run_key(ROOT, TENANT, new_id()), RUN: KEY}, INPUT_ROW, stored)
    assert again == given_input
    assert set(map(str, leaves_of(given_input.get("card"), "card"))) <= set(map(str, revealed)) or (
        "card" not in given_input
    )


def test_of_an_input_what_is_marked_is_sealed_as_a_whole() -> None:
    whole = {
        "card": {"number": CARD, "pin": PIN},
        "people": [{"name": "Ada", "age": 36}],
        "other": {SEALED: "x"},
    }
    shown = mask(sealed_input(whole))
    assert shown == {"card": "[***]", "people": [{"name": "[***]", "age": 36}], "other": "[***]"}


def test_an_input_with_very_many_sensitive_parts_is_sealed_as_one() -> None:
    crowd = {"people": [{"name": f"canary-{n}"} for n in range(MAX_REPLACED + 1)]}
    stored = sealed_input(crowd)
    assert mask(stored) == "[***]"
    assert opened(TENANT, {RUN: KEY}, INPUT_ROW, stored)[0] == crowd


def sealed_input(value: Any) -> Any:
    marks = Marks.of(PARAMETERS)
    assert marks is not None
    return seal_input(KEY, TENANT, RUN, marks, value)


def sensitive(*fields: tuple[str, Any]) -> Sensitive:
    known = Sensitive(TENANT, RUN, KEY)
    for name, value in fields:
        known.learn(leaves_of(value, name))
    return known


def marker_in(value: Any) -> str:
    assert isinstance(value, Mapping)
    assert not isinstance(value[SEALED], UUID)
    return str(value[SEALED])
