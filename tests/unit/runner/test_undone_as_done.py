"""What undoes a step sees what the step saw, as a claim hands it out; where nobody knows that, nothing is guessed."""

import base64
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from headrace.ids import new_id
from headrace.sealed_outputs import INPUT_ROW, OutputPlace, seal_value
from headrace.workflow.definition import Version
from headrace.workflow.expressions.render import Templates
from headrace.workflow.graph import Graph
from headrace.workflow.keys import read_key
from headrace.workflow.parse import parse_document
from headrace_runner.claimed_run import ClaimedRun, read_claimed_run
from headrace_runner.history import RunHistory
from headrace_runner.run_pass import RunPass
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.scopes import Scopes
from headrace_runner.versions import LoadedVersion

TENANT, RUN, FIRST, SECOND, GONE = (new_id() for _ in range(5))
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
EARLIER = datetime(2026, 10, 1, tzinfo=UTC).isoformat()
KEYS = {run: run.bytes * 2 for run in (RUN, FIRST)}
UNDO = {"action": "shop/undo", "input": {"n": "{{ item }}"}}
EACH = {"key": "each", "action": "shop/do", "input": {}, "forEach": {"items": "{{ input.lines }}"}}
PIN = {"type": "object", "properties": {"pin": {"type": "string", "x-sensitive": True}}}


def claimed(
    undo: Any = UNDO, doers: Any = None, undoes: UUID | None = None, **taken: UUID | None
) -> ClaimedRun:
    """A run of a loop of two items, whose rows were done by these."""
    document = parse_document(
        {
            "workflow": "w",
            "parameters": PIN,
            "steps": [{"key": "plain", "action": "shop/do", "input": {}}, {**EACH, "compensate": undo}],
        }
    )
    row = {"status": "SUCCESS", "attempts": 1, "error": None, "in_flight": False, "retry_at": None}
    row |= {"started_at": None, "wait": None, "round": 0, "round_from": 0, "items": None, "output": None}
    keys = ("plain", "each", "each[0]", "each[1]")
    dids = [taken.get(key.replace("[", "").rstrip("]")) for key in keys]
    steps = [
        row | {"key": key, "taken_from": did and str(did), "done_epoch": 0, "done_seq": seq}
        for seq, (key, did) in enumerate(zip(keys, dids, strict=True))
    ]
    steps[1]["items"] = 2
    given = {
        "compensating": None,
        "undoes": undoes and str(undoes),
        "inbox": [],
        "inbox_seq": 0,
        "cancel": False,
        "pause": False,
        "steps": steps,
        "input": {"lines": ["x", "y", "z"], "pin": "a-pin-of-its-own"},
        "started_at": BEGAN.isoformat(),
        "connections": {},
        "secrets": {},
        "depth": 0,
        "quotas": {},
        "policy": {},
        "callbacks": {"paid": "https://own.example/1"},
        "output_keys": {str(run): base64.b64encode(key).decode() for run, key in KEYS.items()},
    }
    if doers is not None:
        given["doers"] = {str(run): one for run, one in doers.items()}
    loaded = LoadedVersion(Version("v", "d", document, {}, {}), Graph.of(document))
    return read_claimed_run(TENANT, RunPass(RUN, 1, "a-token"), given, loaded)


def scopes(run: ClaimedRun) -> Scopes:
    history = cast("RunHistory", SimpleNamespace(state=run.state))
    return Scopes(run, history, Templates(), lambda key: key)


def seen(run: ClaimedRun, key: str) -> tuple[Any, ...]:
    scope = scopes(run).scope({}, read_key(key))
    return scope.input["lines"], scope.item, scope.run["id"], scope.run["startedAt"], dict(scope.callbacks)


def refused(run: ClaimedRun, key: str) -> str | None:
    failure = scopes(run).unknown(read_key(key))
    return failure and failure.code


def told(*lines: str, **more: Any) -> dict[str, Any]:
    return {"created_at": EARLIER, "started_at": EARLIER, "input": {"lines": [*lines]}, **more}


OWN = (["x", "y", "z"], "x", str(RUN), BEGAN.isoformat(), {"paid": "https://own.example/1"})


def test_an_undoing_sees_the_run_that_did_it_and_a_step_its_own() -> None:
    paid = {"paid": "https://first.example/1"}
    doers = {FIRST: told("a", "b", callbacks=paid), SECOND: told("c", "d")}
    run = claimed(doers=doers, each=FIRST, each0=FIRST, each1=SECOND)
    assert seen(run, "each[0].undo") == (["a", "b"], "a", str(FIRST), EARLIER, paid)
    assert seen(run, "each[0].probe") == (["a", "b"], "a", str(FIRST), EARLIER, paid)
    assert seen(run, "each[1].undo") == (["c", "d"], "d", str(SECOND), EARLIER, {})
    assert seen(run, "each[0]") == OWN
    assert [refused(run, key) for key in ("each[0].undo", "each[1].undo", "each[1]", "plain")] == [None] * 4


def test_what_undoes_a_run_sees_when_that_one_began() -> None:
    began = {"created_at": EARLIER, "started_at": EARLIER}  # its input is a copy
    run = claimed(doers={FIRST: began, SECOND: told("c", "d")}, undoes=FIRST, each1=SECOND)
    assert seen(run, "each[0].undo") == (["x", "y", "z"], "x", str(FIRST), EARLIER, {})
    assert seen(run, "each[1].undo")[:3] == (["c", "d"], "d", str(SECOND))


def test_without_the_word_of_the_control_plane_it_is_as_in_the_release_before() -> None:
    assert seen(claimed(each0=FIRST), "each[0].undo") == OWN
    undoing = claimed(each0=FIRST, undoes=SECOND)
    assert seen(undoing, "each[0].undo") == (*OWN[:2], str(SECOND), *OWN[3:])


@pytest.mark.parametrize(
    ("undo", "wanted"),
    [(UNDO, "ANOTHER_LIST"), ({"action": "shop/undo", "input": {"n": "{{ input.lines[0] }}"}}, None)],
)
def test_an_item_is_not_undone_by_another_list(undo: Any, wanted: str | None) -> None:
    """Its own input's list has three elements, and the loop had two."""
    run = claimed(undo, doers={FIRST: told("a", "b")}, each0=FIRST)
    assert (refused(run, "each[0].undo"), refused(run, "each[1].undo")) == (None, wanted)
    assert refused(run, "each[1]") is None


def test_nothing_is_undone_with_an_input_that_is_not_kept() -> None:
    run = claimed(doers={FIRST: told("a", "b"), GONE: None}, plain=GONE, each0=FIRST, each1=GONE)
    assert (refused(run, "each[0].undo"), refused(run, "each[1].undo")) == (None, "INPUT_GONE")
    assert refused(run, "each[1]") is None


def test_what_is_sealed_in_the_input_is_opened_and_kept_secret() -> None:
    sealed = seal_value(KEYS[FIRST], OutputPlace(TENANT, FIRST, INPUT_ROW, "/pin"), "a-pin-of-the-first")
    marked = told("a", "b")
    marked["input"] |= {"pin": sealed}
    plain = told("c", "d")
    plain["input"] |= {"pin": "a-pin-that-no-mark-had-sealed"}
    run = claimed(doers={FIRST: marked, SECOND: plain}, each0=FIRST, each1=SECOND)
    assert scopes(run).scope(key=read_key("each[0].undo")).input["pin"] == "a-pin-of-the-first"
    pins = ["a-pin-of-its-own", "a-pin-of-the-first", "a-pin-that-no-mark-had-sealed"]
    shown = RunSecrets.of(run).shown(list(pins))
    assert not set(pins) & set(shown)
    marked["input"]["pin"] = {"$sealed": "AAAA"}
    lost = claimed(doers={FIRST: marked}, each0=FIRST)
    assert lost.failure is not None
    assert lost.failure.code == "OUTPUT_UNREADABLE"
