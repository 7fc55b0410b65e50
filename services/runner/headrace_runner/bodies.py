"""Request bodies: JSON, form, multipart and text, from rendered JSON values."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from typing import assert_never
from urllib.parse import quote_plus

import orjson
from headrace.json_types import Json
from headrace.records import record
from headrace.workflow.definition import BodyType

from headrace_runner.scalars import Unwritable, scalar_text

_FILE_KEYS = frozenset({"filename", "contentType", "base64", "text"})


@record
class ContentType:
    """`fixed`: the body can be read with this one only, so that no header of the step may replace it."""

    value: str
    fixed: bool = False


def encode_body(kind: BodyType, body: Json) -> tuple[ContentType | None, bytes]:
    """The body's bytes and type; no type when there is no body. None is no body. Raises `Unwritable`.

    FORM and MULTIPART take an object; a list repeats its name and null is left out. A multipart file is an
    object `{filename, contentType, base64 | text}`, of which only the content is required; files come last. The same
    body gives the same bytes each time, multipart boundaries included.
    """
    if body is None:
        return None, b""
    match kind:
        case BodyType.NONE:
            raise Unwritable("body", "this action sends no body")
        case BodyType.JSON:
            return ContentType("application/json"), _json(body)
        case BodyType.TEXT:
            return ContentType("text/plain; charset=utf-8"), _utf8(scalar_text(body, "body") or "", "body")
        case BodyType.FORM:
            return ContentType("application/x-www-form-urlencoded", fixed=True), _form(body)
        case BodyType.MULTIPART:
            return _multipart(body)
        case _:
            assert_never(kind)


def _json(body: Json) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:
        pass  # a whole number above 64 bits, or what is no JSON
    try:
        return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, TypeError, RecursionError):  # UnicodeEncodeError is a ValueError
        raise Unwritable("body", "the body holds what JSON can not") from None


def _form(body: Json) -> bytes:
    pairs = []
    for name, value, place in _fields(body):
        text = scalar_text(value, place) or ""
        pairs.append(quote_plus(_utf8(name, place)) + "=" + quote_plus(_utf8(text, place)))
    return "&".join(pairs).encode("ascii")


def _multipart(body: Json) -> tuple[ContentType, bytes]:
    """RFC 7578, with names escaped as browsers do (WHATWG HTML, multipart form data)."""
    # Some targets (S3's uploads, stream readers) take no notice of fields behind a file; and the order in which a
    # document has them is not kept.
    fields = sorted(_fields(body), key=lambda field: isinstance(field[1], dict))
    parts = [_part(name, value, place) for name, value, place in fields]
    boundary = f"headrace-{hashlib.sha256(b''.join(parts)).hexdigest()[:40]}"
    mark = f"--{boundary}\r\n".encode()
    data = b"".join(mark + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return ContentType(f"multipart/form-data; boundary={boundary}", fixed=True), data


def _part(name: str, value: Json, place: str) -> bytes:
    head = f'Content-Disposition: form-data; name="{_escape(name)}"'
    if isinstance(value, dict):
        content = _file_content(value, place)
        filename = scalar_text(value.get("filename"), f"{place}.filename") or "file"
        media = scalar_text(value.get("contentType"), f"{place}.contentType") or "application/octet-stream"
        if not media.isascii() or not media.isprintable():
            raise Unwritable(f"{place}.contentType", "not a media type")
        head += f'; filename="{_escape(filename)}"\r\nContent-Type: {media}'
    else:
        content = _utf8(scalar_text(value, place) or "", place)
    return _utf8(head, place) + b"\r\n\r\n" + content


def _file_content(value: dict[str, Json], place: str) -> bytes:
    if set(value) - _FILE_KEYS or ("base64" in value) == ("text" in value):
        raise Unwritable(place, "a file is {filename, contentType, base64 or text}")
    if "text" in value:
        return _utf8(scalar_text(value["text"], f"{place}.text") or "", f"{place}.text")
    encoded = value["base64"]
    try:
        return base64.b64decode(encoded if isinstance(encoded, str) else "!", validate=True)
    except (binascii.Error, ValueError):
        raise Unwritable(f"{place}.base64", "not base64") from None


def _fields(body: Json) -> Iterator[tuple[str, Json, str]]:
    if not isinstance(body, dict):
        raise Unwritable("body", "an object is needed here")
    for name, value in body.items():
        for item in value if isinstance(value, list) else [value]:
            if item is not None:
                yield name, item, f"body.{name}"


def _escape(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A").replace("\0", "%00")


def _utf8(text: str, place: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unwritable(place, "the text holds a lone surrogate") from None
