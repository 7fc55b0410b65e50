"""Builds a call from an action revision and a step's input.

The parts are already rendered JSON values. What can not be written without losing or changing it is refused
with a `Failure` that names the place (`query.filter`) and never quotes the value.
"""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from headrace.json_types import Json
from headrace.outbound.call import MAX_TIMEOUT, OutboundCall
from headrace.outbound.failures import CallCode
from headrace.outbound.fields import is_field_value, is_token
from headrace.outbound.target import InvalidTarget, parse_target
from headrace.workflow.actions import (
    MAX_HEADER_VALUE,
    MAX_HEADERS,
    OWN_HEADERS,
    endpoint_parameters,
    has_dot_segment,
    may_override,
)
from headrace.workflow.assign import RequestParts
from headrace.workflow.definition import ActionDefinition, IdempotencyMode
from headrace.workflow.state import Failure

from headrace_runner.bodies import encode_body
from headrace_runner.scalars import Unwritable, scalar_text

_PARAMETER = re.compile(r"\{([^{}/]+)\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_METHOD = re.compile(r"[A-Z]+")


def build_request(
    action: ActionDefinition,
    base_url: str,
    parts: RequestParts,
    *,
    template_headers: Mapping[str, Json] | None = None,
    idempotency_key: str = "",
    timeout_ms: int | None = None,
    known: RequestParts | None = None,
) -> OutboundCall | Failure:
    """The call, without its credential, or why there can be none.

    Path parameters are percent-encoded whole; an empty one, control characters, and what could be read as `.` or
    `..` between slashes are refused. Query: a list repeats
    its name, null is left out, true and false are written so, objects are refused. Headers of the step win
    over those of the template; hop-by-hop ones and Host are refused, and so is anything but visible ASCII, and
    from a step what names another method or path.
    `idempotency_key` is written when the action's idempotency is KEY. `timeout_ms` overrides the action's.
    With `known`, a failure tells no name that stands neither there nor in the action.
    """
    if not _METHOD.fullmatch(action.method) or action.method == "CONNECT":
        return Failure(CallCode.INVALID_REQUEST.value, "method: not a method that can be called")
    try:
        url = _url(base_url, _path(action.endpoint_template, parts.path), parts.query)
        parse_target(url)
        content_type, body = encode_body(action.body_type, parts.body)
        key = {action.idempotency.header: idempotency_key}
        own = _object(parts.headers, "headers")
        for name in own:
            if not may_override(action, name):
                raise Unwritable(f"headers.{name}", "only the action may name another method or path")
        headers = _headers(
            {} if content_type is None else {"Content-Type": content_type.value},
            template_headers or {},
            own,
            {"Content-Type": content_type.value} if content_type is not None and content_type.fixed else {},
            key if action.idempotency.mode is IdempotencyMode.KEY and idempotency_key else {},
        )
    except Unwritable as error:
        place = error.place
        if known is not None:
            place = _without_name(place, action, template_headers or {}, known)
        return Failure(CallCode.INVALID_REQUEST.value, f"{place}: {error.reason}")
    except InvalidTarget as error:
        return Failure(CallCode.INVALID_REQUEST.value, f"url: {error}")
    timeout = min((timeout_ms or action.timeout_ms) / 1000, MAX_TIMEOUT)
    return OutboundCall(action.method, url, headers, body, timeout)


def _without_name(
    place: str, action: ActionDefinition, template_headers: Mapping[str, Json], known: RequestParts
) -> str:
    """`place`, with `*` for a name that may be data."""
    part, dot, name = place.partition(".")
    spelled = {
        "path": [*known.path, *endpoint_parameters(action.endpoint_template)],
        "query": [*known.query],
        "headers": [*known.headers, *template_headers],
        "body": [*known.body] if isinstance(known.body, dict) else [],
    }
    told = not dot or any(f"{name}.".startswith(f"{one}.") for one in spelled.get(part, ()))
    return place if told else f"{part}.*"


def _path(template: str, parameters: Json) -> str:
    given = _object(parameters, "path")
    used: set[str] = set()

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        used.add(name)
        place = f"path.{name}"
        text = scalar_text(given.get(name), place)
        if text is None:
            raise Unwritable(place, "the path parameter is missing")
        if text == "":
            raise Unwritable(place, "the path parameter is empty")
        if _CONTROL.search(text):
            raise Unwritable(place, "the path parameter holds a control character")
        if has_dot_segment(text):
            raise Unwritable(place, "the path parameter holds `.` or `..` as a segment")
        return _quote(text, place)

    path = _PARAMETER.sub(fill, template)
    for name in given:
        if name not in used:
            raise Unwritable(f"path.{name}", "the endpoint template has no such parameter")
    if used and has_dot_segment(path):
        raise Unwritable("path", "the path parameters together make `.` or `..` a segment")
    return path


def _url(base_url: str, path: str, query: Json) -> str:
    """Joined as text: a base URL's own path and query stay, and nothing in `path` can reach the host."""
    base, _, base_query = base_url.partition("#")[0].partition("?")
    path, _, path_query = path.partition("#")[0].partition("?")
    url = f"{base.rstrip('/')}/{path.lstrip('/')}" if path else base
    pairs = (f"{_quote(name, place)}={_quote(value, place)}" for name, value, place in _query(query))
    joined = "&".join(part for part in (base_query, path_query, *pairs) if part)
    return f"{url}?{joined}" if joined else url


def _query(query: Json) -> Iterator[tuple[str, str, str]]:
    for name, value in _object(query, "query").items():
        place = f"query.{name}"
        for item in value if isinstance(value, list) else [value]:
            text = scalar_text(item, place)
            if text is not None:
                yield name, text, place


def _headers(*layers: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Later layers win; null leaves a header out, of earlier layers too."""
    headers: dict[str, tuple[str, str] | None] = {}
    for layer in layers:
        for name, value in layer.items():
            place = f"headers.{name}"
            lower = name.lower()
            if not is_token(name):
                raise Unwritable("headers", "a header's name has characters that names can not have")
            if lower in OWN_HEADERS:
                raise Unwritable(place, "this header belongs to the connection and can not be set")
            text = scalar_text(value, place)
            if text is not None and not is_field_value(text):
                raise Unwritable(place, "a header's value is visible ASCII, without line breaks")
            if text is not None and len(text) > MAX_HEADER_VALUE:
                raise Unwritable(place, f"a header's value may have {MAX_HEADER_VALUE} characters at most")
            headers[lower] = None if text is None else (name, text.strip(" \t"))
    written = tuple(header for header in headers.values() if header is not None)
    if len(written) > 2 * MAX_HEADERS:
        raise Unwritable("headers", f"a call may have {2 * MAX_HEADERS} headers at most")
    return written


def _object(value: Json, place: str) -> Mapping[str, Json]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Unwritable(place, "an object is needed here")
    return value


def _quote(text: str, place: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise Unwritable(place, "the text holds a lone surrogate") from None
