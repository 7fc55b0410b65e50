import pytest
from headrace.outbound.target import Target


def test_equal_records_are_one_key_and_take_nothing_but_their_fields() -> None:
    one, other = Target("https", "api.example", 443, "/"), Target("https", "api.example", 443, "/")
    assert one == other
    assert {one: "kept"}[other] == "kept"
    assert one != Target("https", "api.example", 444, "/")
    with pytest.raises(AttributeError):
        one.query = "?"  # type: ignore[attr-defined]
