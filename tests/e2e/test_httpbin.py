"""Every kind of call against httpbin, a third party's service: what it says it got, and what becomes of it."""

import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import pytest
import pytest_asyncio
from designer import Designer
from fleet import Fleet
from httpbin_target import Call, Httpbin, body, failure, running_httpbin, statuses

# One deployment serves all of these tests: they share its loop.
pytestmark = pytest.mark.asyncio(loop_scope="module")

UNICODE = "Grüße, 世界 🌍"
AWKWARD = f"a b/c?d=e&f#g%2F+{UNICODE}"
SECRET = "s3cret-of-the-tests+1"
_RETRY = {"retry": {"strategy": "FIXED", "maxAttempts": 3, "initialDelayMs": 10}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def httpbin(module_fleet: Fleet) -> AsyncIterator[Httpbin]:
    async with running_httpbin(module_fleet.folder) as url:
        await module_fleet.start_all()
        httpbin = Httpbin(Designer(module_fleet), url)
        await httpbin.app("httpbin")
        yield httpbin


async def test_every_method(httpbin: Httpbin) -> None:
    bodied = {"action": {"idempotency": {"mode": "KEY"}}, "step": {"input": {"n": 1}}}
    steps = await httpbin.run(
        "methods",
        Call("get", "GET /get", {"input": {"n": 1}}),
        Call("post", "POST /post", **bodied),
        Call("put", "PUT /put", **bodied),
        Call("patch", "PATCH /patch", **bodied),
        Call("delete", "DELETE /delete", {"body": {"n": 1}}),
        Call("head", "HEAD /get"),
        Call("options", "OPTIONS /anything"),
    )
    assert body(steps["get"])["args"] == {"n": "1"}
    for key in ("post", "put", "patch", "delete"):
        assert body(steps[key])["json"] == {"n": 1}, key
    assert steps["head"]["output"]["status"] == 200
    assert int(steps["head"]["output"]["headers"]["content-length"]) > 0
    assert body(steps["head"]) is None
    assert {"GET", "POST", "PATCH"} <= set(steps["options"]["output"]["headers"]["allow"].split(", "))
    for key in ("post", "put", "patch"):
        assert body(steps[key])["headers"]["Idempotency-Key"].endswith(f"-{key}")


async def test_path_query_and_headers(httpbin: Httpbin) -> None:
    query = {
        "text": AWKWARD,
        UNICODE: "name",
        "list": ["a", "b c", "ü", 3],
        "one": ["x"],
        "none": [],
        "empty": "",
        "null": None,
        "yes": True,
        "number": 1.5,
        "big": 2**63 - 1,
    }
    headers = {"X-Text": "plain text; q=0.5", "X-Empty": "", "X-Null": None, "X-Number": 7, "X-Flag": False}
    steps = await httpbin.run(
        "parts",
        Call("path", "GET /anything/{a}/between/{b}", {"path": {"a": AWKWARD, "b": 0}}),
        Call("query", "GET /anything", {"query": query}),
        Call("headers", "GET /anything", {"headers": headers}, {"headersTemplate": {"X-Template": "t"}}),
        Call("empty_path", "GET /anything/{a}", {"path": {"a": ""}}),
        Call("null_path", "GET /anything/{a}", {"path": {"a": None}}),
        Call("dots", "GET /anything/{a}", {"path": {"a": "{{ '..' }}"}}),
        Call("object", "GET /anything", {"query": {"a": {"b": 1}}}),
        Call("unicode_header", "GET /anything", {"headers": {"X-A": "{{ 'ü' }}"}}),
        Call("injected_header", "GET /anything", {"headers": {"X-A": "{{ 'a\\r\\nX-B: c' }}"}}),
    )
    # httpbin shows a URL that is decoded in part.
    assert unquote(body(steps["path"])["url"]) == unquote(f"{httpbin.url}/anything/{AWKWARD}/between/0")
    assert body(steps["query"])["args"] == {
        "text": AWKWARD,
        UNICODE: "name",
        "list": ["a", "b c", "ü", "3"],
        "one": "x",
        "empty": "",
        "yes": "true",
        "number": "1.5",
        "big": str(2**63 - 1),
    }
    seen = body(steps["headers"])["headers"]
    assert {name: value for name, value in seen.items() if name.startswith("X-")} == {
        "X-Text": "plain text; q=0.5",
        "X-Empty": "",
        "X-Number": "7",
        "X-Flag": "false",
        "X-Template": "t",
    }
    for key in ("empty_path", "null_path", "dots", "object", "unicode_header", "injected_header"):
        assert failure(steps[key]) == "INVALID_REQUEST", key
        assert statuses(steps[key]) in ([], [None]), "nothing was sent"


async def test_bodies(httpbin: Httpbin) -> None:
    value: dict[str, Any] = {
        UNICODE: [None, True, "", [], {}, {"deep": [1, 2.5, -0.1]}],
        "big": 2**53 + 1,
        "quotes": "\"'\\/\n\t",
        "null": None,
    }
    fields = {"text": AWKWARD, "list": ["a", "ü", 3], "empty": "", "null": None, "yes": True, UNICODE: "name"}
    written = {name: value for name, value in fields.items() if name != "null"}
    echoed = {**written, "list": ["a", "ü", "3"], "yes": "true"}
    binary = bytes(range(256))
    files = {
        "binary": {"filename": f"{UNICODE}.bin", "base64": base64.b64encode(binary).decode()},
        "note": {"filename": "n.txt", "contentType": "text/plain", "text": UNICODE},
    }
    form, multipart, text = ({"bodyType": kind} for kind in ("FORM", "MULTIPART", "TEXT"))
    steps = await httpbin.run(
        "bodies",
        Call("json", "POST /anything", {"body": value}),
        Call("json_list", "POST /anything", {"body": ["{{ input.text }}", None]}),
        Call("json_expression", "POST /anything", {"body": "{{ input }}"}),
        Call("form", "POST /anything", {"body": fields}, form),
        Call("multipart", "POST /anything", {"body": {**fields, **files}}, multipart),
        Call("text", "POST /anything", {"body": f"{AWKWARD}\r\n"}, text),
        Call("empty_text", "POST /anything", {"body": ""}, text),
        Call("none", "POST /anything", {}, {"bodyType": "NONE"}),
        Call("form_object", "POST /anything", {"body": {"a": {"b": 1}}}, form),
        given={"text": AWKWARD},
    )
    assert body(steps["json"])["json"] == value
    assert body(steps["json"])["headers"]["Content-Type"] == "application/json"
    assert body(steps["json_list"])["json"] == [AWKWARD, None]
    assert body(steps["json_expression"])["json"] == {"text": AWKWARD}
    assert body(steps["form"])["form"] == echoed
    assert body(steps["multipart"])["form"] == echoed
    encoded = base64.b64encode(binary).decode()
    assert body(steps["multipart"])["files"] == {
        "binary": f"data:application/octet-stream;base64,{encoded}",
        "note": UNICODE,
    }
    assert body(steps["text"])["data"] == f"{AWKWARD}\r\n"
    assert body(steps["text"])["headers"]["Content-Type"] == "text/plain; charset=utf-8"
    assert body(steps["empty_text"])["data"] == ""
    assert "Content-Type" not in body(steps["none"])["headers"]
    assert failure(steps["form_object"]) == "INVALID_REQUEST"


async def test_credentials(httpbin: Httpbin) -> None:
    await httpbin.app("basic", {"kind": "BASIC"}, {"password": SECRET}, {"username": UNICODE})
    bearer = {"kind": "CUSTOM_HEADER", "headers": ["Authorization", "X-Tenant"]}
    await httpbin.app("bearer", bearer, {"Authorization": f"Bearer {SECRET}", "X-Tenant": "acme"})
    for place in ("query", "header"):
        auth = {"kind": "API_KEY", "in": place, "name": "X-Key"}
        await httpbin.app(place, auth, {"apiKey": SECRET})
    guarded = Call(
        "guarded", "GET /basic-auth/{user}/{password}", {"path": {"user": UNICODE, "password": SECRET}}
    )
    wrong = Call(
        "wrong", "GET /basic-auth/{user}/{password}", {"path": {"user": UNICODE, "password": "other"}}
    )
    digest = Call("digest", "GET /digest-auth/auth/u/p", {}, _RETRY)
    basic = await httpbin.run("basic", guarded, wrong, digest, app="basic")
    assert body(basic["guarded"]) == {"authenticated": True, "user": UNICODE}
    assert failure(basic["wrong"]) == "HTTP_401"
    # Not a kind of credential that we have: one attempt, and what the server asked for is there to be read.
    assert (failure(basic["digest"]), statuses(basic["digest"])) == ("HTTP_401", [401])
    assert basic["digest"]["output"]["headers"]["www-authenticate"].startswith("Digest ")
    bearer_steps = await httpbin.run("bearer", Call("token", "GET /bearer"), app="bearer")
    assert body(bearer_steps["token"]) == {"authenticated": True, "token": "[***]"}
    assert failure((await httpbin.run("anonymous", Call("token", "GET /bearer")))["token"]) == "HTTP_401"
    query = await httpbin.run("query", Call("call", "GET /anything", {"query": {"a": 1}}), app="query")
    assert body(query["call"])["args"] == {"a": "1", "X-Key": "[***]"}
    header = await httpbin.run("header", Call("call", "GET /anything"), app="header")
    assert body(header["call"])["headers"]["X-Key"] == "[***]"


async def test_retries_and_time_limits(httpbin: Httpbin) -> None:
    slow = {"timeoutMs": 300}
    steps = await httpbin.run(
        "retries",
        Call("unavailable", "GET /status/503", {}, _RETRY),
        Call("too_many", "GET /status/429", {}, _RETRY),
        Call("not_found", "GET /status/404", {}, _RETRY),
        Call("teapot", "GET /status/418", {}, _RETRY),
        Call("slow", "GET /delay/2", slow, _RETRY),
        Call("slow_keyed", "POST /delay/2", slow, {**_RETRY, "idempotency": {"mode": "KEY"}}),
        Call("in_time", "GET /delay/0.1"),
    )
    assert (failure(steps["unavailable"]), statuses(steps["unavailable"])) == ("HTTP_503", [503, 503, 503])
    assert [a["number"] for a in steps["unavailable"]["attempts"]] == [1, 2, 3]
    assert (failure(steps["too_many"]), statuses(steps["too_many"])) == ("HTTP_429", [429, 429, 429])
    for key, status in (("not_found", 404), ("teapot", 418)):
        assert (failure(steps[key]), statuses(steps[key])) == (f"HTTP_{status}", [status])
    for key in ("slow", "slow_keyed"):
        assert failure(steps[key]) == "TIMEOUT"
        assert [a["error"]["code"] for a in steps[key]["attempts"]] == ["TIMEOUT"] * 3
    assert body(steps["in_time"])["url"].endswith("/delay/0.1")


async def test_a_call_in_doubt_is_not_made_again(httpbin: Httpbin) -> None:
    slow = Call("slow", "POST /delay/2", {"timeoutMs": 1000}, _RETRY)  # time enough to be sent
    steps = await httpbin.run("doubt", slow, wanted={"WAITING"})
    assert (steps["slow"]["status"], failure(steps["slow"])) == ("UNKNOWN", "TIMEOUT")
    assert len(steps["slow"]["attempts"]) == 1


async def test_redirects(httpbin: Httpbin) -> None:
    # The same server by another name is another host.
    elsewhere = f"{httpbin.url.replace('127.0.0.1', 'localhost')}/anything/else"
    here = f"{httpbin.url}/anything/here"
    await httpbin.app("moved", {"kind": "BASIC"}, {"password": SECRET}, {"username": "u"})
    headers = {"X-Private": "mine", "Accept-Language": "fi"}

    def to(url: str, status: int) -> dict[str, Any]:
        return {"query": {"url": url, "status_code": status}, "headers": headers}

    steps = await httpbin.run(
        "redirects",
        Call("five", "GET /redirect/5"),
        Call("six", "GET /redirect/6", {}, _RETRY),
        Call("relative", "GET /relative-redirect/2"),
        Call("absolute", "GET /absolute-redirect/2"),
        Call("kept", "GET /redirect-to", to(f"/basic-auth/u/{SECRET}", 302)),
        Call("dropped", "GET /redirect-to", to(elsewhere, 302)),
        Call(
            "guarded",
            "GET /redirect-to",
            to(elsewhere.replace("anything/else", f"basic-auth/u/{SECRET}"), 302),
        ),
        Call("see_other", "POST /redirect-to", {**to(here, 303), "body": {"n": 1}}),
        Call("repeated", "POST /redirect-to", {**to(here, 307), "body": {"n": 1}}),
        Call("taken_away", "POST /redirect-to", {**to(elsewhere, 307), "body": {"n": 1}}),
        Call("denied", "GET /redirect-to", to("http://169.254.169.254/", 302)),
        Call("no_http", "GET /redirect-to", to("file:///etc/passwd", 302)),
        app="moved",
    )
    for key in ("five", "relative", "absolute"):
        assert body(steps[key])["url"].endswith("/get"), key
    assert (failure(steps["six"]), len(steps["six"]["attempts"])) == ("TOO_MANY_REDIRECTS", 1)
    assert body(steps["kept"])["authenticated"] is True
    dropped = body(steps["dropped"])
    assert dropped["url"] == elsewhere
    assert dropped["headers"]["Accept-Language"] == "fi"
    assert not {"Authorization", "X-Private"} & set(dropped["headers"])
    assert failure(steps["guarded"]) == "HTTP_401"
    assert (body(steps["see_other"])["method"], body(steps["see_other"])["data"]) == ("GET", "")
    assert (body(steps["repeated"])["method"], body(steps["repeated"])["json"]) == ("POST", {"n": 1})
    assert failure(steps["taken_away"]) == "REDIRECT_REFUSED"
    assert failure(steps["denied"]) == "EGRESS_DENIED"
    assert failure(steps["no_http"]) == "REDIRECT_REFUSED"


async def test_answers_of_every_kind(httpbin: Httpbin) -> None:
    steps = await httpbin.run(
        "answers",
        Call("gzip", "GET /gzip"),
        Call("deflate", "GET /deflate"),
        Call("brotli", "GET /brotli"),
        Call("bytes", "GET /bytes/{n}", {"path": {"n": 4096}, "query": {"seed": 1}}),
        Call("image", "GET /image/png"),
        Call("utf8", "GET /encoding/utf8"),
        Call("html", "GET /html"),
        Call("xml", "GET /xml"),
        Call("stream", "GET /stream/3"),
        Call("nothing", "GET /status/204"),
        Call("set_cookie", "GET /cookies/set", {"query": {"session": "1"}}),
        Call("cookies", "GET /cookies"),
        Call(
            "again",
            "POST /anything",
            {"body": {"file": "{{ steps.image.output.body }}"}},
            {"bodyType": "MULTIPART"},
        ),
    )
    assert body(steps["gzip"])["gzipped"] is True
    assert body(steps["deflate"])["deflated"] is True
    assert body(steps["brotli"])["brotli"] is True
    assert body(steps["bytes"])["contentType"] == "application/octet-stream"
    assert len(base64.b64decode(body(steps["bytes"])["base64"])) == 4096
    image = body(steps["image"])
    assert image["contentType"] == "image/png"
    assert base64.b64decode(image["base64"]).startswith(b"\x89PNG")
    assert "ሰማይ አይታረስ ንጉሥ አይከሰስ" in body(steps["utf8"])
    assert "Herman Melville" in body(steps["html"])
    assert body(steps["xml"]).startswith("<?xml")
    assert [line[0] for line in body(steps["stream"]).splitlines()] == ["{"] * 3, "lines of JSON are no JSON"
    assert body(steps["nothing"]) is None
    assert body(steps["set_cookie"]) == {"cookies": {}}
    assert body(steps["cookies"]) == {"cookies": {}}
    # What one step got as bytes, the next one sends as a file.
    assert body(steps["again"])["files"]["file"] == f"data:image/png;base64,{image['base64']}"


async def test_answers_that_are_not_what_they_say(httpbin: Httpbin) -> None:
    def saying(**headers: str) -> dict[str, Any]:
        return {"query": {name.replace("_", "-"): value for name, value in headers.items()}}

    lying = "GET /response-headers"
    steps = await httpbin.run(
        "liars",
        Call("large", "GET /drip", {"query": {"numbytes": 10 * 1024 * 1024, "duration": 0}}, _RETRY),
        Call("no_gzip", lying, saying(Content_Encoding="gzip"), _RETRY),
        Call("no_brotli", lying, saying(Content_Encoding="br"), _RETRY),
        Call("coding", lying, saying(Content_Encoding="rot13"), _RETRY),
        Call("no_image", lying, saying(Content_Type="image/png")),
        Call("text", lying, saying(Content_Type="text/plain; charset=klingon")),
        Call("no_utf16", lying, saying(Content_Type="application/json; charset=utf-16")),
        Call("broken_type", lying, saying(Content_Type=";;;=")),
        Call("after", "GET /get"),
    )
    assert failure(steps["large"]) == "RESPONSE_TOO_LARGE"
    for key in ("no_gzip", "no_brotli", "coding"):
        assert failure(steps[key]) == "BAD_RESPONSE", key
    for key in ("large", "no_gzip", "no_brotli", "coding"):
        assert statuses(steps[key]) == [200], "it was carried out: asking again gives the same"
    assert body(steps["no_image"])["contentType"] == "image/png"
    assert base64.b64decode(body(steps["no_image"])["base64"]).startswith(b"{")
    assert json.loads(body(steps["text"]))["Content-Type"][1].endswith("klingon")
    assert body(steps["no_utf16"])["Content-Type"][1].endswith("utf-16")
    assert body(steps["broken_type"])["Content-Type"][1] == ";;;="
    assert body(steps["after"])["url"].endswith("/get")
