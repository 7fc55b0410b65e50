"""P6: why a call can not be built is told without what expressions make of a secret, as the step's input is."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from headrace.json_types import Json, JsonObject
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import PinnedAction, Version
from headrace.workflow.document import Document, Step
from headrace_runner.steps.registry import load_handlers

from tests.unit.runner.engines import advanced, step_services

SECRETS = {"PIN": "48213", "TOKEN": "the-secret-of-this-run"}
# What the expressions below make of them.
MADE = ("48213", "nur-siht-fo-terces-eht", "THE-SECRET", "the-s")
ACTION: JsonObject = {
    "name": "act",
    "method": "POST",
    "endpointTemplate": "/items/{id}",
    "bodyType": "FORM",
    "headersTemplate": {"X-Own": "{{ input.own | default('own') }}"},
}


async def told_of(values: Mapping[str, Json]) -> str:
    """Why a step with these values fails before its call; nothing else that was written of it holds a secret."""
    step = Step("a", "action", action="shop/act", **{"path": {"id": "1"}, **values})  # type: ignore[arg-type]
    pinned = PinnedAction("r", 1, "https://shop.example", parse_action(ACTION, "shop"))
    document = Document("w", (step,), secrets={name: name.lower() for name in SECRETS})
    given = {"list": {"inner": [[]]}, "name": "given"}
    async with (
        step_services() as services,
        advanced(services, load_handlers(services), document, given) as run,
    ):
        version = Version("v", "d", document, {"shop/act": pinned}, {})
        run.engine.run = replace(run.engine.run, version=version, secrets=SECRETS)
        run.engine.secrets.learn(SECRETS.values())
        await run.to_its_end()
        await run.reporting.drained(5)
        error = run.engine.history.state.step("a").error
        written = b"".join(message.body for message in run.bus.messages).decode()
    assert error is not None
    assert error.code == "INVALID_REQUEST"
    assert error.message in written
    assert not [secret for secret in (*SECRETS.values(), *MADE) if secret in written]
    return error.message.removeprefix("steps[0]: ").partition(":")[0]


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"query": "{{ {env.PIN: {}} }}"}, "query.*"),
        ({"query": "{{ {env.TOKEN | reverse: {}} }}"}, "query.*"),
        ({"query": "{{ {env.TOKEN: {}} }}"}, "query.*"),
        ({"body": "{{ {env.TOKEN[0:5]: {}} }}"}, "body.*"),
        ({"body": "{{ {env.PIN: {'base64': '!'}} }}"}, "body.*"),
        ({"headers": "{{ {env.TOKEN[0:10] | upper: []} }}"}, "headers.*"),
        ({"path": "{{ {'id': '1', env.PIN: 1} }}"}, "path.*"),
        ({"input": "{{ {'own': 'a', env.PIN: {}} }}"}, "body.*"),
    ],
)
async def test_a_name_that_was_made_of_a_secret_is_not_told(values: Mapping[str, Json], place: str) -> None:
    assert await told_of(values) == place


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"query": {"token": "{{ env.TOKEN }}", "all": "{{ input.list }}"}}, "query.all"),
        ({"query": {"token": "{{ {env.TOKEN: 1} }}"}}, "query.token"),
        ({"headers": {"X-Token": "ü{{ env.TOKEN }}"}}, "headers.X-Token"),
        ({"path": {"id": "{{ env.PIN[9:] }}"}}, "path.id"),
        ({"path": {}, "query": {"token": "{{ env.TOKEN }}"}}, "path.id"),
        ({"body": {"a.b": {"base64": "{{ env.PIN }}"}}}, "body.a.b"),
        ({"body": "{{ input.list }}", "query": {"token": "{{ env.TOKEN }}"}}, "body.inner"),
        ({"input": {"own": "\n", "token": "{{ env.TOKEN }}"}}, "headers.X-Own"),
        ({"query": "{{ input.list }}"}, "query.inner"),
    ],
)
async def test_a_name_that_stands_in_the_document_or_comes_of_no_secret_is_told(
    values: Mapping[str, Json], place: str
) -> None:
    assert await told_of(values) == place
