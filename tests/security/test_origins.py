"""From which pages the public face is asked, and what a page can not send."""

import orjson
import pytest
from fixtures_edge import Edge
from headrace_control.web.policy import HttpPolicy

from tests.security.public_face import LISTED, NAME, code, face

pytestmark = pytest.mark.asyncio(loop_scope="module")

PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


async def test_no_page_reads_answers_unless_its_origin_is_listed(edge: Edge) -> None:
    for policy, origin, allowed in (
        (HttpPolicy(), LISTED, False),
        (HttpPolicy(origins=[LISTED]), LISTED, True),
        (HttpPolicy(origins=[LISTED]), f"{LISTED}.evil.example", False),
        (HttpPolicy(origins=[LISTED]), "http://console.example.com", False),
        (HttpPolicy(origins=[LISTED]), "null", False),
        (HttpPolicy(origins=[LISTED]), "*", False),
    ):
        async with face(edge, policy) as http:
            asked = await http.options("/graphql", headers={"origin": origin, **PREFLIGHT})
            read = await http.post(
                "/graphql",
                json={"query": NAME},
                headers={"origin": origin, "authorization": f"Bearer {edge.admin.key}"},
            )
        assert asked.status_code == (204 if allowed else 405)
        for answer in (asked, read):
            expected = origin if allowed else None
            assert answer.headers.get("access-control-allow-origin") == expected
            assert "access-control-allow-credentials" not in answer.headers
            assert "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize(
    "kind",
    [
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain; application/json",
        "text/plain;x=application/json",
        "application/jsonx",
        "application/graphql",
        "text/application/json",
    ],
)
async def test_what_a_form_can_send_is_no_operation(edge: Edge, kind: str | None) -> None:
    headers = {"authorization": f"Bearer {edge.admin.key}", **({"content-type": kind} if kind else {})}
    answer = await edge.http.post("/graphql", content=orjson.dumps({"query": NAME}), headers=headers)
    assert (answer.status_code, code(answer)) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_a_subscription_does_not_come_by_post(edge: Edge) -> None:
    headers = {"authorization": f"Bearer {edge.admin.key}"}
    for accept in (
        "text/event-stream",
        'multipart/mixed;boundary="graphql";subscriptionSpec=1.0,application/json',
        "multipart/mixed;deferSpec=20220824",
    ):
        body = {"query": 'subscription { runChanged(id: "x") { status } }'}
        answer = await edge.http.post("/graphql", json=body, headers={**headers, "accept": accept})
        assert answer.headers["content-type"] == "application/json"
        assert code(answer) == "BAD_QUERY"
