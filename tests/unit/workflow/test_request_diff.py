"""The comparison of what two walks would send."""

from headrace.json_types import Json
from headrace.workflow.request_diff import Change, Request, diff_requests, differences
from hypothesis import given
from hypothesis import strategies as st

_leaves = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"])
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
_requests = st.lists(
    st.builds(
        lambda path, number, body: Request(path, number, {"body": body}),
        st.sampled_from(["a", "b", "c/d", "e[0]"]),
        st.integers(1, 2),
        _leaves,
    ),
    unique_by=lambda one: one.id,
    max_size=8,
)


def _same(one: Json, other: Json) -> bool:
    """Equal as JSON: true is not 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


@given(_values, _values)
def test_values_differ_somewhere_or_are_equal(one: Json, other: Json) -> None:
    assert (differences(one, other) == []) == _same(one, other)


@given(_requests, _requests)
def test_every_request_is_told_of_once(before: list[Request], after: list[Request]) -> None:
    found = diff_requests(before, after)
    told = [(one.path, one.number) for one in found]
    assert sorted(told) == sorted({one.id for one in (*before, *after)})
    old, new = {one.id for one in before}, {one.id for one in after}
    for one in found:
        there = (one.path, one.number)
        assert (one.change is Change.ADDED) == (there not in old)
        assert (one.change is Change.REMOVED) == (there not in new)


@given(_requests)
def test_a_walk_is_the_same_as_itself(walk: list[Request]) -> None:
    assert {one.change for one in diff_requests(walk, walk)} <= {Change.SAME}


@given(_requests, st.randoms(use_true_random=False))
def test_what_is_not_moved_keeps_its_order(walk: list[Request], random: object) -> None:
    shuffled = list(walk)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = diff_requests(walk, shuffled)
    staying = [(one.path, one.number) for one in found if not one.moved]
    assert staying == [one.id for one in walk if one.id in staying]
    assert {one.change for one in found} <= {Change.SAME, Change.REORDERED}
    assert bool(shuffled == walk) == all(one.change is Change.SAME for one in found)


@given(_requests, _requests)
def test_the_way_back_adds_what_was_removed(before: list[Request], after: list[Request]) -> None:
    there = {(one.path, one.number): one.change for one in diff_requests(before, after)}
    back = {(one.path, one.number): one.change for one in diff_requests(after, before)}
    turned = {Change.ADDED: Change.REMOVED, Change.REMOVED: Change.ADDED}
    for key, change in there.items():
        if change in turned:
            assert back[key] is turned[change]
        assert (change is Change.CHANGED) == (back[key] is Change.CHANGED)


def test_one_that_is_moved_is_the_one_that_is_told() -> None:
    walk = [Request(path, 1, {}) for path in "abcd"]
    found = diff_requests(walk, [walk[3], *walk[:3]])
    assert [one.path for one in found if one.change is Change.REORDERED] == ["d"]


def test_what_was_not_reached_is_not_called_removed() -> None:
    walk = [Request(path, 1, {}) for path in "ab"]
    found = diff_requests(walk, walk[:1], lambda path: path != "b")
    assert [one.change for one in found] == [Change.SAME, Change.NOT_REACHED]
