"""Quotas, as the platform sets them."""

from typing import Any

from tests.integration.control_plane_runs.acting import Client

SET_QUOTAS = """mutation($tenant: String!, $quotas: QuotasInput!) { setQuotas(tenant: $tenant, quotas: $quotas) {
  __typename ... on Quotas { runsInFlight unfinishedRuns startsPerMinute }
  ... on Failure { code message } ... on InvalidInput { problems { path } } } }"""


async def allow(platform: Client, **quotas: int | None) -> Any:
    return await platform(SET_QUOTAS, tenant="acme", quotas=quotas)
