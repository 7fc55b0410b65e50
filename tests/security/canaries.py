"""Secrets that are used for real, the ways in which they may be written, and a target that gives them all away."""

import asyncio
import base64
import html
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from urllib.parse import quote, quote_plus, unquote_plus

from aiohttp import web
from target import Call

# Each has something that one encoding or another changes.
CANARIES: Mapping[str, str] = {
    "key in a header": "canary/Key+4f9c2b7e~one",
    "key in the query": "canary?Query&key=5b77 two",
    "password": "canary:Pass&word=77aa%41",
    "first header": "canary-Header-3d1e8b",
    "second header": 'canary "quoted" <Header> 9f',
    "client secret": "canary+Client/secret=61d0",
    "refresh token": "canary.Refresh.token/77c1==",
    "access token": "canary-Access_token.0b5d~/+",
    "client secret of the one that fails": "canary=Second/client+e41b",
    "value in env": "canary Env=s3cret/ü-91c0",
}
USER = "someone"


def spellings(secret: str) -> Mapping[str, str]:
    """The secret in the encodings in which it may be sent or written, by name."""
    plain = secret.encode()
    every = "".join(f"\\u{ord(character):04x}" for character in secret)
    return {
        "raw": secret,
        "URL": quote(secret, safe=""),
        "URL, slashes left": quote(secret),
        "URL, small letters": quote(secret, safe="").lower()
        if secret.islower()
        else quote(secret, safe="/~"),
        "twice URL": quote(quote(secret, safe=""), safe=""),
        "form": quote_plus(secret),
        "base64": base64.b64encode(plain).decode(),
        "base64 without padding": base64.b64encode(plain).decode().rstrip("="),
        "base64 one off": base64.b64encode(b"x" + plain + b"y").decode(),
        "base64 two off": base64.b64encode(b"xy" + plain + b"z").decode(),
        "base64url": base64.urlsafe_b64encode(plain).decode(),
        "Basic": base64.b64encode(f"{USER}:{secret}".encode()).decode(),
        "JSON": json.dumps(secret)[1:-1],
        "JSON in JSON": json.dumps(json.dumps(secret))[3:-3],
        "escapes": every,
        "hex": plain.hex(),
        "HEX": plain.hex().upper(),
        "HTML": html.escape(secret),
        "HTML by number": "".join(f"&#{ord(character)};" for character in secret),
        "HTML by hexadecimal number": "".join(f"&#x{ord(character):x};" for character in secret),
    }


def needles(secrets: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """What to look for: of base64 that starts or ends amid something else, what the secret alone decides."""
    for name, secret in secrets.items():
        for encoding, spelt in spellings(secret).items():
            found = spelt.encode()
            if encoding.startswith(("base64", "Basic")):
                shift = {"base64 one off": 1, "base64 two off": 2, "Basic": len(USER) + 1}.get(encoding, 0)
                found = found[-(-shift * 8 // 6) : (shift + len(secret.encode())) * 8 // 6]
            yield f"{name}, {encoding}", found


def leaks(where: str, haystack: bytes, secrets: Mapping[str, str]) -> list[str]:
    """Each secret that stands in `haystack`, however often what it stands in was written as JSON since."""
    layers = {haystack}
    for _ in range(2):
        haystack = haystack.replace(b"\\\\", b"\\").replace(b'\\"', b'"')
        layers.add(haystack)
    return [
        f"{name} in {where}" for name, needle in needles(secrets) if any(needle in layer for layer in layers)
    ]


def sent_with(call: Call) -> dict[str, str]:
    """The secrets that a call carries."""
    texts = [*call.headers.values(), *call.query.values(), unquote_plus(call.body.decode("latin-1"))]
    texts.append(call.body.decode(errors="replace"))
    basic = call.headers.get("authorization", "")
    if basic.startswith("Basic "):
        texts.append(unquote_plus(base64.b64decode(basic[6:]).decode()))
    return {name: secret for name, secret in CANARIES.items() if any(secret in text for text in texts)}


def said(call: Call) -> list[str]:
    """Everything that the call carried, in every encoding, and the call itself."""
    everything = [spelt for secret in sent_with(call).values() for spelt in spellings(secret).values()]
    return [*everything, *call.headers.values(), call.body.decode("latin-1")]


def _header_lines(call: Call) -> list[str]:
    return [line for line in said(call) if line.isascii() and line.isprintable() and line == line.strip()]


async def echo(call: Call) -> web.StreamResponse:
    """In the body and in the headers, keys included."""
    lines = said(call)
    response = web.json_response({"said": lines, "by name": {line: n for n, line in enumerate(lines)}})
    for number, line in enumerate(_header_lines(call)):
        response.headers[f"X-Echo-{number}"] = line
    response.headers["Link"] = f'<https://elsewhere.example/?k={quote(lines[0])}>; rel="about"'
    response.headers["Set-Cookie"] = f"session={quote(lines[0])}"
    return response


async def as_text(call: Call) -> web.StreamResponse:
    """As text, split amid each line into chunks."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response.enable_chunked_encoding()
    await _prepare(response, call)
    for line in said(call):
        data = line.encode() + b"\n"
        for part in (data[: len(data) // 2], data[len(data) // 2 :]):
            await response.write(part)
            await asyncio.sleep(0)  # each part is a chunk of its own
    await response.write_eof()
    return response


async def _prepare(response: web.StreamResponse, call: Call) -> None:
    assert call.request is not None
    await response.prepare(call.request)


async def as_bytes(call: Call) -> web.StreamResponse:
    """As something that is neither JSON nor text."""
    return web.Response(
        body=b"\xff\xfe\x01".join(line.encode() for line in said(call)), content_type="image/png"
    )


async def failing(call: Call) -> web.StreamResponse:
    lines = _header_lines(call)
    return web.Response(
        status=500,
        reason=lines[0],
        text=f"<h1>{' '.join(said(call))}</h1>",
        content_type="text/html",
        headers={"WWW-Authenticate": f'Basic realm="{quote(lines[0])}"'},
    )


async def redirecting(call: Call) -> web.StreamResponse:
    lines = said(call)
    return web.Response(
        status=302, headers={"Location": "/ok?" + "&".join(f"k={quote(line)}" for line in lines[:20])}
    )


async def hanging(call: Call) -> web.StreamResponse:
    """Half an answer, and then spaces until the caller hangs up."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await _prepare(response, call)
    await response.write(json.dumps({"said": said(call)})[:-2].encode())
    with suppress(ConnectionError):
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.1)
    return response


async def broken(call: Call) -> web.StreamResponse:
    """A body that is not what its type says."""
    return web.Response(text='{"said": ' + " ".join(said(call)), content_type="application/json")


async def tokens(_call: Call) -> web.StreamResponse:
    answer = {"token_type": "Bearer", "expires_in": 3600}
    return web.json_response(
        {**answer, "access_token": CANARIES["access token"], "refresh_token": CANARIES["refresh token"]}
    )


async def no_tokens(call: Call) -> web.StreamResponse:
    problem = {
        "error": "invalid_client",
        "error_description": " ".join(said(call)),
        "error_uri": said(call)[0],
    }
    return web.json_response(problem, status=401)
