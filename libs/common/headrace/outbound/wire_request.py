"""A request as it is written: once, whole, with nothing that was not asked for.

aiohttp's session would add header fields, send again what was lost, follow redirects and keep cookies; each had to be
switched off, and what is switched off still takes a third of a call's time. So its connector and its request are used
without the session: there is nothing here that could send twice.
"""

import asyncio
import io
from collections.abc import Iterable

from aiohttp import ClientRequest, ClientResponse, ClientTimeout, TCPConnector
from aiohttp.connector import Connection
from aiohttp.helpers import TimerNoop
from aiohttp.http import StreamWriter
from multidict import CIMultiDict
from yarl import URL

_LARGE = 1 << 18  # bodies above it are written in pieces, so that the loop gets its turn
_MAX_FIELD = 32 * 1024  # bytes of one header of an answer
_NO_TIMER = TimerNoop()
# What aiohttp must not choose by itself.
_UNCHOSEN: "CIMultiDict[None]" = CIMultiDict(
    (name, None) for name in ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
)


class WireRequest(ClientRequest):
    """`headers` in their order, Host among them; the length of `body` is added, and no more."""

    def __init__(self, method: str, url: URL, headers: Iterable[tuple[str, str]], body: bytes) -> None:
        large = len(body) > _LARGE
        fields = list(headers)
        self._whole = None if large else body
        if body and not large:
            fields.append(("Content-Length", str(len(body))))
        super().__init__(
            method,
            url,
            headers=fields,
            data=io.BytesIO(body) if large else None,
            loop=asyncio.get_running_loop(),
            timer=_NO_TIMER,
        )

    def update_auto_headers(self, skip_auto_headers: Iterable[str] | None) -> None:
        self._skip_auto_headers = _UNCHOSEN

    async def send(self, conn: Connection) -> ClientResponse:
        """Head and body in one write, without a task for it; a large body as aiohttp does it."""
        protocol = conn.protocol
        if self._whole is None or protocol is None:
            return await super().send(conn)
        writer = StreamWriter(protocol, self.loop)
        line = f"{self.method} {self.url.raw_path_qs} HTTP/{self.version.major}.{self.version.minor}"
        await writer.write_headers(line, self.headers)
        await writer.write_eof(self._whole)
        protocol.start_timeout()
        self.response = ClientResponse(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=_NO_TIMER,
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=None,  # type: ignore[arg-type]  # it is asked for a charset alone, which is ours to find
            stream_writer=writer,
        )
        return self.response


async def answered(connector: TCPConnector, request: WireRequest, limits: ClientTimeout) -> ClientResponse:
    """The head of the answer. Raises what aiohttp raises; then the connection is closed."""
    connection = await connector.connect(request, [], limits)
    try:
        protocol = connection.protocol
        if protocol is not None:
            protocol.set_response_params(
                timer=_NO_TIMER,
                skip_payload=request.method == "HEAD",
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=limits.sock_read,
                max_field_size=_MAX_FIELD,
            )
        answer = await request.send(connection)
        try:
            await answer.start(connection)
        except BaseException:
            answer.close()
            raise
    except BaseException:
        connection.close()
        raise
    return answer
