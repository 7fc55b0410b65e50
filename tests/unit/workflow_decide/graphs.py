"""Graphs that hypothesis makes: acyclic, of every step type, with joins, error edges, loops, repeats and undoing."""

from headrace.workflow.document import (
    Approval,
    Child,
    Compensation,
    Condition,
    DeadlineOutcome,
    Document,
    Edge,
    EdgeOn,
    Ending,
    Expression,
    ForEach,
    Join,
    OnError,
    Probe,
    Repeat,
    Signal,
    Step,
    StepType,
    Wait,
    When,
)
from headrace.workflow.graph import Graph
from hypothesis import strategies as st

MOST_STEPS = 6
# What edges and repeats ask of the number that the world's calls answer with.
ABOVE_ONE = Condition("output.n", "gt", 1)
# An expression that can not be evaluated; see `evaluate` in world.py.
BROKEN = Expression("broken")

_CONDITIONS: list[When | None] = [
    None,
    None,
    None,
    Condition("status", "eq", "SUCCESS"),
    Condition("status", "eq", "FAILED"),
    Condition("error.code", "eq", "E"),
    Condition("error.code", "eq", "ANOTHER"),
    ABOVE_ONE,
    Expression("true"),
    Expression("false"),
    BROKEN,
]
_TYPES = [
    StepType.ACTION,
    StepType.TRANSFORM,
    StepType.ACTION,
    StepType.ACTION,
    StepType.WAIT,
    StepType.APPROVAL,
    StepType.SIGNAL,
    StepType.SIGNAL,
    StepType.WORKFLOW,
    StepType.SUCCEED,
    StepType.FAIL,
]
_RACERS = [StepType.SUCCEED, StepType.FAIL, StepType.ACTION, StepType.TRANSFORM]


@st.composite
def risky(draw: st.DrawFn) -> Graph:
    """Few calls side by side, each with an undo and most with a probe, beside a step that fails."""
    keys = [f"s{n}" for n in range(draw(st.integers(1, 3)))]
    probe = Probe("app/ask", done=ABOVE_ONE)
    undo = Compensation("app/undo")
    calls = [
        Step(k, action="app/do", compensate=undo, probe=draw(st.sampled_from([probe, None]))) for k in keys
    ]
    more = [Step("last", draw(st.sampled_from([StepType.FAIL, StepType.TRANSFORM])))]
    edges = tuple(Edge("first", key) for key in [*keys, "last"])
    return Graph.of(Document("w", (Step("first", StepType.TRANSFORM), *calls, *more), edges))


@st.composite
def racing(draw: st.DrawFn) -> Graph:
    """A `succeed` step, or two, beside calls that may fail and a step that may: whichever is first ends the run."""
    kinds = [StepType.SUCCEED, StepType.ACTION, *draw(st.lists(st.sampled_from(_RACERS), max_size=3))]
    undo = Compensation("app/undo")
    steps = [
        Step(f"s{n}", kind, action="app/do", compensate=undo)
        if kind == StepType.ACTION
        else Step(f"s{n}", kind)
        for n, kind in enumerate(draw(st.permutations(kinds)))
    ]
    edges = tuple(Edge("first", step.key) for step in steps)
    return Graph.of(Document("w", (Step("first", StepType.TRANSFORM), *steps), edges))


@st.composite
def graphs(draw: st.DrawFn, calm: bool = False) -> Graph:
    """Up to `MOST_STEPS` steps in any order, any edges between them that make no cycle.

    `calm`: no step that ends the run, and no expression that fails.
    """
    count = draw(st.integers(1, MOST_STEPS))
    keys = [f"s{n}" for n in range(count)]
    types = _TYPES[:-2] if calm else _TYPES
    steps = tuple(_step(draw, key, draw(st.sampled_from(types))) for key in draw(st.permutations(keys)))
    pairs = [(one, other) for n, one in enumerate(keys) for other in keys[n + 1 :]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    conditions = _CONDITIONS[:-1] if calm else _CONDITIONS
    edges = tuple(
        Edge(a, b, draw(st.sampled_from(conditions)), draw(st.sampled_from([*EdgeOn]))) for a, b in chosen
    )
    endings = draw(st.frozensets(st.sampled_from([*Ending])))
    return Graph.of(Document("w", steps, edges, compensate_on=frozenset(Ending) - endings))


def _step(draw: st.DrawFn, key: str, kind: str) -> Step:
    """A step as a published document may have it (`headrace.workflow.grammar.BUILT_IN_KEYS`)."""
    join = draw(st.sampled_from([*Join]))
    if kind in (StepType.SUCCEED, StepType.FAIL):
        return Step(key, kind, join=join)
    on_error = draw(st.sampled_from([*OnError]))
    match kind:
        case StepType.WAIT:
            return Step(key, kind, join=join, on_error=on_error, wait=Wait(for_ms=20_000))
        case StepType.APPROVAL:
            return Step(key, kind, join=join, on_error=on_error, approval=_approval(draw))
        case StepType.SIGNAL:
            return Step(key, kind, join=join, on_error=on_error, signal=_signal(draw))
        case StepType.WORKFLOW:
            loop = draw(st.sampled_from([None, None, ForEach(["a", "b"])]))
            return Step(key, kind, join=join, on_error=on_error, child=Child("w2"), for_each=loop)
    loop = _loop(draw) if draw(st.integers(0, 3)) == 3 else None
    repeats = loop is None and draw(st.integers(0, 4)) == 4
    repeat = Repeat(ABOVE_ONE, draw(st.sampled_from([100, 8_000])), max=3) if repeats else None
    if kind == StepType.TRANSFORM:
        return Step(key, kind, join=join, on_error=on_error, for_each=loop, repeat=repeat)
    return Step(
        key,
        kind,
        action="app/do",
        join=join,
        on_error=on_error,
        for_each=loop,
        repeat=repeat,
        compensate=draw(st.sampled_from([None, Compensation("app/undo")])),
        probe=draw(st.sampled_from([None, Probe("app/ask", done=ABOVE_ONE)])),
    )


def _loop(draw: st.DrawFn) -> ForEach:
    items = ["a", "b", "c", "d"][: draw(st.integers(0, 4))]
    return ForEach(items, draw(st.integers(1, 3)), draw(st.sampled_from([*OnError])))


def _approval(draw: st.DrawFn) -> Approval:
    outcomes = [DeadlineOutcome.APPROVE, DeadlineOutcome.REJECT, DeadlineOutcome.FAIL]
    return Approval(
        deadline_ms=draw(st.sampled_from([None, 40_000])),
        default=draw(st.sampled_from(outcomes)),
        remind_every_ms=draw(st.sampled_from([None, 15_000])),
    )


def _signal(draw: st.DrawFn) -> Signal:
    return Signal(
        name=draw(st.sampled_from(["go", None])),
        deadline_ms=draw(st.sampled_from([None, 40_000])),
        default=draw(st.sampled_from([DeadlineOutcome.FAIL, DeadlineOutcome.CONTINUE])),
    )
