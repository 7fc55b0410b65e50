"""Plans of re-runs: what the tenant's rows say, put to the pure rules; children included."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from headrace.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Problem
from headrace.json_types import JsonObject
from headrace.postgres.pool import Db
from headrace.workflow.definition import Version
from headrace.workflow.graph import Graph
from headrace.workflow.keys import Part, RowKey, read_key, undo_key
from headrace.workflow.rerun import OriginRow, Takeover, half_done, misfits, take_over
from headrace.workflow.state import ENDED_RUN, StepStatus

from headrace_control.reruns import repository
from headrace_control.reruns.model import Origin, Plan, Preview, RerunFate, RerunStep

# Child runs that one re-run goes on from.
MAX_CHILDREN = 1000
MAX_NAMED = 200
MAX_SHOWN = 1000


@dataclass(slots=True)
class Named:
    """The row keys that somebody named, and those of children's steps, by the rows that began them."""

    rows: set[str] = field(default_factory=set)
    inside: dict[str, "Named"] = field(default_factory=dict)


def read_named(paths: Sequence[str]) -> Named:
    """Raises `InvalidInput` for what is no path of row keys."""
    if len(paths) > MAX_NAMED:
        raise LimitExceeded(f"at most {MAX_NAMED} steps can be named")
    named = Named()
    for n, path in enumerate(paths):
        *parents, row = path.split("/")
        place = named
        for key in (*parents, row):
            _check_key(key, f"steps[{n}]")
        for parent in parents:
            place = place.inside.setdefault(parent, Named())
        place.rows.add(row)
    return named


def _check_key(key: str, place: str) -> None:
    try:
        name = read_key(key)
    except ValueError:
        name = RowKey("")
    if not name.step or name.part is not None:
        mend = (
            "Write a step's key, `key[3]` for an item of a loop, and `parent/key` for a step of a child run."
        )
        raise InvalidInput([Problem(place, "this names no step", mend)])


class Planner:
    """Plans one re-run; `db` is inside the tenant's transaction."""

    def __init__(self, db: Db, tenant_id: UUID) -> None:
        self._db, self._tenant_id = db, tenant_id
        self._problems: list[Problem] = []
        self._children = 0

    async def origin(self, run_id: UUID) -> Origin:
        """Raises `NotFound`, and `Conflict` for a run that is not to be run again by itself."""
        origin = await repository.origin(self._db, self._tenant_id, run_id)
        if origin is None:
            raise NotFound("run")
        if origin.status not in ENDED_RUN:
            raise Conflict(f"the run has not ended ({origin.status})")
        if origin.undoes_run_id is not None:
            raise Conflict("the run undoes another; replay its dead letter")
        return origin

    async def plan(
        self, origin: Origin, named: Named, *, version: int | None, whole: bool, edited: bool
    ) -> Plan:
        """Raises `NotFound`, `LimitExceeded`, and `InvalidInput` with what is in the way of taking things over."""
        before = await self._version(origin.version_id)
        target_id, target = before
        if version is not None:
            found = await repository.version_numbered(self._db, self._tenant_id, origin.workflow_id, version)
            if found is None:
                raise NotFound("workflow version")
            target_id, target = found
        if whole:
            rows = await repository.rows(self._db, self._tenant_id, origin.id)
            graph = Graph.of(target.document)
            every = take_over(graph, rows, graph.steps.keys(), keeps=origin.keeps)
            every = Takeover((), (), every.again, every.kept, every.in_doubt)
            every = await self._with_doubts(origin, graph, rows, every, {})
            return Plan(origin, target, rows, every)
        moved = target_id != origin.version_id
        plan = await self._one(origin, target, named, "", anew=edited or moved, undone=False)
        if moved:
            self._problems += misfits(before[1], target, plan.rows, plan.takeover)
        elif edited:
            self._problems += half_done(plan.takeover)
        if self._problems:
            raise InvalidInput(self._problems)
        return plan

    async def _one(
        self,
        origin: Origin,
        target: Version,
        named: Named,
        place: str,
        *,
        anew: bool,
        undone: bool,
        every: bool = False,
    ) -> Plan:
        """`anew`: the input of the run may be another one than the origin's, and so may those of its children.
        `undone`: another run has undone a part of the origin. `every`: all its steps are done again, and those of its
        children."""
        rows = await repository.rows(self._db, self._tenant_id, origin.id)
        graph = Graph.of(target.document)
        for key in (*named.rows, *named.inside):
            if read_key(key).step not in graph.steps or (read_key(key).index is not None and key not in rows):
                mend = "Name a step of the version, or an item that the loop had."
                self._problems.append(
                    Problem(f"steps.{place}{key}", "there is no such step in the run", mend)
                )
        rows = await self._as_left(origin, graph, rows, undone=undone)
        again = graph.steps if every else named.rows
        takeover = take_over(graph, rows, again, named.inside.keys(), origin.keeps, origin.planned)
        children = {}
        for key in takeover.children:
            planned = None if key in rows else origin.planned.get(key)
            found = planned or await self._child_of(origin.id, key, rows)
            # A step that was named is begun anew, with a child of its own.
            if found is None or key in named.rows:
                continue
            self._children += 1
            if self._children > MAX_CHILDREN:
                raise LimitExceeded(
                    f"more than {MAX_CHILDREN} child runs would go on: re-run the loop as a whole"
                )
            inside = named.inside.get(key, Named())
            of_child = {
                "undone": key in rows and rows[key].status is StepStatus.COMPENSATED,
                "every": every or key in takeover.anew,
            }
            children[key] = await self._child(found, target, key, inside, place, anew=anew, **of_child)
        for key in named.inside.keys() - children.keys():
            mend = "Name the step itself."
            self._problems.append(Problem(f"steps.{place}{key}", "the step has no child run", mend))
        takeover = await self._with_doubts(origin, graph, rows, takeover, children)
        return Plan(origin, target, rows, takeover, children, await self._left(origin, rows, takeover))

    async def _left(self, origin: Origin, rows: Mapping[str, OriginRow], takeover: Takeover) -> JsonObject:
        """Of the children that are taken over, under whose keys goes what could not be undone in them."""
        taken = set(takeover.take)
        failed = {
            k for k, row in rows.items() if row.status is StepStatus.FAILED and read_key(k).part is Part.UNDO
        }
        if all(read_key(key).work not in taken for key in failed):
            return {}
        children = (await repository.left_to_undo(self._db, self._tenant_id, origin.id))["children"]
        return {key: left for key, left in children.items() if read_key(key).work in taken}

    async def _child_of(self, run_id: UUID, key: str, rows: Mapping[str, OriginRow]) -> UUID | None:
        """The child that the row began, in the run that did it."""
        return await repository.child(self._db, self._tenant_id, rows[key].taken_from or run_id, key)

    async def _as_left(
        self, origin: Origin, graph: Graph, rows: Mapping[str, OriginRow], *, undone: bool
    ) -> Mapping[str, OriginRow]:
        """The rows, but that a child's step is as done as the child is: to undo a run in which nothing can be undone
        leaves all of it done, and one of which only a part could be undone is not done any more."""
        left = dict(rows)
        for key, row in rows.items():
            name = read_key(key)
            if name.step not in graph.steps or graph.steps[name.step].child is None or row.items is not None:
                continue
            began = row.status is StepStatus.SUCCESS and (undone or undo_key(key) in rows)
            if name.part is not None or not (began or row.status is StepStatus.COMPENSATED):
                continue
            found = await self._child_of(origin.id, key, rows)
            if found is not None:
                gone = await self._anything_undone(found)
                left[key] = replace(row, status=StepStatus.COMPENSATED if gone else StepStatus.SUCCESS)
        return left

    async def _anything_undone(self, run_id: UUID) -> bool:
        origin = await repository.origin(self._db, self._tenant_id, run_id)
        if origin is None:
            return True
        await self._not_being_undone(origin)
        rows = await repository.rows(self._db, self._tenant_id, run_id)
        _, version = await self._version(origin.version_id)
        left = await self._as_left(origin, Graph.of(version.document), rows, undone=True)
        return any(row.status is StepStatus.COMPENSATED for row in left.values())

    async def _not_being_undone(self, child: Origin) -> None:
        if found := await repository.in_the_way(self._db, self._tenant_id, child.root, child.id):
            raise Conflict(f"run {found[0]} undoes what a child of the run did: it has not ended")

    async def _with_doubts(
        self,
        origin: Origin,
        graph: Graph,
        rows: Mapping[str, OriginRow],
        takeover: Takeover,
        children: Mapping[str, Plan],
    ) -> Takeover:
        """The plan, with the doubts of children that are begun anew: nobody goes on from those."""
        doubts: list[str] = []
        for key in takeover.again:
            if graph.steps[read_key(key).step].child is None or key in children:
                continue
            found = await self._child_of(origin.id, key, rows)
            if found is not None:
                did = await repository.rows(self._db, self._tenant_id, found)
                doubts += [f"{key}/{k}" for k, row in did.items() if row.status is StepStatus.UNKNOWN]
        return replace(takeover, in_doubt=[*takeover.in_doubt, *doubts])

    async def _child(
        self,
        run_id: UUID,
        parent: Version,
        key: str,
        named: Named,
        place: str,
        *,
        anew: bool,
        undone: bool,
        every: bool,
    ) -> Plan:
        origin = await repository.origin(self._db, self._tenant_id, run_id)
        if origin is None or origin.status not in ENDED_RUN:
            raise Conflict("a child of the run has not ended")
        await self._not_being_undone(origin)
        before = await self._version(origin.version_id)
        pinned = parent.children.get(read_key(key).step)
        target = before
        if pinned is not None and UUID(pinned.version_id) != before[0]:
            target = await self._version(UUID(pinned.version_id))
        moved = target[0] != before[0]
        anew = anew or moved
        within = f"{place}{key}/"
        plan = await self._one(origin, target[1], named, within, anew=anew, undone=undone, every=every)
        if moved:
            self._problems += _inside(
                f"{place}{key}", misfits(before[1], target[1], plan.rows, plan.takeover)
            )
        elif anew:
            self._problems += _inside(f"{place}{key}", half_done(plan.takeover))
        return plan

    async def _version(self, version_id: UUID) -> tuple[UUID, Version]:
        found = await repository.version(self._db, self._tenant_id, version_id)
        if found is None:
            raise NotFound("workflow version")
        return found


def _inside(row: str, problems: Sequence[Problem]) -> list[Problem]:
    """Those of a child run, with the way to it."""
    return [replace(one, path=f"steps.{row}/{one.path.removeprefix('steps.')}") for one in problems]


def shown(plan: Plan, version_id: UUID) -> Preview:
    """The plan step by step, in the order of the version."""
    steps = _shown(plan, "")
    return Preview(plan.origin.id, version_id, steps[:MAX_SHOWN], max(len(steps) - MAX_SHOWN, 0))


def _shown(plan: Plan, place: str) -> list[RerunStep]:
    taken, reopened, again = set(plan.takeover.take), set(plan.takeover.reopen), set(plan.takeover.again)
    kept, in_doubt = set(plan.takeover.kept), set(plan.takeover.in_doubt)
    items = _items(plan.rows)
    found: list[RerunStep] = []

    def show(key: str, fate: RerunFate) -> None:
        step = steps[read_key(key).step]
        row = plan.rows.get(key, OriginRow(StepStatus.QUEUED))
        found.append(
            RerunStep(place + key, fate, step.type, step.action, key in in_doubt, key in kept, row.items)
        )
        if (child := plan.children.get(key)) is not None:
            found.extend(_shown(child, f"{place}{key}/"))

    steps = {step.key: step for step in plan.version.document.steps}
    for key in steps:
        if key in taken and key not in reopened:
            show(key, RerunFate.TAKEN_OVER)
        elif key in again:
            show(key, RerunFate.AGAIN)
        else:
            show(key, RerunFate.AHEAD)
        for item in items.get(key, ()):
            if item in again:
                show(item, RerunFate.AGAIN)
    return found


def _items(rows: Mapping[str, OriginRow]) -> Mapping[str, list[str]]:
    """The items of each loop, in their order."""
    found: dict[str, list[tuple[int, str]]] = {}
    for key in rows:
        name = read_key(key)
        if name.index is not None and name.part is None:
            found.setdefault(name.step, []).append((name.index, key))
    return {step: [key for _, key in sorted(keys)] for step, keys in found.items()}
