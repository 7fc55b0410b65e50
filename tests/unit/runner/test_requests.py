"""Calls are built from actions and rendered values, or refused with the place that is wrong."""

from dataclasses import replace
from urllib.parse import parse_qsl, quote_plus, unquote, urlsplit

import pytest
from headrace.json_types import Json
from headrace.outbound.call import OutboundCall
from headrace.outbound.target import parse_target
from headrace.workflow.assign import RequestParts
from headrace.workflow.definition import ActionDefinition, BodyType, Idempotency, IdempotencyMode
from headrace.workflow.expressions import Scope, Templates
from headrace.workflow.state import Failure
from headrace_runner.requests import build_request
from headrace_runner.stored import as_stored
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.runner.building import ACTION, BASE, build, refused


def item(template: str = "/items/{id}") -> ActionDefinition:
    return replace(ACTION, endpoint_template=template)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain-1._~", "plain-1._~"),
        ("a/b", "a%2Fb"),
        ("a?b#c", "a%3Fb%23c"),
        ("..x", "..x"),
        ("100%", "100%25"),
        ("%2f%zz", "%252f%25zz"),
        ("ü ß", "%C3%BC%20%C3%9F"),
        ("a\\b", "a%5Cb"),
        ("@:;,&=+$!*'()", "%40%3A%3B%2C%26%3D%2B%24%21%2A%27%28%29"),
        (7, "7"),
        (True, "true"),
        (1.5, "1.5"),
        ("...", "..."),
    ],
)
def test_path_parameters_are_encoded_whole(value: Json, written: str) -> None:
    assert build(item(), path={"id": value}).url == f"{BASE}/items/{written}"


@pytest.mark.parametrize(
    "value",
    [
        "",
        ".",
        "..",
        "../x",
        "a/../b",
        "a\\..\\b",
        "%2e%2e",
        "%252e%252e",
        "a\r\n",
        "a\0",
        None,
        [],
        ["a"],
        {},
        {"a": 1},
        "\ud800",
        float("nan"),
    ],
)
def test_path_parameters_that_would_change_the_path_are_refused(value: Json) -> None:
    assert refused(item(), path={"id": value}) == "path.id"


def test_path_parameters_and_template_agree() -> None:
    assert refused(item()) == "path.id"
    assert refused(item(), path={"id": 1, "other": "canary"}) == "path.other"
    url = build(item("/{a}/x-{b}.json/{a}"), path={"a": "1/2", "b": "é"}).url
    assert url == f"{BASE}/1%2F2/x-%C3%A9.json/1%2F2"


@given(st.text(min_size=1))
def test_no_path_parameter_leaves_its_segment(value: str) -> None:
    parts = RequestParts(path={"id": value})
    call = build_request(item("/items/{id}/end"), BASE, parts)
    if isinstance(call, Failure):
        assert "." in unquote(unquote(value)) or not value.isprintable()
    else:
        target = parse_target(call.url)
        assert target.host == "api.example.com"
        assert target.path.startswith("/v1/items/")
        assert target.path.endswith("/end")
        assert target.path.count("/") == 4
        assert unquote(target.path.split("/")[3]) == value


@pytest.mark.parametrize(
    ("base", "template", "url"),
    [
        ("https://h.example", "/a", "https://h.example/a"),
        ("https://h.example/", "/a", "https://h.example/a"),
        ("https://h.example/v1", "/a", "https://h.example/v1/a"),
        ("https://h.example/v1/", "a/", "https://h.example/v1/a/"),
        ("https://h.example/a/%2e%2e/b", "/c//d", "https://h.example/a/%2e%2e/b/c//d"),
        ("https://h.example/v1?key=1", "/a?b=2", "https://h.example/v1/a?key=1&b=2"),
        ("https://h.example/v1", "", "https://h.example/v1"),
        ("https://h.example", "//evil.example/a", "https://h.example/evil.example/a"),
        ("https://h.example", "@evil.example", "https://h.example/@evil.example"),
        ("https://h.example", "/a#b", "https://h.example/a"),
    ],
)
def test_base_url_and_template_are_joined_as_text(base: str, template: str, url: str) -> None:
    assert build(item(template), base).url == url


@pytest.mark.parametrize("base", ["", "api.example.com", "ftp://h.example", "https://u:canary@h.example"])
def test_a_base_url_that_can_not_be_called_is_refused(base: str) -> None:
    assert refused(base_url=base) == "url"


def test_query() -> None:
    call = build(
        query={
            "a b": "ü&=+ /?#",
            "list": [1, "two", None, True],
            "none": None,
            "empty": "",
            "no": [],
            "yes": False,
            "big": 10**30,
        }
    )
    assert urlsplit(call.url).query == (
        "a%20b=%C3%BC%26%3D%2B%20%2F%3F%23&list=1&list=two&list=true&empty=&yes=false&big=1" + "0" * 30
    )


NUMBERS = [5.0, 10 / 2, -0.0, 0.5, 2.0**53, 1e16, 1e20, 1e21, 0.00001, 2**63, True, False]
AS_TEXT = (
    "5,5,0,0.5,9007199254740992,10000000000000000,100000000000000000000,1e+21,1e-05,"
    "9223372036854775808,true,false"
)


def test_a_number_reads_alike_wherever_it_becomes_text() -> None:
    """Also as in an expression's text, and as a runner has it that takes the run over."""
    for value, text in zip(NUMBERS, AS_TEXT.split(","), strict=True):
        for number in (value, as_stored(value)):
            call = build(item("/a/{n}"), path={"n": number}, query={"n": [number]}, headers={"X-N": number})
            assert unquote(call.url).endswith(f"/a/{text}?n={text}")
            assert ("X-N", text) in call.headers
            for kind, sent in ((BodyType.TEXT, text), (BodyType.FORM, f"n={quote_plus(text)}")):
                body = number if kind is BodyType.TEXT else {"n": number}
                assert build(replace(ACTION, body_type=kind), body=body).body.decode() == sent
            assert Templates().render("{{ input }}{{ '' }}", Scope(number, {}, {}, {})) == text


# Small enough for the longest URL that is sent.
@given(
    st.dictionaries(st.text(min_size=1, max_size=20), st.lists(st.text(max_size=20), max_size=5), max_size=5)
)
def test_a_query_is_read_back_as_it_was_given(query: dict[str, list[str]]) -> None:
    call = build(query={name: list(values) for name, values in query.items()})
    read = parse_qsl(urlsplit(call.url).query, keep_blank_values=True)
    assert read == [(name, value) for name, values in query.items() for value in values]


@pytest.mark.parametrize("value", [{"a": "canary"}, [["canary"]], [{}], "\udfff", float("inf")])
def test_a_query_that_can_not_be_written_is_refused(value: Json) -> None:
    assert refused(query={"q": value}) == "query.q"


def test_headers() -> None:
    call = build(
        template={"X-One": "template", "X-Two": "t", "X-Gone": "t"},
        headers={"x-one": "step", "X-Gone": None, "X-Number": 5, "X-Flag": False, "X-Space": " a\tb "},
        body={"a": 1},
    )
    assert call.headers == (
        ("Content-Type", "application/json"),
        ("x-one", "step"),
        ("X-Two", "t"),
        ("X-Number", "5"),
        ("X-Flag", "false"),
        ("X-Space", "a\tb"),
    )


@pytest.mark.parametrize(
    ("name", "value", "place"),
    [
        ("X-A", "canary\r\nX-B: 1", "headers.X-A"),
        ("X-A", "canary\n", "headers.X-A"),
        ("X-A", "canary\0", "headers.X-A"),
        ("X-A", "canary\x7f", "headers.X-A"),
        ("X-A", "canary é", "headers.X-A"),
        ("X-A", ["canary"], "headers.X-A"),
        ("X-A", {"canary": 1}, "headers.X-A"),
        ("X A", "1", "headers"),
        ("", "1", "headers"),
        ("X:canary", "1", "headers"),
        ("X\r\ncanary", "1", "headers"),
        ("Host", "canary", "headers.Host"),
        ("transfer-encoding", "chunked", "headers.transfer-encoding"),
        ("Content-Length", "5", "headers.Content-Length"),
        ("CONNECTION", "close", "headers.CONNECTION"),
        ("Upgrade", "h2c", "headers.Upgrade"),
        ("TE", "trailers", "headers.TE"),
        ("Expect", "100-continue", "headers.Expect"),
        ("Proxy-Authorization", "x", "headers.Proxy-Authorization"),
    ],
)
def test_headers_that_can_not_be_sent_are_refused(name: str, value: Json, place: str) -> None:
    assert refused(headers={name: value}) == place
    assert refused(template={name: value}) == place


def test_the_idempotency_key_is_written_for_mode_key_alone_and_wins() -> None:
    keyed = replace(ACTION, idempotency=Idempotency(IdempotencyMode.KEY, "X-Request-Id"))
    assert dict(build(keyed, key="k-1", headers={"x-request-id": "own"}).headers) == {"X-Request-Id": "k-1"}
    assert build(key="k-1").headers == ()


@pytest.mark.parametrize("method", ["CONNECT", "", "GET /x", "get", "G\r\nET"])
def test_methods_that_can_not_be_called_are_refused(method: str) -> None:
    assert refused(replace(ACTION, method=method)) == "method"


def test_time_limits() -> None:
    def timeout(action_ms: int, step_ms: int | None = None) -> float:
        call = build_request(replace(ACTION, timeout_ms=action_ms), BASE, RequestParts(), timeout_ms=step_ms)
        assert isinstance(call, OutboundCall)
        return call.timeout

    assert timeout(1500) == 1.5
    assert timeout(1500, 200) == 0.2
    assert timeout(10**9) == 600
