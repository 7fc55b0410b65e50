"""A server that answers by the corpus of hostile responses, byte by byte, in a process of its own.

`python -m tests.security.hostile_server` prints its port. A request for `/case/<name>` is answered as that case says,
one for anything else with `{"ok": true}` and its number on the connection, and one for `/answered/<name>` so when that
case's answer has been sent whole. In a process of its own, what it spends is not counted as its client's.
"""

import asyncio
import contextlib
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import brotli  # type: ignore[import-untyped]
import yaml

CORPORA = Path(__file__).parent / "corpora"
RESPONSES = CORPORA / "responses.yaml"
NORMAL = b'HTTP/1.1 200 OK\r\nX-Number: %d\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'
_PIECE = 1 << 20


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[int]:
    """The server as a process of its own; its port."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.security.hostile_server"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield int(await asyncio.to_thread(server.stdout.readline))
    finally:
        server.kill()
        server.stdin.close()
        server.stdout.close()
        server.wait()


def read(path: Path, *, texts: bool = False) -> Any:
    """The file's content; `texts`: every scalar as it is written, since 0x7f and 0177.1 are no numbers to everyone."""
    loader = yaml.BaseLoader if texts else getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(path.read_text("utf-8"), loader)


def load(path: Path) -> list[dict[str, Any]]:
    """The cases of a corpus; a name stands for one case alone."""
    cases: list[dict[str, Any]] = yaml.load(
        path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)
    return cases


def pieces(written: Any) -> Iterator[bytes | Mapping[str, Any]]:
    """What to send, one after another; a mapping is something to do between two sends."""
    match written:
        case None:
            pass
        case str():  # a character is a byte
            yield written.encode("latin-1")
        case list():
            for inner in written:
                yield from pieces(inner)
        case {"repeat": inner, "times": "forever"}:
            data = whole(inner)
            block = data * max(1, 65_536 // len(data))
            while True:
                yield block
        case {"repeat": inner, "times": int(times)}:
            yield whole(inner) * times
        case {"text": str(text), **rest}:
            yield text.encode(rest.get("in", "utf-8"), "surrogatepass")
        case {"coded": str(codings), **rest}:
            yield coded(codings.split(), rest)
        case {"chunked": inner}:
            data = whole(inner)
            yield b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        case {"answer": dict(answer)}:
            body = whole(answer.get("body"))
            head = "".join(f"{line}\r\n" for line in answer.get("headers", ()))
            status = answer.get("status", 200)
            yield f"HTTP/1.1 {status} Reason\r\nContent-Length: {len(body)}\r\n{head}\r\n".encode("latin-1")
            yield body
        case {"pause": _} | {"drip": _} | {"hang": _} | {"reset": _}:
            yield written
        case _:
            raise ValueError(f"not a piece: {written!r}")


def whole(written: Any) -> bytes:
    return b"".join(piece for piece in pieces(written) if isinstance(piece, bytes))


def coded(codings: list[str], rest: Mapping[str, Any]) -> bytes:
    """`of` bytes or the pieces `body`, coded by each coding in turn; `cut` leaves bytes off the end."""
    if rest.get("of", 0) > _PIECE and codings[0] in _WINDOWS:
        data, codings = _zlib_bomb(_WINDOWS[codings[0]], rest["of"]), codings[1:]
    else:
        data = bytes(rest["of"]) if "of" in rest else whole(rest["body"])
    for coding in codings:
        data = _CODERS[coding](data)
    data = data * rest.get("times", 1)
    return data[: -rest["cut"]] if "cut" in rest else data


def _zlib(window: int) -> Callable[[bytes], bytes]:
    def code(data: bytes) -> bytes:
        coder = zlib.compressobj(6, zlib.DEFLATED, window)
        return coder.compress(data) + coder.flush()

    return code


def _zlib_bomb(window: int, size: int) -> bytes:
    """Zeros, compressed once and repeated; without an end, which nobody should come to."""
    coder = zlib.compressobj(9, zlib.DEFLATED, window)
    first, again = (coder.compress(bytes(_PIECE)) + coder.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * (size // _PIECE)


def _brotli(data: bytes) -> bytes:
    coder = brotli.Compressor(quality=3)
    parts = [bytes(coder.process(data[at : at + _PIECE])) for at in range(0, len(data), _PIECE)]
    return b"".join(parts) + bytes(coder.finish())


_WINDOWS = {"gzip": 31, "deflate": 15, "raw-deflate": -15}
_CODERS: Mapping[str, Callable[[bytes], bytes]] = {
    **{name: _zlib(window) for name, window in _WINDOWS.items()},
    "br": _brotli,
}


async def _serve(
    cases: Mapping[str, Any],
    answered: Mapping[str, asyncio.Event],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        for number in count(1):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode("latin-1")
            length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)
            name = path.removeprefix("/case/").partition("?")[0]
            if not path.startswith("/case/"):
                if path.startswith("/answered/"):
                    await answered[path.removeprefix("/answered/")].wait()
                writer.write(NORMAL % number)
                await writer.drain()
                continue
            try:
                await send(cases[name]["send"], reader, writer)
            finally:
                answered[name].set()
            if not cases[name].get("keep"):
                break
    writer.close()


async def send(written: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends `written`, as the corpora have it. Raises `ConnectionError` when the client is gone."""
    for piece in pieces(written):
        match piece:
            case bytes():
                writer.write(piece)
                await writer.drain()
            case {"pause": float(seconds)}:
                await asyncio.sleep(seconds)
            case {"drip": str(text), "every": float(seconds)}:
                while not writer.is_closing():
                    writer.write(text.encode("latin-1"))
                    await writer.drain()
                    await asyncio.sleep(seconds)
            case {"hang": True}:
                await reader.read()  # until the client is gone
            case {"reset": True}:
                option = struct.pack("ii", 1, 0)  # without it, aborting sends the same as closing
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
                writer.transport.abort()
            case _:
                raise ValueError(f"not an action: {piece!r}")


async def main() -> None:
    cases = {case["name"]: case for case in load(RESPONSES)}
    answered = {name: asyncio.Event() for name in cases}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(cases, answered, reader, writer)

    first = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    port = first.sockets[0].getsockname()[1]
    async with first, await asyncio.start_server(serve, "127.0.0.2", port):
        print(port, flush=True)
        # The one who started it holds the other end of this pipe; when that ends, so does this.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
