"""Which starts a rollout gives to its candidate."""

from uuid import UUID

import pytest
from headrace.ids import new_id
from headrace.workflow.extraction import compile_path
from headrace.workflow.rollout import Split

KEY = compile_path("$.customer.id")
NOBODY = UUID(int=0)


def taken(share: int, *, salt: bytes = b"salt", many: int = 20_000) -> set[int]:
    split = Split(share, salt, KEY)
    return {n for n in range(many) if split.takes({"customer": {"id": n}}, NOBODY)}


def test_a_share_that_grows_takes_more_and_gives_none_back() -> None:
    sizes = []
    before: set[int] = set()
    for share in (0, 1, 100, 1_000, 2_500, 5_000, 9_999, 10_000):
        now = taken(share)
        assert before <= now
        sizes.append(len(now))
        before = now
    assert sizes[0] == 0
    assert sizes[-1] == 20_000
    # Salt and keys are the same each time: what is seen is one fixed draw, within 4 deviations of its expectation.
    assert [
        abs(size - 2 * share) <= 4 * (2 * share * (1 - share / 10_000)) ** 0.5
        for size, share in zip(sizes, (0, 1, 100, 1_000, 2_500, 5_000, 9_999, 10_000), strict=True)
    ] == [True] * 8


def test_another_rollout_draws_other_keys() -> None:
    both = taken(1_000) & taken(1_000, salt=b"other")
    # A tenth of a tenth: 200 expected, with a deviation of 14.
    assert 140 <= len(both) <= 260


def test_without_a_key_or_its_value_the_run_decides() -> None:
    runs = [new_id() for _ in range(2_000)]
    for split in (Split(5_000, b"salt"), Split(5_000, b"salt", KEY)):
        for value in ({}, {"customer": {"id": None}}, {"customer": 3}):
            ways = {split.takes(value, run) for run in runs}
            assert ways == {True, False}
            assert all(split.takes(value, run) is split.takes({}, run) for run in runs)


@pytest.mark.parametrize(
    ("value", "wanted"), [(17, True), ("17", True), (True, True), ("acme", True), (18, False)]
)
def test_cohorts_go_whatever_the_share(value: object, wanted: bool) -> None:
    split = Split(0, b"salt", KEY, frozenset({"17", "true", "acme"}))
    assert split.takes({"customer": {"id": value}}, NOBODY) is wanted  # type: ignore[dict-item]
