"""What a re-run takes over from its origin, an ended run, and what it does again. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from headrace.errors import Problem
from headrace.workflow.dealt import dealt_with
from headrace.workflow.definition import Version
from headrace.workflow.document import OnError, Step
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, read_key
from headrace.workflow.lists import ANOTHER_LIST, undone_by_another_list
from headrace.workflow.state import SUCCEEDED, Failure, StepStatus

# Rows of these do not keep their idempotency key when they are done again: it would be answered with what was.
_ANSWERED = SUCCEEDED | {StepStatus.SKIPPED, StepStatus.COMPENSATED}

_EARLIER = "Re-run it from an earlier step, or as a whole."


@dataclass(frozen=True, slots=True)
class OriginRow:
    """A row of the origin, as far as a plan looks at it. `items` is how many a loop has, once it has begun;
    `taken_from` the run that did it, where the origin is a re-run itself; `error` why it failed."""

    status: StepStatus
    items: int | None = None
    taken_from: UUID | None = None
    error: Failure | None = None


@dataclass(frozen=True, slots=True)
class Takeover:
    """`take` are the rows that are taken over, `reopen` the loops among them of which items are done again.

    `again` are the rows that had begun and are done again, `kept` those that keep their idempotency key (of what undoes
    or asks about a row, too). `in_doubt` are the rows of `again` of which nobody knows whether they were done.
    `children` are the rows, of `again` or not begun yet, whose child run goes on from where it failed; those of the
    others are begun anew. Of those in `anew` it does all again, for what it was made of is done again.
    """

    take: Sequence[str] = ()
    reopen: Sequence[str] = ()
    again: Sequence[str] = ()
    kept: Sequence[str] = ()
    in_doubt: Sequence[str] = ()
    children: Sequence[str] = ()
    anew: Collection[str] = ()


@dataclass(slots=True)
class _Wanted:
    """Rows that are done again whatever became of them: whole steps, and single items of loops."""

    steps: set[str] = field(default_factory=set)
    items: dict[str, set[int]] = field(default_factory=dict)
    # Steps whose outcome may change although they had one: what follows them is done again, too.
    changed: set[str] = field(default_factory=set)


def take_over(
    graph: Graph,
    rows: Mapping[str, OriginRow],
    named: Collection[str] = (),
    inside: Collection[str] = (),
    keeps: Collection[str] = (),
    planned: Collection[str] = (),
) -> Takeover:
    """The plan for an ended run with `rows`, by the graph of the version that is to run.

    `named` are row keys (steps, or items of loops) that are done again although they succeeded, with all that follows;
    `inside` are rows of `workflow` steps in whose child something is. Of an ended run that was a re-run itself, `keeps`
    are the rows that it kept the keys of, and `planned` those whose child was to go on: where it did not come to one,
    what an earlier run did still counts. A failure that nothing dealt with, and what was canceled or in doubt, is done
    again in any case; so is what was undone, with all that follows. Keys that the graph does not have are passed over
    here: see `misfits`.
    """
    parsed = {key: read_key(key) for key in rows}
    plain = {key: name for key, name in parsed.items() if name.part is None and name.step in graph.steps}
    wanted = _wanted(graph, rows, [*map(read_key, named), *map(read_key, inside)])
    # What followed a step that was undone has seen what is no more. Of a loop the items are undone, one by one.
    undone = {plain[key].step for key in plain if rows[key].status is StepStatus.COMPENSATED}
    wanted.changed |= undone
    wanted.steps |= undone - _still_done(rows)
    redone = {key for key, name in plain.items() if name.index is None and _fails(graph, name, rows)} | undone
    seen_changed = _after(graph, wanted.changed)
    whole = wanted.steps | seen_changed
    # What was skipped because of a step that is done again is decided again; what was done all the same, is done.
    undecided = _after(graph, redone | whole | wanted.items.keys())
    take: list[str] = []
    reopen: list[str] = []
    for key, name in plain.items():
        row = rows[key]
        if name.step in whole:
            continue
        loop = graph.steps[name.step].for_each is not None and rows.get(name.step, row).items is not None
        if name.index is not None:
            open_again = name.step in redone or name.step in wanted.items
            anew = name.index in wanted.items.get(name.step, ()) or _fails(graph, name, rows)
            if loop and not (open_again and anew):
                take.append(key)
        elif row.status is StepStatus.SKIPPED:
            if key not in undecided:
                take.append(key)
        elif loop and (key in redone or key in wanted.items):
            take.append(key)
            reopen.append(key)
        elif key not in redone:
            take.append(key)
    taken = set(take)
    again = [key for key, name in plain.items() if key not in taken and _begun(name, rows[key])]
    kept = [k for k, row in rows.items() if k not in taken and not _answered(row)]
    kept += [k for k in keeps if k not in rows or rows[k].status is StepStatus.SKIPPED]
    # What is done under a new key is also undone and asked about under a new one.
    new_keys = {key for key in again if _answered(rows[key])}
    kept = [k for k in kept if read_key(k).work not in new_keys]

    def goes_on(key: str) -> bool:
        step = read_key(key).step
        if step not in graph.steps or graph.steps[step].child is None:
            return False
        ended = key in rows and rows[key].status in _ANSWERED - {StepStatus.COMPENSATED}
        return key in inside or not ended

    children = [key for key in (*again, *(key for key in planned if key not in rows)) if goes_on(key)]
    in_doubt = [key for key in again if rows[key].status is StepStatus.UNKNOWN]
    # The input that they had may be another one now, or be of another element.
    changed = seen_changed | {key for key in named if key in graph.steps}
    made_anew = {key for key in children if read_key(key).step in changed}
    return Takeover(take, reopen, [*again, *reopen], kept, in_doubt, children, made_anew)


def misfits(origin: Version, target: Version, rows: Mapping[str, OriginRow], plan: Takeover) -> list[Problem]:
    """Why the rows of the plan can not be taken over into another version."""
    before = {step.key: step for step in origin.document.steps}
    graph = Graph.of(target.document)
    problems: list[Problem] = []
    taken = {read_key(key).step for key in plan.take if rows[key].status is not StepStatus.SKIPPED}
    done = _still_done(rows)
    problems += [
        Problem(f"steps.{key}", "it is done, and the version does not have it", _EARLIER)
        for key in sorted(done - graph.steps.keys())
    ]
    for key in sorted(taken):
        old, new = before[key], graph.steps[key]
        if not alike(old, new):
            problems.append(
                Problem(f"steps.{key}", "it is done, and is another step in the version", _EARLIER)
            )
        elif undone_by_another_list(origin, target, key):
            problems.append(Problem(f"steps.{key}", ANOTHER_LIST, _EARLIER))
        for edge in graph.incoming[key]:
            if edge.from_step not in before:
                words = f"it is done, and step {edge.from_step} comes before it in the version"
                problems.append(Problem(f"steps.{key}", words, _EARLIER))
    return [*problems, *half_done(plan)]


def alike(old: Step, new: Step) -> bool:
    """Whether what the one did is something that the other could have done: whatever it was given, and gave."""
    same = (old.type, old.action, old.child and old.child.workflow, old.for_each is None)
    return same == (new.type, new.action, new.child and new.child.workflow, new.for_each is None)


def half_done(plan: Takeover) -> list[Problem]:
    """Loops that can not go on where they were, when what they go over may be another list now."""
    words = "the loop is half done, and its list may be another one now"
    mend = "Name the loop among the steps to re-run: all its items are done again."
    return [Problem(f"steps.{key}", words, mend) for key in plan.reopen]


def _wanted(graph: Graph, rows: Mapping[str, OriginRow], names: Sequence[RowKey]) -> _Wanted:
    wanted = _Wanted()
    for name in names:
        if name.step not in graph.steps:
            continue
        if name.index is None:
            wanted.steps.add(name.step)
        else:
            wanted.items.setdefault(name.step, set()).add(name.index)
        row = rows.get(name.step)
        if row is not None and not _fails(graph, RowKey(name.step), rows):
            wanted.changed.add(name.step)
    return wanted


def _still_done(rows: Mapping[str, OriginRow]) -> set[str]:
    """The steps that succeeded and were not undone: of a loop at least one item, where any was."""
    names = {key: name for key in rows if (name := read_key(key)).part is None}
    emptied = {name.step for key, name in names.items() if rows[key].status is StepStatus.COMPENSATED}
    return {
        name.step
        for key, name in names.items()
        if rows[key].status in SUCCEEDED and (name.index is not None or name.step not in emptied)
    }


def _after(graph: Graph, steps: Collection[str]) -> set[str]:
    """All steps downstream of these."""
    found: set[str] = set()
    waiting = [key for key in steps if key in graph.steps]
    while waiting:
        for edge in graph.outgoing[waiting.pop()]:
            if edge.to_step not in found:
                found.add(edge.to_step)
                waiting.append(edge.to_step)
    return found


def _fails(graph: Graph, name: RowKey, rows: Mapping[str, OriginRow]) -> bool:
    """Whether the row, as it is, keeps its run from succeeding, or is not over."""
    row = rows[str(name)]
    if row.status in SUCCEEDED or row.status is StepStatus.SKIPPED:
        return False
    if row.status is not StepStatus.FAILED:
        return True
    each = graph.steps[name.step].for_each
    if name.index is not None:
        return each is None or each.on_item_error is not OnError.CONTINUE
    # Where the rows do not tell whether it was dealt with, nothing has been done about it yet: it is tried again.
    statuses = {end: rows[end].status for end, _ in graph.error_conditions(name.step) if end in rows}
    return dealt_with(graph, name.step, row.error, statuses) is not True


def _answered(row: OriginRow) -> bool:
    """Whether all its calls were answered well; those of a `repeat` that gave up were, each round's."""
    exhausted = row.error is not None and row.error.code == "REPEAT_EXHAUSTED"
    return row.status in _ANSWERED or exhausted


def _begun(name: RowKey, row: OriginRow) -> bool:
    return row.status is not StepStatus.SKIPPED and name.part is not Part.UNDO
