"""Published versions: they come back as they were, and their digest is that of their content alone."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from headrace.errors import InvalidInput
from headrace.json_types import JsonObject
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import PinnedAction, PinnedChild, Version
from headrace.workflow.document import ErrorClass, RetryPolicy, RetryStrategy
from headrace.workflow.json_rules import canonical, digest_of
from headrace.workflow.parse import parse_document
from headrace.workflow.version import digest, dump_version, load_version
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.workflow.documents import get_order, refund


def version() -> Version:
    action = parse_action(get_order(), "shop")
    pinned = PinnedAction("0190-rev", 3, "https://shop.example", action)
    made = Version("0190-id", "", parse_document(refund()), {action.ref: pinned}, {"shop-main": "0190-conn"})
    return replace(made, digest=digest(dump_version(made)))


def with_children() -> Version:
    children = {"ship": PinnedChild("0190-v3", 3, {"type": "object"}), "bill": PinnedChild("0190-v1", 1)}
    made = replace(version(), children=children)
    return replace(made, digest=digest(dump_version(made)))


def through_json(data: JsonObject) -> Any:
    return json.loads(json.dumps(data))


def test_a_version_comes_back_as_it_was() -> None:
    assert load_version(through_json(dump_version(version()))) == version()
    assert load_version(through_json(dump_version(with_children()))) == with_children()


def test_a_version_without_children_says_nothing_of_them() -> None:
    """So that the digests of versions published before there were any are still those of their content."""
    assert "children" not in dump_version(version())


@pytest.mark.parametrize("broken", [[], {"ship": 1}, {"ship": {"versionId": "x"}}, {"ship": {"version": 1}}])
def test_children_that_are_none_are_refused(broken: Any) -> None:
    with pytest.raises(InvalidInput):
        load_version(through_json(dump_version(version())) | {"children": broken})


def test_an_apps_retry_policy_is_pinned() -> None:
    made = version()
    retry = RetryPolicy(RetryStrategy.FIXED, 4, on=(ErrorClass.TIMEOUT,))
    actions = {ref: replace(pinned, retry=retry) for ref, pinned in made.actions.items()}
    made = replace(made, actions=actions)
    made = replace(made, digest=digest(dump_version(made)))
    assert load_version(through_json(dump_version(made))) == made


def test_the_digest_is_of_the_content_alone() -> None:
    data = dump_version(version())
    assert digest(data) == version().digest == digest({**data, "id": "another", "digest": "x"})
    reordered = dict(reversed(list(through_json(data).items())))
    assert digest(reordered) == version().digest
    assert digest({**data, "connections": {"shop-main": "other"}}) != version().digest


def test_a_changed_version_is_refused() -> None:
    data = through_json(dump_version(version()))
    data["actions"]["shop/get-order"]["baseUrl"] = "https://evil.example"
    with pytest.raises(InvalidInput) as caught:
        load_version(data)
    assert caught.value.problems[0].code == "BAD_VERSION"


@pytest.mark.parametrize("name", ["id", "digest", "document", "actions", "connections"])
@pytest.mark.parametrize("value", [None, 1, [], {"a": 1}])
def test_what_is_no_version_is_refused(name: str, value: Any) -> None:
    data = through_json(dump_version(version()))
    data[name] = value
    with pytest.raises(InvalidInput):
        load_version(data)
    del data[name]
    with pytest.raises(InvalidInput):
        load_version(data)


def test_the_canonical_text_is_fixed() -> None:
    """Digests are stored: a change of this text makes every published version unreadable."""
    value: Any = {"b": [1.0, 1e3, 1.5, -0.0, 1e-7, 2**63 - 1, True, None], "a": {"ü": '\u2028"\\/'}}
    assert (
        canonical(value)
        == '{"a":{"ü":"\u2028\\"\\\\/"},"b":[1,1000,1.5,0,1e-07,9223372036854775807,true,null]}'
    )
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"


numbers = st.one_of(
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1e20, 1e20),
)


@settings(deadline=None)
@given(numbers)
def test_a_digest_survives_jsonb(number: float) -> None:
    """Postgres writes a jsonb number out in full; what is read back may be an int where a float was."""
    written = format(Decimal(json.dumps(number)), "f")
    assert canonical(json.loads(written)) == canonical(number)
