"""One run is one trace, from the request that starts it to its log records: over a wait, and over a runner's death."""

import asyncio
import secrets
from typing import Any

import pytest
from collector import Collector, Span
from designer import Designer
from fleet import Fleet
from target import Target


def step(key: str) -> dict[str, Any]:
    return {"key": key, "action": f"shop/{key}", "input": {"n": 1}}


PAUSED = {
    "workflow": "paused",
    "steps": [
        step("one"),
        {"key": "allow", "type": "approval", "approval": {"title": "Go on?"}},
        step("two"),
        {"key": "sum", "type": "transform", "input": {"n": 1}},
        {"key": "child", "type": "workflow", "workflow": "child"},
    ],
}
CHILD = {"workflow": "child", "steps": [{"key": "inner", "type": "transform", "input": {"n": 1}}]}
START = """mutation ($input: JSON) { startRun(workflow: "paused", input: $input) { ... on Run { id } } }"""
LOGS = "query ($id: ID!) { logs(filter: {run: $id}, first: 50) { items { message context } } }"
RUN = "headrace.run.id"
OF_RUN = {"headrace.tenant.id", RUN}


@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_a_run_is_one_trace(fleet: Fleet, target: Target) -> None:
    async with Collector() as collector:
        await _told(fleet, target, collector)


async def _told(fleet: Fleet, target: Target, collector: Collector) -> None:
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    await fleet.control_plane(HEADRACE_LEASE_SECONDS="4", **traced)
    await fleet.reporter(**traced)
    runner = await fleet.runner(**traced)
    designer = Designer(fleet)
    await designer.app("shop", target.url)
    for name in ("one", "two"):
        await designer.action("shop", name, "POST", f"/{name}", idempotency={"mode": "KEY"})
    await designer.publish(CHILD)
    await designer.publish(PAUSED)
    target.hold("/two")
    canary = secrets.token_hex(12)
    trace, callers = secrets.token_hex(16), secrets.token_hex(8)
    answer = await fleet.http.post(
        "/graphql",
        json={"query": START, "variables": {"input": {"n": canary}}},
        headers={"authorization": f"Bearer {fleet.api_key}", "traceparent": f"00-{trace}-{callers}-01"},
    )
    run_id = answer.json()["data"]["startRun"]["id"]
    await designer.ended(run_id, wanted={"WAITING"})
    await designer.decide(run_id, "allow", "APPROVE")
    await target.called("/two")
    # What has not been told yet dies with the runner.
    await collector.until(
        lambda: len(collector.named("claim run")) == 2 and bool(collector.named("step allow waits"))
    )
    await runner.kill()
    await fleet.runner(**traced)
    async with asyncio.timeout(60):
        while len(target.of("/two")) < 2:
            await designer.run(run_id)  # also lest the server closes a connection that nobody uses
            await asyncio.sleep(0.2)
    target.release("/two")
    await designer.ended(run_id)

    def named(name: str) -> list[Span]:
        """Of the run itself, not of its child."""
        return [span for span in collector.named(name) if span.attributes.get(RUN, run_id) == run_id]

    def whole() -> bool:
        claims = {s.attributes["headrace.claim.epoch"]: s.id for s in named("claim run")}
        applied = {s.parent for s in collector.named("apply events")}
        stored = {s.parent for s in collector.named("store log records")}
        told = len(claims) == 4 and set(claims.values()) <= applied and claims[4] in stored
        # Each service tells of its own spans when it gets round to it: a child may come before its parent.
        known = {callers, *(span.id for span in collector.spans)}
        told = told and {span.parent for span in collector.spans} <= known
        return told and bool(named("step sum")) and bool(collector.named("step inner"))

    await collector.until(whole)
    spans = collector.spans
    assert {span.trace for span in spans} == {trace}
    ids = [span.id for span in spans]
    assert len(set(ids)) == len(ids)
    assert {span.parent for span in spans} <= {callers, *ids}, "a span whose parent nobody told of"

    (request,), (accepted,) = collector.named("POST /graphql"), collector.named("accept run")
    assert (request.parent, request.service) == (callers, "headrace-control-plane")
    assert request.attributes == {"http.request.method": "POST", "http.response.status_code": 200}
    assert accepted.parent == request.id
    sent = named("send job")
    assert {span.parent for span in sent} == {accepted.id}
    claims = sorted(named("claim run"), key=lambda s: s.attributes["headrace.claim.epoch"])
    assert {claim.parent for claim in claims} <= {span.id for span in sent}
    assert len({claim.parent for claim in claims}) == 4
    assert [claim.attributes["headrace.claim.outcome"] for claim in claims] == [
        "GRANTED",
        "GRANTED",
        "TAKEOVER",
        "GRANTED",
    ]
    # The second goes on where the wait ended it, the third where the runner died, the fourth when the child had ended:
    # each is linked to the one before.
    assert [list(claim.links) for claim in claims] == [[], *([claim.id] for claim in claims[:-1])]

    (one,), (waits,), (two,), (summed,) = (
        collector.named(name) for name in ("step one", "step allow waits", "step two", "step sum")
    )
    assert (one.parent, waits.parent) == (claims[0].id, claims[0].id)
    assert (two.parent, summed.parent) == (claims[2].id, claims[2].id)
    assert _shown(one) == ("shop/one", 1, "SUCCESS", 200)
    assert waits.attributes["headrace.wait.kind"] == "approval"
    assert not any(span.failed for span in spans)
    for span in named("apply events"):
        assert span.parent in {claim.id for claim in claims}
        assert span.service == "headrace-reporter"
    for span in spans:
        assert span is request or set(span.attributes) >= OF_RUN, span
    # A child is in its parent's trace, and stands beside its parent's own work.
    (inner,) = collector.named("step inner")
    (its_claim,) = (span for span in spans if span.id == inner.parent)
    (its_job,) = (span for span in spans if span.id == its_claim.parent)
    assert its_job.parent == accepted.id
    assert len({span.attributes[RUN] for span in (inner, its_claim, its_job)} - {run_id}) == 1

    # What the target is offered is the attempt's own span; of the one that died with its runner only the trace is left.
    assert [call.headers["traceparent"] for call in target.of("/one")] == [f"00-{trace}-{one.id}-01"]
    lost, made = (call.headers["traceparent"] for call in target.of("/two"))
    assert made == f"00-{trace}-{two.id}-01"
    assert lost.split("-")[1] == trace
    assert "baggage" not in target.calls[0].headers
    records = (await designer.do(LOGS, id=run_id))["logs"]["items"]
    assert {record["context"]["traceId"] for record in records} == {trace}
    assert canary.encode() not in b"".join(collector.raw)
    assert fleet.api_key.encode() not in b"".join(collector.raw)


def _shown(span: Span) -> tuple[str, int, str, int]:
    a = span.attributes
    return (
        a["headrace.action"],
        a["headrace.attempt.number"],
        a["headrace.outcome"],
        a["http.response.status_code"],
    )
