"""How many runners there should be, whatever the load does."""

import math
from collections.abc import Sequence
from itertools import pairwise

from headrace_cli.fleet.rule import TOLERANCE, Memory, Rule, follow
from headrace_cli.runner import runner_environment
from hypothesis import given
from hypothesis import strategies as st

LOADS = st.one_of(st.none(), st.integers(0, 5_000))


@st.composite
def rules(draw: st.DrawFn, most_at_least: int = 5) -> Rule:
    minimum = draw(st.integers(0, most_at_least))
    return Rule(
        target=draw(st.floats(0.5, 200)),
        minimum=minimum,
        maximum=minimum + draw(st.integers(0 if minimum else 1, 20)),
        stabilisation=draw(st.floats(0, 60)),
        cool_down=draw(st.floats(0, 60)),
    )


READINGS = st.lists(st.tuples(LOADS, st.floats(0.2, 30)), min_size=1, max_size=40)


def played(
    rule: Rule, readings: Sequence[tuple[int | None, float]], current: int = 0
) -> list[tuple[float, int | None, int]]:
    """The second, the load and the runners after each reading; each comes so many seconds after the one before."""
    memory, now, story = Memory(), 0.0, []
    for load, later in readings:
        now += later
        memory, current = follow(rule, memory, load, current, now)
        story.append((now, load, current))
    return story


@given(rules(), READINGS)
def test_there_are_never_too_few_nor_too_many(rule: Rule, readings: list[tuple[int | None, float]]) -> None:
    assert all(rule.minimum <= count <= rule.maximum for _, _, count in played(rule, readings))


@given(rules(), READINGS)
def test_there_are_enough_at_once(rule: Rule, readings: list[tuple[int | None, float]]) -> None:
    for _, load, count in played(rule, readings):
        if load is not None and count < rule.maximum:
            assert load <= rule.target * count * (1 + TOLERANCE) + 1e-6


@given(rules(), READINGS)
def test_one_leaves_only_when_none_was_asked_for_all_the_while(
    rule: Rule, readings: list[tuple[int | None, float]]
) -> None:
    story = played(rule, readings)
    for (_, _, before), (now, _, after) in pairwise(story):
        if after < before:
            most = max(
                count if load is None else math.ceil(load / rule.target)
                for at, load, count in story
                if at == now or 0 <= now - at < rule.stabilisation
            )
            assert after >= min(before, most, rule.maximum)


@given(rules(0), READINGS)
def test_none_is_left_only_when_it_was_quiet_for_long(
    rule: Rule, readings: list[tuple[int | None, float]]
) -> None:
    story = played(rule, readings)
    for (_, _, before), (now, _, after) in pairwise(story):
        if before and not after:
            loaded = [at for at, load, _ in story if load != 0 and at <= now]
            assert now - max(loaded, default=story[0][0]) >= rule.cool_down


@given(rules(), st.integers(0, 5_000), READINGS)
def test_under_one_load_it_comes_to_rest(
    rule: Rule, load: int, readings: list[tuple[int | None, float]]
) -> None:
    _, _, current = played(rule, readings)[-1]
    settled = played(rule, [(load, 10.0)] * 20, current)
    assert len({count for _, _, count in settled[-5:]}) == 1
    count = settled[-1][2]
    if count > rule.minimum:  # not one more than is needed, but for the tenth that changes nothing
        assert load > rule.target * count * (1 - TOLERANCE) - 1e-6 or load > rule.target * (count - 1)
    if load == 0:
        assert count == rule.minimum


@given(rules(), st.integers(0, 30))
def test_as_long_as_nobody_can_tell_it_stays(rule: Rule, current: int) -> None:
    within = max(rule.minimum, min(rule.maximum, current))
    assert {count for _, _, count in played(rule, [(None, 1000.0)] * 3, current)} == {within}


def test_a_burst_and_its_end() -> None:
    rule = Rule(target=50, minimum=0, maximum=8, stabilisation=10, cool_down=30)
    story = played(rule, [(0, 1), (5, 1), (120, 1), (5_000, 1), (40, 1), *[(0, 5)] * 8])
    assert [count for _, _, count in story] == [0, 1, 3, 8, 8, 8, 1, 1, 1, 1, 0, 0, 0]


def test_runners_are_given_no_database_and_no_key() -> None:
    ours = {
        "PATH": "/bin",
        "OTEL_SERVICE_NAME": "x",
        "HEADRACE_BUS_URL": "amqp://bus",
        "HEADRACE_CAPACITY": "5",
        "HEADRACE_DATABASE_URL": "postgresql://owner",
        "HEADRACE_KEY": "k",
        "HEADRACE_API_KEY": "hr_x",
    }
    assert set(runner_environment(ours)) == {
        "PATH",
        "OTEL_SERVICE_NAME",
        "HEADRACE_BUS_URL",
        "HEADRACE_CAPACITY",
    }
