"""Schedules and backfills that are left alone for a while."""

from uuid import uuid4

from headrace_control.schedules.rests import LONGEST_REST, Rests

TENANT = uuid4()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_rest_is_doubled_until_it_went_well() -> None:
    clock, one = Clock(), uuid4()
    rests, lengths = Rests(clock), []
    for _ in range(7):
        rests.begin(TENANT, one)
        lengths.append(rests.seconds_to_next())
        assert rests.now() == [one]
        clock.now += lengths[-1] or 0
        assert (rests.now(), rests.seconds_to_next()) == ([], None)
    assert lengths == [1, 2, 4, 8, LONGEST_REST, LONGEST_REST, LONGEST_REST]
    assert rests.tenants() == {TENANT}
    rests.end(one)
    assert rests.tenants() == set()
    rests.begin(TENANT, one)
    assert rests.seconds_to_next() == 1


def test_what_is_not_tried_again_is_forgotten() -> None:
    clock, one = Clock(), uuid4()
    rests = Rests(clock)
    rests.begin(TENANT, one)
    clock.now += 100
    assert rests.now() == []
    rests.begin(TENANT, one)
    assert rests.seconds_to_next() == 1
