"""Bodies of calls: JSON, forms, files and text, or the place that is wrong."""

import email
import email.policy
import json
import re
from dataclasses import replace

import pytest
from headrace.json_types import Json, JsonObject
from headrace.workflow.definition import BodyType

from tests.unit.runner.building import ACTION, build, refused


@pytest.mark.parametrize(
    "body",
    [{"a": [1, None, "é\0"]}, [], {}, "text", 0, False, 10**30, {"\u2028": 1e300}],
)
def test_json_bodies(body: Json) -> None:
    call = build(body=body)
    assert json.loads(call.body) == body
    assert call.headers == (("Content-Type", "application/json"),)


def test_no_body_is_no_type_either() -> None:
    for kind in BodyType:
        call = build(replace(ACTION, body_type=kind))
        assert (call.body, call.headers) == (b"", ())


def test_a_step_may_say_its_own_json_type_but_not_a_forms() -> None:
    own: JsonObject = {"content-type": "application/vnd.api+json"}
    assert build(body={}, headers=own).headers == (("content-type", "application/vnd.api+json"),)
    form = build(replace(ACTION, body_type=BodyType.FORM), body={"a": 1}, headers=own)
    assert form.headers == (("Content-Type", "application/x-www-form-urlencoded"),)


@pytest.mark.parametrize("body", ["\ud800", {"\ud800": 1}, [10**30, "\udfff"]])
def test_json_that_can_not_be_written_is_refused(body: Json) -> None:
    assert refused(body=body) == "body"


def test_forms() -> None:
    body: Json = {"a b": "ü&=+ ", "list": [1, None, True], "none": None, "empty": ""}
    call = build(replace(ACTION, body_type=BodyType.FORM), body=body)
    assert call.body == b"a+b=%C3%BC%26%3D%2B+&list=1&list=true&empty="


@pytest.mark.parametrize("body", [{"a": {"b": "canary"}}, {"a": [["canary"]]}, {"a": "\ud800"}])
def test_forms_that_can_not_be_written_are_refused(body: Json) -> None:
    assert refused(replace(ACTION, body_type=BodyType.FORM), body=body) == "body.a"


@pytest.mark.parametrize("kind", [BodyType.FORM, BodyType.MULTIPART])
@pytest.mark.parametrize("body", ["canary", ["canary"], 5, False])
def test_fields_need_an_object(kind: BodyType, body: Json) -> None:
    assert refused(replace(ACTION, body_type=kind), body=body) == "body"


def test_multipart() -> None:
    action = replace(ACTION, body_type=BodyType.MULTIPART)
    body: Json = {
        'na"me\r\n': "vä\r\nlue",
        "list": [1, False],
        "none": None,
        "doc": {"filename": 'ü"\r\n.txt', "contentType": "text/plain", "text": "é"},
        "raw": {"base64": "AAH/"},
        "two": [{"text": "x"}, {"text": "y"}],
    }
    call = build(action, body=body)
    assert call == build(action, body=body)  # the same for every attempt
    [(name, content_type)] = call.headers
    assert name == "Content-Type"
    message = email.message_from_bytes(
        f"Content-Type: {content_type}\r\n\r\n".encode() + call.body, policy=email.policy.HTTP
    )
    parts = list(message.iter_parts())  # type: ignore[attr-defined]
    assert [part.get_payload(decode=True) for part in parts] == [
        "vä\r\nlue".encode(),
        b"1",
        b"false",
        "é".encode(),
        b"\x00\x01\xff",
        b"x",
        b"y",
    ]
    assert b'name="na%22me%0D%0A"\r\n' in call.body
    assert 'name="doc"; filename="ü%22%0D%0A.txt"\r\nContent-Type: text/plain\r\n'.encode() in call.body
    assert b'name="raw"; filename="file"\r\nContent-Type: application/octet-stream\r\n' in call.body


def test_files_are_the_last_parts() -> None:
    body: Json = {"key": "k", "file": {"text": "x"}, "policy": "p", "more": [{"text": "y"}, "z"], "zz": 1}
    sent = build(replace(ACTION, body_type=BodyType.MULTIPART), body=body).body.decode()
    assert re.findall(r'; name="(\w+)"(; filename)?', sent) == [
        *(("key", ""), ("policy", ""), ("more", ""), ("zz", "")),
        *(("file", "; filename"), ("more", "; filename")),
    ]


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"filename": "canary"}, "body.f"),
        ({"text": "a", "base64": "YQ=="}, "body.f"),
        ({"text": "a", "size": 5}, "body.f"),
        ({"base64": "canary!"}, "body.f.base64"),
        ({"base64": 5}, "body.f.base64"),
        ({"text": ["canary"]}, "body.f.text"),
        ({"text": "a", "contentType": "text/plain\r\nX-Canary: 1"}, "body.f.contentType"),
        ({"text": "a", "filename": {}}, "body.f.filename"),
    ],
)
def test_files_that_can_not_be_written_are_refused(value: Json, place: str) -> None:
    assert refused(replace(ACTION, body_type=BodyType.MULTIPART), body={"f": value}) == place


def test_text_and_none() -> None:
    text = replace(ACTION, body_type=BodyType.TEXT)
    call = build(text, body="é\n")
    assert (call.body, call.headers) == ("é\n".encode(), (("Content-Type", "text/plain; charset=utf-8"),))
    assert build(text, body=5).body == b"5"
    assert refused(text, body={"canary": 1}) == "body"
    assert refused(replace(ACTION, body_type=BodyType.NONE), body="canary") == "body"
