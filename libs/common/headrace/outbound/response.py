"""Reads an answer: bounded bytes in, a JSON value out.

| what the header says | the body becomes |
|---|---|
| JSON (`application/json`, `text/json`, `*+json`) | the value; text with the note NOT_JSON when it is none |
| text, XML, JavaScript, YAML, forms | text, in its charset; without one UTF-16 by its mark, or UTF-8; unknown: noted |
| nothing | JSON if it looks like it and is, else text if it is UTF-8, else base64 |
| anything else | `{"contentType": ..., "base64": ...}`, which a multipart input accepts as a file |

An empty body is null. What can not be trusted at all (a coding that is not what the header names, too many
bytes) is a failure and no value.
"""

import base64
import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from encodings import normalize_encoding
from encodings.aliases import aliases

from headrace.json_types import Json, JsonObject
from headrace.outbound.decoding import CodingFailure, DecodedTooLarge, codings_of, decode
from headrace.outbound.failures import CallCode, CallRefused
from headrace.outbound.normalise import NotJson, clean_text, read_json
from headrace.outbound.reply import Reply, field_text

INLINE_LIMIT = 256 * 1024
HEADER_LIMIT = 64 * 1024
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([^\s\"';]+)", re.IGNORECASE)
_TEXT_TYPES = frozenset(
    f"application/{name}"
    for name in (
        "xml",
        "javascript",
        "ecmascript",
        "yaml",
        "x-yaml",
        "graphql",
        "sql",
        "toml",
        "ndjson",
        "x-ndjson",
        "jsonl",
        "x-www-form-urlencoded",
    )
)
# Codecs that turn bytes into text in linear time and do nothing else (`punycode` is quadratic).
_CODECS = tuple(
    normalize_encoding(name)
    for name in (
        *("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *("ascii", "latin-1", *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16))),
        *(f"cp{page}" for page in (437, 850, 852, 866, 932, 949, *range(1250, 1259))),
        *("koi8-r", "koi8-u", "mac-roman", "shift_jis", "euc_jp", "iso2022_jp"),
        *("gb2312", "gbk", "gb18030", "big5", "euc_kr"),
    )
)
# Every spelling with its codec's name. A table of our own: `codecs.lookup` imports a module by the name that a
# target sends, and remembers that name for as long as the process lives.
_CHARSETS: Mapping[str, str] = {
    spelling: codecs.lookup(codec).name
    for spelling, codec in (*aliases.items(), *zip(_CODECS, _CODECS, strict=True))
    if codec in _CODECS
}
_LONGEST_CHARSET = 40
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as a value. `notes` are codes: NOT_JSON, JSON_TOO_DEEP, UNKNOWN_CHARSET, TEXT_REPAIRED. `data` is what
    stands in it in base64, of one that does."""

    body: Json
    notes: tuple[str, ...] = ()
    data: bytes = field(default=b"", repr=False)


async def read_answer(reply: Reply, limit: int = INLINE_LIMIT) -> Answer:
    """Reads and closes `reply`. Raises `CallRefused`, and `TransportFailure` when the stream breaks.

    `limit` is in bytes, for the body as it comes and again decoded. Total time is the caller's to bound.
    """
    try:
        data = await _read_raw(reply, limit)
        codings = codings_of(reply.header("content-encoding"))
        if data and codings:
            data = await decode(data, codings, limit)
    except DecodedTooLarge:
        raise _too_large(limit) from None
    except CodingFailure as error:
        raise CallRefused(CallCode.BAD_RESPONSE, str(error)) from None
    finally:
        reply.close()
    # Sent more than once, the last one counts, as browsers have it (Fetch standard, "extract a MIME type").
    return _value(data, "".join(reply.all("content-type")[-1:]))


def headers_of(reply: Reply) -> JsonObject:
    """Names in lower case; repeated ones joined with a comma, but for Set-Cookie, which is then a list.

    Raises `CallRefused` above `HEADER_LIMIT` bytes in all.
    """
    headers: JsonObject = {}
    size = 0
    for raw_name, raw_value in reply.raw_headers:
        size += len(raw_name) + len(raw_value)
        name, value = raw_name.decode("latin-1").lower(), clean_text(field_text(raw_value))
        before = headers.get(name)
        if before is None:
            headers[name] = value
        elif name == "set-cookie":
            headers[name] = [*(before if isinstance(before, list) else [before]), value]
        else:
            headers[name] = f"{before}, {value}"
    if size > HEADER_LIMIT:
        raise CallRefused(CallCode.RESPONSE_TOO_LARGE, f"the headers pass {HEADER_LIMIT} bytes")
    return headers


async def _read_raw(reply: Reply, limit: int) -> bytes:
    declared = reply.header("content-length")
    has_body = declared.isascii() and declared.isdigit() and reply.method != "HEAD"
    if has_body and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    data = reply.whole()
    if data is None:
        joined = bytearray()  # one object, however small the pieces are that a target sends
        async for piece in reply.pieces():
            joined += piece
            if len(joined) > limit:
                break
        data = bytes(joined)
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _too_large(limit: int) -> CallRefused:
    return CallRefused(CallCode.RESPONSE_TOO_LARGE, f"the answer is larger than {limit} bytes")


def _value(data: bytes, content_type: str) -> Answer:
    if not data:
        return Answer(None)
    media, charset = _media_type(content_type)
    if media == "":
        return _sniff(data)
    if media in ("application/json", "text/json") or media.endswith("+json"):
        try:
            return Answer(read_json(data, "utf-8" if charset in ("", _UNKNOWN) else charset))
        except NotJson as error:
            return _text(data, charset, "JSON_TOO_DEEP" if error.too_deep else "NOT_JSON")
    if media.startswith("text/") or media in _TEXT_TYPES or media.endswith(("+xml", "+yaml")):
        return _text(data, charset)
    return _bytes(data, media)


def _sniff(data: bytes) -> Answer:
    data = data.removeprefix(codecs.BOM_UTF8)
    if data.lstrip()[:1] in (b"{", b"["):
        try:
            return Answer(read_json(data))
        except NotJson:
            pass  # then it is text, or bytes
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return _bytes(data, "application/octet-stream")
    return _bytes(data, "application/octet-stream") if "\0" in text else Answer(text)


def _text(data: bytes, charset: str, *notes: str) -> Answer:
    if charset == _UNKNOWN:
        notes, charset = (*notes, "UNKNOWN_CHARSET"), "utf-8"
    if not charset and data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and len(data) % 2 == 0:
        charset = "utf-16"
    text = data.decode("utf-8-sig" if charset in ("", "utf-8") else charset, "replace")
    cleaned = clean_text(text)
    if "\N{REPLACEMENT CHARACTER}" in cleaned:
        notes = (*notes, "TEXT_REPAIRED")
    return Answer(cleaned, notes)


def _bytes(data: bytes, media: str) -> Answer:
    return Answer({"contentType": media, "base64": base64.b64encode(data).decode("ascii")}, data=data)


def _media_type(content_type: str) -> tuple[str, str]:
    """Type, in lower case, and charset, by Python's name for it; either may be "", and the charset `_UNKNOWN`."""
    match = _CHARSET.search(content_type)
    name = match[1].lower() if match else ""
    if name:
        known = len(name) <= _LONGEST_CHARSET
        name = _CHARSETS.get(normalize_encoding(name), _UNKNOWN) if known else _UNKNOWN
    return content_type.partition(";")[0].strip().lower(), name
