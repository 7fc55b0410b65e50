"""Times as texts: what they spell, and which of them can be kept."""

import pytest
from headrace.workflow.times import read_moment, read_time


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026-11-01T09:00:00Z", "2026-11-01T09:00:00+00:00"),
        ("2026-11-01t09:00:00.1234567z", "2026-11-01T09:00:00.123456+00:00"),
        ("2026-11-01 09:00:00Z", "2026-11-01T09:00:00+00:00"),
        ("2026-11-01T09:00:00-05:00", "2026-11-01T09:00:00-05:00"),
        ("2026-11-01T09:00", "2026-11-01T09:00:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59+00:00"),
        ("0001-01-01T00:00:00-01:00", "0001-01-01T00:00:00-01:00"),
    ],
)
def test_a_time_is_what_its_text_spells(text: str, said: str) -> None:
    found, kept = read_time(text), read_moment(text)
    assert found is not None
    assert found.isoformat() == said
    assert kept == found


@pytest.mark.parametrize("text", ["", "soon", "2026-13-01", "09:00", "2026-11-01T24:00:00Z", "20261101"])
def test_what_spells_no_time_is_none(text: str) -> None:
    assert read_time(text) is None
    assert read_moment(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "9999-12-31T23:59:59-05:00",
        "0001-01-01T00:00:00+01:00",
        # What asyncpg takes for the infinities.
        "9999-12-31T23:59:59.9999999Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01",
    ],
)
def test_a_time_beyond_the_calendar_in_utc_can_not_be_kept(text: str) -> None:
    assert read_time(text) is not None
    assert read_moment(text) is None
