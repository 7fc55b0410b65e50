"""Calls of one tenant, by how they are expected to end."""

from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient

TENANT = "0190a0a0-0000-7000-8000-000000000001"


async def failing(client: OutboundClient, call: OutboundCall) -> CallFailure:
    outcome = await client.send(call, tenant_id=TENANT)
    assert isinstance(outcome, CallFailure), outcome
    return outcome


async def succeeding(client: OutboundClient, call: OutboundCall) -> CallResult:
    outcome = await client.send(call, tenant_id=TENANT)
    assert isinstance(outcome, CallResult), outcome
    return outcome
