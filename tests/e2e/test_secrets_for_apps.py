"""A secret that is for some apps is sent to no other: not by a new version, and not by one published before. And
nothing is sent in the place of one that is gone."""

import json
from typing import Any

import pytest
from aiohttp import web
from designer import Designer, step
from fleet import Backends, Fleet
from target import Call, Target

FIRST, SECOND, PIN = "canary-first-value", "canary-second-value", "7391"
_SET = """mutation ($name: String!, $value: String!, $apps: [String!]) {
  setSecret(name: $name, value: $value, apps: $apps) { ... on Secret { name apps } ...Failed } }"""
_SET_VALUE = """mutation ($name: String!, $value: String!) {
  setSecret(name: $name, value: $value) { ... on Secret { name apps } ...Failed } }"""
_MOVE = """mutation ($url: String!) { updateApp(name: "shop", input: {baseUrl: $url}) { ok: __typename ...Failed } }"""
_CONNECT = """mutation ($input: ConnectionInput!) {
  createConnection(input: $input) { ok: __typename ...Failed } }"""
_DEPRECATE = "mutation ($id: ID!) { deprecateVersion(id: $id) { ok: __typename ...Failed } }"
_PUBLISH = """mutation ($document: JSON!) { answer: publishWorkflow(document: $document) {
  ... on InvalidInput { problems { path message mend code } } ... on Failure { code } } }"""


def paying(workflow: str, *keys: str) -> dict[str, Any]:
    """Each key is an app; what is sent there are secrets under several names."""
    sent = {"token": "Bearer {{ env['TO' 'KEN'] | default('none') }}", "pin": "{{ env.PIN }}"}
    env = {"TOKEN": {"secret": "token"}, "PIN": {"secret": "pin"}}
    return {
        "workflow": workflow,
        "env": env,
        "steps": [{"key": key, "action": f"{key}/pay", "body": sent} for key in keys],
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_a_secret_goes_to_its_apps_alone(backends: Backends, tmp_path: Any) -> None:
    async with (
        Fleet(backends, tmp_path, {"HEADRACE_PARTITIONS": "2"}) as fleet,
        Target() as shop,
        Target() as other,
    ):
        await fleet.start_all()
        designer = Designer(fleet)
        for name, target in (("shop", shop), ("other", other)):
            await designer.app(name, target.url)
            await designer.action(name, "pay", "POST", "/pay", bodySchema={"type": "object"})
        await designer.secret("token", FIRST)
        await designer.secret("pin", PIN)
        await designer.publish(paying("both", "shop", "other"))
        await designer.publish(paying("one", "shop"))
        run = await designer.ended(await designer.start("both"))
        assert run["status"] == "SUCCESS", run
        assert [json.loads(target.calls[0].body)["token"] for target in (shop, other)] == [
            f"Bearer {FIRST}"
        ] * 2

        # From now on it is for one of them; a new value does not change that.
        narrowed = await designer.mutate(_SET, name="token", value=FIRST, apps=["shop", "shop"])
        assert narrowed["apps"] == ["shop"]
        await designer.mutate(_SET, name="pin", value=PIN, apps=["shop"])
        assert (await designer.mutate(_SET_VALUE, name="token", value=SECOND))["apps"] == ["shop"]
        run = await designer.ended(await designer.start("both"))
        assert run["status"] == "FAILED"
        assert step(run, "shop")["status"] == "SUCCESS"
        assert step(run, "other")["error"]["code"] == "SECRET_NOT_FOR_APP"
        assert json.loads(shop.calls[-1].body) == {"token": f"Bearer {SECOND}", "pin": PIN}
        assert len(other.calls) == 1

        answer = (await designer.do(_PUBLISH, document=paying("both", "other")))["answer"]
        assert {(p["path"], p["code"]) for p in answer["problems"]} == {
            ("steps[0].body.token", "SECRET_NOT_FOR_APP"),
            ("steps[0].body.pin", "SECRET_NOT_FOR_APP"),
        }
        assert all("shop" in problem["mend"] for problem in answer["problems"])

        # Where a connection's own base URL leads is an admin's word.
        own = {"app": "shop", "name": "own", "baseUrl": shop.url, "secrets": {}}
        await designer.mutate(_CONNECT, input=own)
        owned = paying("owned", "shop")
        owned["steps"][0]["connection"] = "own"
        await designer.publish(owned)

        # A version has pinned where its app was: the secret goes to where it is.
        await designer.mutate(_MOVE, url=other.url)
        run = await designer.ended(await designer.start("one"))
        assert step(run, "shop")["error"]["code"] == "SECRET_NOT_FOR_APP"
        assert (len(shop.calls), len(other.calls)) == (2, 1)
        assert (await designer.ended(await designer.start("owned")))["status"] == "SUCCESS"
        assert (len(shop.calls), len(other.calls)) == (3, 1)
        await designer.publish(paying("one", "shop"))
        assert (await designer.ended(await designer.start("one")))["status"] == "SUCCESS"
        assert (len(shop.calls), len(other.calls)) == (3, 2)

        assert (await designer.mutate(_SET, name="token", value=SECOND, apps=None))["apps"] is None


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_nothing_is_sent_in_the_place_of_a_secret_that_is_gone(
    backends: Backends, tmp_path: Any
) -> None:
    async with Fleet(backends, tmp_path, {"HEADRACE_PARTITIONS": "2"}) as fleet, Target() as shop:
        await fleet.start_all()
        designer = Designer(fleet)
        await designer.app("shop", shop.url)
        await designer.action("shop", "pay", "POST", "/pay", bodySchema={"type": "object"})
        await designer.secret("token", FIRST)
        await designer.secret("pin", PIN)
        document = paying("late", "shop")
        document["steps"].insert(0, {"key": "wait", "type": "signal", "signal": {"name": "go"}})
        await designer.publish(document)
        run_id = await designer.start("late")
        await designer.ended(run_id, wanted={"WAITING"})
        version = (await designer.do('{ workflow(name: "late") { published { id } } }'))["workflow"]
        await designer.mutate(_DEPRECATE, id=version["published"]["id"])
        await designer.mutate('mutation { deleteSecret(name: "token") { ok: __typename ...Failed } }')
        await designer.signal(run_id, "go")
        failed = step(await designer.ended(run_id), "shop")
        assert failed["error"]["code"] == "SECRET_MISSING"
        assert "`env.TOKEN`" in failed["error"]["message"]
        assert shop.calls == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("backends", ["embedded"], indirect=True)
async def test_a_token_is_hidden_without_the_scheme_that_it_was_given_with(
    backends: Backends, tmp_path: Any
) -> None:
    """Targets tell what they could not use: the token alone."""
    async with Fleet(backends, tmp_path, {"HEADRACE_PARTITIONS": "2"}) as fleet, Target() as shop:

        async def unknown(call: Call) -> web.StreamResponse:
            return web.Response(status=401, text=f"no such token: {call.headers['authorization'].split()[1]}")

        shop.answers["/pay"] = unknown
        await fleet.start_all()
        designer = Designer(fleet)
        await designer.app("shop", shop.url)
        await designer.action("shop", "pay", "POST", "/pay")
        await designer.secret("token", f"Bearer {FIRST}")
        call = {"key": "pay", "action": "shop/pay", "headers": {"Authorization": "{{ env.TOKEN }}"}}
        await designer.publish({"workflow": "w", "env": {"TOKEN": {"secret": "token"}}, "steps": [call]})
        run = await designer.ended(await designer.start("w"))
        assert step(run, "pay")["output"]["body"] == "no such token: [***]"
        assert FIRST not in json.dumps(run)
        assert shop.calls[0].headers["authorization"] == f"Bearer {FIRST}"
