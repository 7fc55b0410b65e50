"""Content codings undone in bounded steps, so that a small answer can not grow into a large one."""

import asyncio
import zlib
from typing import Protocol

import brotli  # type: ignore[import-untyped]

_STEP = 1 << 16
MAX_CODINGS = 3
MAX_MEMBERS = 1_000  # of one gzip stream: each costs the same, however little is in it


class CodingFailure(ValueError):
    """The bytes are not in the coding that the header names, or the coding is not known."""


class DecodedTooLarge(ValueError):
    """The decoded bytes pass the limit."""


async def decode(data: bytes, codings: list[str], limit: int) -> bytes:
    """Undoes `codings` (as Content-Encoding lists them, the last one first), to at most `limit` bytes.

    Knows gzip, deflate (with and without zlib's frame) and br. Raises `CodingFailure`, `DecodedTooLarge`.
    Gives the event loop its turn between steps.
    """
    if len(codings) > MAX_CODINGS:
        raise CodingFailure("too many content codings")
    for coding in reversed(codings):
        data = await _decode_one(data, coding, limit)
    return data


def codings_of(header: str) -> list[str]:
    names = (name.strip().lower() for name in header.split(","))
    return [name for name in names if name and name != "identity"]


class _Decoder(Protocol):
    def feed(self, data: bytes, limit: int) -> bytes:
        """At most `limit` more bytes (or little more); call again with b"" until it gives nothing."""

    @property
    def finished(self) -> bool: ...


async def _decode_one(data: bytes, coding: str, limit: int) -> bytes:
    decoder = _decoder(coding, data)
    parts: list[bytes] = []
    size, chunk = 0, data
    try:
        while part := decoder.feed(chunk, _STEP):
            chunk = b""
            size += len(part)
            if size > limit:
                raise DecodedTooLarge("the decoded body passes the limit")
            parts.append(part)
            await asyncio.sleep(0)
    except (zlib.error, brotli.error):
        raise CodingFailure("the body is not in the coding that its header names") from None
    if not decoder.finished:
        raise CodingFailure("the coded body is cut short")
    return b"".join(parts)


def _decoder(coding: str, data: bytes) -> _Decoder:
    match coding:
        case "gzip" | "x-gzip":
            return _Zlib(16 + zlib.MAX_WBITS)
        case "deflate":
            # RFC 9110 8.4.1.2: meant is zlib's format, but servers that send the bare stream are common.
            framed = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
            return _Zlib(zlib.MAX_WBITS if framed else -zlib.MAX_WBITS)
        case "br":
            return _Brotli()
        case _:
            raise CodingFailure("the body's content coding is not known")


class _Zlib:
    def __init__(self, window: int) -> None:
        self._window = window
        self._inner = zlib.decompressobj(window)
        self._rest = b""
        self._members = 1

    def feed(self, data: bytes, limit: int) -> bytes:
        pending = self._rest + data
        part = b""
        while pending and not part:
            if self._inner.eof:
                if self._window < 16 or not pending.startswith(b"\x1f\x8b"):
                    pending = b""  # padding behind the stream
                    break
                self._members += 1
                if self._members > MAX_MEMBERS:
                    raise CodingFailure("the coded body has too many parts")
                self._inner = zlib.decompressobj(self._window)  # RFC 1952: members follow each other
            part = self._inner.decompress(pending, limit)
            pending = self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail
            if not part and not self._inner.eof:
                break
        if not part and not pending and not self._inner.eof:
            part = self._inner.decompress(b"", limit)
        self._rest = pending
        return part

    @property
    def finished(self) -> bool:
        return self._inner.eof


class _Brotli:
    def __init__(self) -> None:
        self._inner = brotli.Decompressor()

    def feed(self, data: bytes, limit: int) -> bytes:
        return bytes(self._inner.process(data, output_buffer_limit=limit))

    @property
    def finished(self) -> bool:
        return bool(self._inner.is_finished())
