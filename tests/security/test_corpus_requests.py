"""What a definition, a step, a run's input or a connection says never becomes another request than the action's.

Each case of `corpora/requests.yaml` goes the way that it would in a deployment: through the checks of definitions or
connections, or through a step's own handler to a server that keeps every byte. It is refused by name, or the bytes are
what the case says.
"""

from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
import pytest_asyncio
from headrace.errors import InvalidInput
from headrace.json_types import Json
from headrace.outbound.auth import Credential
from headrace.outbound.call import CallFailure, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.workflow.actions import parse_action
from headrace.workflow.definition import AuthKind, PinnedAction, Version
from headrace.workflow.document import Document, Step
from headrace.workflow.expressions.render import Templates
from headrace.workflow.expressions.scope import Scope
from headrace.workflow.keys import RowKey
from headrace.workflow.reading import Reading
from headrace.workflow.schemas import Schemas
from headrace.workflow.state import Failure
from headrace_control.apps.auth_scheme import AuthScheme, read_scheme
from headrace_control.connections.assembly import run_credential
from headrace_control.connections.checks import read_base_url, read_config, read_secrets
from headrace_control.connections.repository import SealedCredential
from headrace_runner.claimed_run import ClaimedRun
from headrace_runner.credentials import RunCredentials
from headrace_runner.run_secrets import RunSecrets
from headrace_runner.sensitive import Sensitive
from headrace_runner.steps.action import ActionStep
from headrace_runner.steps.protocol import Prepared, StepContext, StepServices, Succeeded

from tests.journal_server import JournalServer, answering
from tests.security.hostile_server import CORPORA, load

CASES = load(CORPORA / "requests.yaml")
CONNECTION = "a-connection"


class Target(JournalServer):
    """A server, and the handler of `action` steps that calls it."""

    handler: ActionStep
    client: OutboundClient


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target() -> AsyncIterator[Target]:
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
    async with Target(answering(200, b"ok")) as server:
        server.client = OutboundClient(pools)
        server.handler = ActionStep(StepServices(server.client, Templates(), Schemas()))
        yield server
        await pools.aclose()


def test_there_are_cases_enough() -> None:
    assert len(CASES) >= 60


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_no_injection_gets_through(target: Target, case: dict[str, Any]) -> None:
    case, expected = expanded(case), case["expect"]
    if "definition" in expected:
        assert problems_of_definition(case["action"]) == expected["definition"]
        return
    scheme, credential, problems = connected(case.get("connection"), target.url)
    if "connection" in expected:
        assert problems == expected["connection"]
        return
    assert problems == []
    before, connections = len(target.requests), target.connections
    if "call" in case:
        refusal = await called_plainly(target, case["call"])
    else:
        refusal = await called(target, case, credential, with_connection=scheme is not None)
    seen = target.requests[before:]
    if "refused" in expected:
        assert refusal is not None
        assert (refusal.code, seen, target.connections) == (expected["refused"], [], connections)
        assert expected["at"] in refusal.message
        return
    assert refusal is None, refusal
    [request] = seen
    lines = request.head.decode("latin-1").split("\r\n")[1:-1]
    assert request.line == expected["line"]
    # Exactly the lines that names and values make: nothing was broken in two, nothing framed twice.
    names = Counter(line.partition(":")[0].lower() for line in lines)
    assert all(": " in line and "\n" not in line and "\r" not in line for line in lines)
    assert (names["host"], names["transfer-encoding"]) == (1, 0)
    assert names["content-length"] == (1 if request.body else names["content-length"])
    assert request.headers["host"] == f"127.0.0.1:{target.port}"
    for name, value in expected.get("has", {}).items():
        assert request.headers.get(name) == value
        assert names[name] == expected.get("times", 1)
    for name, value in expected.get("not", {}).items():
        assert request.headers[name] != value
    assert not set(expected.get("absent", ())) & set(names)
    if "body" in expected:
        assert request.body == expected["body"].encode()
    assert expected.get("contains", "").encode() in request.body


def expanded(value: Any) -> Any:
    """The case with what it only describes: long texts, many names, half a character."""
    match value:
        case {"text": str(text), "times": int(times)}:
            return text * times
        case {"numbered": int(many)}:
            return {f"X-{number}": "x" for number in range(many)}
        case {"surrogate": True}:
            return "a\ud800"
        case dict():
            return {name: expanded(inner) for name, inner in value.items()}
        case list():
            return [expanded(inner) for inner in value]
        case _:
            return value


def definition_of(action: dict[str, Any]) -> Json:
    return {"name": "act", "method": "GET", "endpointTemplate": "/items/{id}", **action}


def problems_of_definition(action: dict[str, Any]) -> list[str]:
    try:
        parse_action(definition_of(action), "shop")
    except InvalidInput as error:
        return [problem.path for problem in error.problems]
    return []


def connected(
    connection: dict[str, Any] | None, url: str
) -> tuple[AuthScheme | None, Credential | None, list[str]]:
    """What connections are checked by, and the credential of one without problems, bound to `url`."""
    if connection is None:
        return None, None, []
    reading = Reading()
    scheme = read_scheme(reading, connection["auth"], "auth")
    read_base_url(reading, connection.get("baseUrl"))
    secrets, config = connection.get("secrets", {}), connection.get("config", {})
    if scheme is not None and not reading.problems and "secrets" in connection:
        config = read_config(reading, scheme, config)
        secrets = read_secrets(reading, scheme, secrets, complete=True)
    if scheme is None or reading.problems:
        return scheme, None, [problem.path for problem in reading.problems]
    sealed = SealedCredential(
        UUID(int=1),
        None,
        url,
        config,
        scheme,
        token_version=0,
        token_expires_at=None,
        token_error=None,
        token_lasts=False,
        token_is_new=False,
        token_trouble=None,
        token_failures=0,
        token_doubts=0,
        token_held_back=False,
        limited=False,
        fields=(),
    )
    return scheme, run_credential(sealed, secrets).credential, []


async def called_plainly(target: Target, call: dict[str, Any]) -> CallFailure | None:
    """One call past every check but the client's own."""
    credential = None
    if given := call.get("credential"):
        hosts = frozenset(given.get("hosts", ["127.0.0.1"]))
        credential = Credential(AuthKind(given["kind"]), given["fields"], hosts)
    outcome = await target.client.send(
        OutboundCall(
            call.get("method", "GET"),
            call.get("url", "{url}/").replace("{url}", target.url),
            tuple(call.get("headers", {}).items()),
            call.get("body", "").encode(),
            timeout=20.0,
        ),
        tenant_id="tenant",
        credential=credential,
    )
    return outcome if isinstance(outcome, CallFailure) else None


async def called(
    target: Target, case: dict[str, Any], credential: Credential | None, *, with_connection: bool
) -> Failure | None:
    """One execution of a step that calls the action; None when the call was answered."""
    action = parse_action(definition_of(case.get("action", {})), "shop")
    written = case.get("step", {"path": {"id": "{{ input }}"}})
    step = Step("call", action="shop/act", connection=CONNECTION if with_connection else None, **written)
    base_url = case.get("base", "{url}").replace("{url}", target.url)
    version = Version(
        "v",
        "d",
        Document("w", (step,)),
        {"shop/act": PinnedAction("r", 1, base_url, action)},
        {CONNECTION: "1"} if with_connection else {},
    )
    scope = Scope(input=case.get("given"))

    async def always() -> bool:
        return True

    async def current(connection_id: str, now: datetime) -> Credential | None:
        return credential

    credentials = SimpleNamespace(
        base_url=lambda connection_id: None, current=current, limited=lambda connection_id: False
    )
    context = StepContext(
        run=cast(
            "ClaimedRun",
            SimpleNamespace(
                version=version, run_id="run-1", tenant_id="tenant", kept_keys={}, secret_apps={}, secrets={}
            ),
        ),
        step=step,
        place="steps[0]",
        scope=scope,
        secret_scope=scope,
        credentials=cast("RunCredentials", credentials),
        secrets=RunSecrets(Sensitive(UUID(int=2), UUID(int=3))),
        log=lambda *_, **__: None,
        now=lambda: datetime.now(UTC),
        may_call=always,
        timeout_seconds=lambda: 20.0,
        key=RowKey("call"),
    )
    prepared = target.handler.prepare(context)
    if not isinstance(prepared, Prepared):
        assert isinstance(prepared, Failure)
        return prepared
    outcome = await target.handler.attempt(context, prepared)
    return None if isinstance(outcome, Succeeded) else outcome.failure
