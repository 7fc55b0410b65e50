"""What designers and callers do during a measurement: GraphQL over a client that costs little."""

import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import orjson
from headrace.errors import Unavailable

from headrace_cli.bench.work import Work
from headrace_cli.client import FAILURES, payload_error, read_answer

BULK = 500  # runs that one bulk start names
_START = (
    "mutation ($workflow: String!, $input: JSON) { startRun(workflow: $workflow, input: $input) {"
    " ... on Run { id } ...Failures } }" + FAILURES
)
_START_MANY = (
    "mutation ($items: [RunStart!]!) { startRuns(items: $items) {"
    " ... on StartedRuns { items { ... on Run { id } ...Failures } } ...Failures } }" + FAILURES
)
_APP = "mutation ($input: AppInput!) { createApp(input: $input) { ...Failures } }" + FAILURES
_ACTION = (
    "mutation ($app: String!, $name: String!, $definition: JSON!) {"
    " saveAction(app: $app, name: $name, definition: $definition) { ...Failures } }" + FAILURES
)
_PUBLISH = "mutation ($document: JSON!) { publishWorkflow(document: $document) { ...Failures } }" + FAILURES
_TENANT = (
    "mutation ($name: String!) { createTenant(name: $name) {"
    " ... on NewTenant { tenant { id } issued { key } } ...Failures } }" + FAILURES
)
_QUOTAS = (
    "mutation ($tenant: String!, $quotas: QuotasInput!) {"
    " setQuotas(tenant: $tenant, quotas: $quotas) { ...Failures } }" + FAILURES
)


@contextlib.asynccontextmanager
async def connections() -> AsyncIterator[aiohttp.ClientSession]:
    """What all drivers of a measurement share."""
    # Kept for less time than a control plane keeps them, so that none is used that it is about to close.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=1.0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(60)) as http:
        yield http


class Driver:
    """Asks the control planes in turn, as the tenant of `key`. Raises errors of the `headrace.errors` tree."""

    def __init__(self, http: aiohttp.ClientSession, urls: Sequence[str], key: str) -> None:
        self._http = http
        self._urls = urls
        self._turn = itertools.cycle(f"{url}/graphql" for url in urls)
        self._headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}

    async def execute(self, document: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """The `data` of an answer."""
        body = orjson.dumps({"query": document, "variables": variables})
        url = next(self._turn)
        try:
            async with self._http.post(url, data=body, headers=self._headers) as answer:
                return read_answer(answer.status, await answer.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"{url} can not be reached ({type(error).__name__})") from error

    async def tenant(self, name: str, quotas: Mapping[str, int]) -> "Tenant":
        """A new tenant with quotas, for an admin of the platform."""
        made = (await self.execute(_TENANT, {"name": name}))["createTenant"]
        await self.quotas(name, quotas)
        return Tenant(made["tenant"]["id"], name, Driver(self._http, self._urls, made["issued"]["key"]))

    async def quotas(self, name: str, quotas: Mapping[str, int]) -> None:
        """Other quotas of a tenant, likewise."""
        await self.execute(_QUOTAS, {"tenant": name, "quotas": quotas})

    async def publish(self, work: Work, target: str) -> None:
        """The app, the actions and the workflow of `work`."""
        app = {"name": work.name, "baseUrl": target + work.base, "auth": {"kind": "NONE"}}
        await self.execute(_APP, {"input": app})
        for name in work.actions:
            definition = {
                "method": "POST",
                "endpointTemplate": f"/{name}",
                "approvalClass": "A",
                "idempotency": {"mode": "KEY"},
            }
            await self.execute(_ACTION, {"app": work.name, "name": name, "definition": definition})
        await self.execute(_PUBLISH, {"document": work.document})

    async def start(self, workflow: str, given: Mapping[str, Any]) -> str:
        """Start one run; its id."""
        found = await self.execute(_START, {"workflow": workflow, "input": given})
        return str(found["startRun"]["id"])

    async def start_many(
        self, workflow: str, given: Sequence[Mapping[str, Any]], at_once: int = BULK
    ) -> None:
        """Start a run with each input, so many in a request, one request after the other. `Unavailable` where one of
        them was refused."""
        for begin in range(0, len(given), at_once):
            items = [{"workflow": workflow, "input": each} for each in given[begin : begin + at_once]]
            started = (await self.execute(_START_MANY, {"items": items}))["startRuns"]["items"]
            if refused := [error for error in map(payload_error, started) if error]:
                raise Unavailable(f"{len(refused)} starts were refused: {refused[0].message}")


class Tenant:
    """A tenant of the measured deployment, and what acts for it."""

    def __init__(self, tenant_id: str, name: str, driver: Driver) -> None:
        self.id, self.name, self.driver = tenant_id, name, driver
