"""`headrace run verify`: histories that explain their runs, and ones that do not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from headrace.errors import Conflict, LimitExceeded
from headrace_cli.runs.verify import Difference, verify

# The largest page that the API of these tests gives out.
LARGEST = 3
BROKEN = {"code": "E", "message": "it failed"}


def row(
    status: str,
    attempts: int = 0,
    output: Any = None,
    error: Any = None,
    items: int | None = None,
    taken: str | None = None,
) -> Any:
    return {
        "status": status,
        "attemptCount": attempts,
        "output": output,
        "error": error,
        "itemCount": items,
        "takenFrom": taken,
    }


@dataclass
class Run:
    events: list[tuple[str, str | None, Any]]
    rows: dict[str, Any]
    status: str = "SUCCESS"
    result: Any = None
    error: Any = None
    parent: str | None = None
    step: str | None = None
    undoes: str | None = None
    origin: str | None = None


@dataclass
class Api:
    """Answers the queries of `headrace_cli.runs.history`, page by page."""

    runs: Mapping[str, Run]
    asked: list[str] = field(default_factory=list)

    async def execute(self, document: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        given = dict(variables or {})
        query = document.split("(")[0].split()[-1]
        self.asked.append(query)
        if given.get("first", 0) > LARGEST:
            raise LimitExceeded("ask for fewer")
        return {"run": getattr(self, f"_{query.lower()}")(given["id"], given)}

    def _run(self, run_id: str, _: Any) -> Any:
        run = self.runs[run_id]
        steps = [{"key": key, **value} for key, value in run.rows.items() if "[" not in key]
        return {
            "id": run_id,
            "status": run.status,
            "result": run.result,
            "error": run.error,
            "parentStep": run.step,
            "parent": {"id": run.parent} if run.parent else None,
            "undoes": run.undoes,
            "steps": steps,
        }

    def _reruns(self, run_id: str, given: Any) -> Any:
        return {"page": page([{"id": i} for i, run in self.runs.items() if run.origin == run_id], given)}

    def _events(self, run_id: str, given: Any) -> Any:
        kinds = [kind.upper() for kind, _, _ in self.runs[run_id].events]
        listed = [
            {"epoch": 1, "seq": n, "kind": kinds[n - 1], "step": step, "data": data}
            for n, (_, step, data) in enumerate(self.runs[run_id].events, start=1)
        ]
        return {"page": page(listed, given)}

    def _children(self, run_id: str, given: Any) -> Any:
        of_it = [(i, run) for i, run in self.runs.items() if run.parent == run_id]
        return {"page": page([{"id": i, "parentStep": r.step, "status": r.status} for i, r in of_it], given)}

    def _items(self, run_id: str, given: Any) -> Any:
        rows = self.runs[run_id].rows
        items = [{"key": key, **value} for key, value in rows.items() if "[" in key]
        loops = [key for key, value in rows.items() if value["itemCount"]]
        return {"steps": [{"key": key, "itemCount": 1, "page": page(items, given)} for key in loops]}


def page(listed: list[Any], given: Any) -> Any:
    begin = int(given["after"] or 0)
    end = begin + given["first"]
    return {"items": listed[begin:end], "pageInfo": {"hasNextPage": end < len(listed), "endCursor": str(end)}}


def done(step: str, output: Any = None) -> list[tuple[str, str | None, Any]]:
    return [
        ("started", step, {"attempt": 1, "unsafe": False}),
        ("completed", step, {"status": "SUCCESS", "attempt": {"number": 1}, "output": output}),
    ]


def loop() -> Run:
    """Ten items, the second after a failed attempt."""
    keys = [f"each[{n}]" for n in range(10)]
    events: list[Any] = [("started", "each", {"attempt": 1, "items": 10})]
    events.append(("attempted", "each[1]", {"attempt": {"number": 1}, "error": BROKEN}))
    events[1:1] = [("started", "each[1]", {"attempt": 1})]
    for n, key in enumerate(keys):
        events += done(key, n)
    events.append(("completed", "each", {"status": "SUCCESS", "output": {"results": [*range(10)]}}))
    events.append(("finished", None, {"status": "SUCCESS", "result": "well"}))
    rows = {key: row("SUCCESS", 2 if n == 1 else 1, n) for n, key in enumerate(keys)}
    return Run(
        events, {"each": row("SUCCESS", 0, {"results": [*range(10)]}, items=10), **rows}, result="well"
    )


async def test_a_history_explains_its_run_page_by_page() -> None:
    api = Api({"r": loop()})
    verified = await verify(api, "r")
    assert list(verified.differences) == []
    assert verified.events == len(api.runs["r"].events)
    assert api.asked.count("Events") > verified.events // LARGEST


async def test_every_difference_is_named() -> None:
    run = loop()
    run.result = "better"
    run.rows["each[3]"] = row("FAILED", 2, None, BROKEN)
    del run.rows["each[4]"]
    run.rows["never"] = row("SKIPPED")
    found = list((await verify(Api({"r": run}), "r")).differences)
    assert Difference("the run", "result", "well", "better") in found
    assert Difference("each[3]", "status", "SUCCESS", "FAILED") in found
    assert Difference("each[3]", "attempts", 1, 2) in found
    assert Difference("each[3]", "error", None, BROKEN) in found
    assert Difference("each[4]", "status", "SUCCESS", None) in found
    assert Difference("never", "status", None, "SKIPPED") in found


async def test_events_that_can_not_be_folded_explain_nothing() -> None:
    run = Run([*done("a"), ("started", "a", {}), ("finished", None, {"status": "SUCCESS"})], {})
    (difference,) = (await verify(Api({"r": run}), "r")).differences
    assert (difference.row, difference.what) == ("the run", "history")


async def test_a_run_that_goes_on_has_no_whole_history() -> None:
    with pytest.raises(Conflict):
        await verify(Api({"r": Run([], {}, status="WAITING")}), "r")


async def test_what_a_rerun_took_over_may_be_undone_with_the_rerun() -> None:
    """A child went on as a re-run of its own, and that one was undone as a whole when its parent failed."""
    good: list[Any] = [("finished", None, {"status": "SUCCESS"})]
    runs = {
        "parent": Run([], {}, status="CANCELED"),
        "child": Run([*done("a"), *good], {"a": row("COMPENSATED", 1)}, parent="parent", step="kid"),
        "again": Run([], {}, status="FAILED", origin="parent"),
        "child-again": Run(
            good, {"a": row("COMPENSATED", taken="child")}, parent="again", step="kid", origin="child"
        ),
        "undoing": Run([*done("a.undo"), *good], {}, parent="again", step="kid.undo", undoes="child-again"),
    }
    assert list((await verify(Api(runs), "child")).differences) == []
    assert list((await verify(Api(runs), "child-again")).differences) == []


def family() -> dict[str, Run]:
    """A run whose child's child was undone as a whole by runs of their own, in turn."""
    failed = {"code": "STOP", "message": "enough"}

    def waits(key: str) -> list[tuple[str, str | None, Any]]:
        return [
            ("waiting", key, {"wait": {"kind": "CHILD"}}),
            ("completed", key, {"status": "SUCCESS"}),
        ]

    good: list[Any] = [("finished", None, {"status": "SUCCESS"})]
    turn: list[Any] = [("compensating", None, {"outcome": "FAILED", "error": failed})]
    end: list[Any] = [("finished", None, {"status": "FAILED", "error": failed})]
    over = row("COMPENSATED")
    return {
        "top": Run(
            [*waits("x"), *turn, *waits("x.undo"), *end],
            {"x": over, "x.undo": row("SUCCESS")},
            "FAILED",
            error=failed,
        ),
        "child": Run([*waits("y"), *good], {"y": over}, parent="top", step="x"),
        "grandchild": Run([*done("z", 1), *good], {"z": row("COMPENSATED", 1, 1)}, parent="child", step="y"),
        "undo": Run(
            [*waits("y.undo"), *good], {"y.undo": row("SUCCESS")}, parent="top", step="x.undo", undoes="child"
        ),
        "undo of undo": Run(
            [*done("z.undo"), *good],
            {"z.undo": row("SUCCESS", 1)},
            parent="undo",
            step="y.undo",
            undoes="grandchild",
        ),
    }


@pytest.mark.parametrize("run_id", list(family()))
async def test_runs_that_undo_others_and_those_that_they_undo_are_explained(run_id: str) -> None:
    assert list((await verify(Api(family()), run_id)).differences) == []


async def test_a_row_that_nobody_undid_is_not_explained_as_undone() -> None:
    runs = family()
    runs["undo of undo"].events = runs["undo of undo"].events[-1:]
    found = (await verify(Api(runs), "grandchild")).differences
    assert list(found) == [Difference("z", "status", "SUCCESS", "COMPENSATED")]


def rerun() -> dict[str, Run]:
    """A run that failed in the second of three items of its second step, and the re-run that went on from there."""
    failed = {"status": "FAILED", "error": BROKEN, "attempt": {"number": 1}}
    first = Run(
        [
            *done("a", 1),
            ("started", "each", {"attempt": 1, "items": 2}),
            *done("each[0]", 0),
            ("started", "each[1]", {"attempt": 1}),
            ("completed", "each[1]", failed),
            ("completed", "each", {"status": "FAILED", "error": BROKEN}),
            ("finished", None, {"status": "FAILED", "error": BROKEN}),
        ],
        {
            "a": row("COMPENSATED", 1, 1),
            "each": row("FAILED", error=BROKEN, items=2),
            "each[0]": row("SUCCESS", 1, 0),
            "each[1]": row("FAILED", 1, error=BROKEN),
        },
        status="FAILED",
        error=BROKEN,
    )
    second = Run(
        [
            *done("each[1]", 1),
            ("completed", "each", {"status": "SUCCESS", "output": {"results": [0, 1]}}),
            ("compensating", None, {"outcome": "CANCELED", "error": None}),
            *done("a.undo"),
            ("canceled", None, {}),
        ],
        {
            "a": row("COMPENSATED", 0, 1, taken="first"),
            "a.undo": row("SUCCESS", 1),
            "each": row("SUCCESS", 0, {"results": [0, 1]}, items=2, taken="first"),
            "each[0]": row("SUCCESS", 0, 0, taken="first"),
            "each[1]": row("SUCCESS", 1, 1),
        },
        status="CANCELED",
        origin="first",
    )
    return {"first": first, "second": second}


@pytest.mark.parametrize("run_id", ["first", "second"])
async def test_a_rerun_and_its_origin_are_explained(run_id: str) -> None:
    assert (await verify(Api(rerun()), run_id)).differences == []


async def test_a_row_is_not_taken_over_as_another_than_it_was() -> None:
    runs = rerun()
    runs["second"].rows["each[0]"]["output"] = "another"
    (difference,) = (await verify(Api(runs), "second")).differences
    assert (difference.row, difference.told, difference.shown) == ("each[0]", 0, "another")
