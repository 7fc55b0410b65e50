"""`headrace apply` of things that go together, against a real API."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.integration.control_plane_runs.acting import Client, publish, save_action
from tests.integration.control_plane_runs.commanding import headrace


def put(folder: Path, **documents: Any) -> None:
    for name, document in documents.items():
        (folder / f"{name}.yaml").write_text(json.dumps(document))


def greet(*parameters: str) -> dict[str, Any]:
    """A workflow that needs these parameters."""
    types = {name: {"type": "string"} for name in parameters}
    schema = {"type": "object", "required": [*parameters], "additionalProperties": False, "properties": types}
    steps = [{"key": "words", "type": "transform", "input": "Hello, {{ input.name }}"}]
    return {"workflow": "greet", "parameters": schema, "steps": steps}


def host(*versions: int | None, **given: str) -> dict[str, Any]:
    """A workflow that runs `greet` in these versions and nothing else."""
    steps = [
        {"key": f"s{n}", "type": "workflow", "workflow": {"name": "greet"} | _numbered(one), "input": given}
        for n, one in enumerate(versions)
    ]
    return {"workflow": "host", "steps": steps}


def _numbered(version: int | None) -> dict[str, int]:
    return {} if version is None else {"version": version}


def verbs(applied: Mapping[str, Any]) -> dict[str, str]:
    return {step["name"]: step["verb"] for step in applied["steps"]}


async def test_a_new_workflow_is_applied_together_with_the_one_that_it_runs(
    acme: Client, tmp_path: Path
) -> None:
    async def apply(*how: str, code: int = 0) -> Any:
        return await headrace(acme, "apply", "-f", str(tmp_path), *how, code=code)

    put(tmp_path, parent=host(None, 1, name="Ada"), child=greet("name"))
    applied = await apply("--yes")
    assert verbs(applied) == {"greet": "create", "host": "create"}
    assert applied["unchecked"] == ["host"]
    # The parent gives what the child takes from now on, and not what it took.
    put(tmp_path, parent=host(None, name="Ada", tone="loud"), child=greet("name", "tone"))
    applied = await apply("--yes")
    assert verbs(applied) == {"greet": "change", "host": "change"}
    assert applied["unchecked"] == ["host"]
    assert set(verbs(await apply("--yes")).values()) == {"unchanged"}


async def test_a_version_that_the_plan_publishes_can_not_be_asked_about_yet(
    acme: Client, tmp_path: Path
) -> None:
    put(tmp_path, parent=host(1, name="Ada"), child=greet("name"))
    await headrace(acme, "apply", "-f", str(tmp_path), "--yes")
    put(tmp_path, parent=host(2, name="Ada", tone="loud"), child=greet("name", "tone"))
    planned = await headrace(acme, "apply", "-f", str(tmp_path), "--dry-run")
    assert planned["unchecked"] == ["host"]
    # One that is there stays as it is, and one that will not be there is no version.
    put(tmp_path, parent=host(1, 3, name="Ada", tone="loud"))
    refused = await headrace(acme, "apply", "-f", str(tmp_path), "--dry-run", code=2)
    places = {problem["path"].rpartition(": ")[2] for problem in refused["error"]["problems"]}
    assert "steps[1].workflow.version" in places
    assert any(place.startswith("steps[0].input") for place in places)


SENT = {"TOKEN": {"secret": "token"}}


async def test_what_a_narrowed_secret_breaks_is_told(acme: Client, tmp_path: Path) -> None:
    await save_action(acme, "pay", {"method": "POST", "endpointTemplate": "/pay"})
    step = {"key": "pay", "action": "shop/pay", "input": {"token": "{{ env.TOKEN }}"}}
    await publish(acme, {"workflow": "pay", "env": SENT, "steps": [step]})
    put(tmp_path, secret={"kind": "Secret", "name": "token", "value": "a new value", "apps": ["bank"]})
    applied = await headrace(acme, "apply", "-f", str(tmp_path), "--yes")
    words = "token: pay 1: steps[0] `env.TOKEN` is a secret that may not be sent to shop"
    assert (applied["applied"], applied["notices"]) == (True, [words])
    # Where something behind it is refused, too: the next time nothing is to be done with it.
    secret = {"kind": "Secret", "name": "token", "value": "a new value", "apps": ["bank", "shop"]}
    put(tmp_path, secret=secret)
    await headrace(acme, "apply", "-f", str(tmp_path), "--yes")
    put(
        tmp_path, secret={**secret, "apps": ["bank"]}, flow={"workflow": "more", "env": SENT, "steps": [step]}
    )
    stopped = await headrace(acme, "apply", "-f", str(tmp_path), "--yes", code=2)
    assert stopped["error"]["problems"][0]["path"].endswith("steps[0].input.token")
    assert stopped["notices"] == [words]


async def test_a_workflow_that_runs_itself_is_checked(acme: Client, tmp_path: Path) -> None:
    put(tmp_path, again={**host(None), "workflow": "greet"})
    refused = await headrace(acme, "apply", "-f", str(tmp_path), "--yes", code=2)
    (problem,) = refused["error"]["problems"]
    assert problem["path"].endswith("steps[0].workflow")


async def test_what_probes_and_undoes_is_applied_together_with_its_workflow(
    acme: Client, tmp_path: Path
) -> None:
    action = {"kind": "Action", "app": "shop", "method": "GET", "endpointTemplate": "/"}
    main = {"app": "shop", "config": {"username": "u"}, "secrets": {"password": "made-up"}}
    put(
        tmp_path,
        look={**action, "name": "look"},
        asking={"kind": "Connection", "name": "asking", **main},
        undoing={"kind": "Connection", "name": "undoing", **main},
    )
    call = {"action": "shop/refund", "connection": "shop-main", "input": {"amount": 3}}
    probe = {"done": {"field": "status", "operator": "eq", "value": "SUCCESS"}}
    asked = {"action": "shop/get-order", "connection": "asking", "input": {"order": "7"}}
    parts = {
        "a": {"probe": {**probe, "action": "shop/look"}},
        "b": {"probe": {**probe, **asked}},
        "c": {"compensate": {**call, "connection": "undoing"}},
    }
    put(
        tmp_path,
        **{name: {"workflow": name, "steps": [{"key": "k", **call, **parts[name]}]} for name in parts},
    )
    applied = await headrace(acme, "apply", "-f", str(tmp_path), "--yes")
    assert applied["unchecked"] == ["a", "b", "c"]
    assert set(verbs(applied).values()) == {"create"}


async def test_an_app_loses_the_title_that_its_file_does_not_give_any_more(
    acme: Client, tmp_path: Path
) -> None:
    bare = {"kind": "App", "name": "titled", "baseUrl": "https://titled.test", "auth": {"kind": "NONE"}}
    for app, verb, differences in (
        ({**bare, "title": None}, "create", []),
        ({**bare, "title": "A shop"}, "change", ["title"]),
        (bare, "change", ["title"]),
        (bare, "unchanged", []),
        ({**bare, "title": None}, "unchanged", []),
    ):
        put(tmp_path, app=app)
        (step,) = (await headrace(acme, "apply", "-f", str(tmp_path), "--yes"))["steps"]
        assert (step["verb"], step["differences"]) == (verb, differences)
    assert await acme('{ app(name: "titled") { title } }') == {"title": ""}
