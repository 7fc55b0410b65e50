"""The client of the control plane's internal API."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import aiohttp
import orjson
from headrace.errors import Conflict, InvalidInput, NotFound, Problem, Unauthenticated, Unavailable
from headrace.outbound.connector import Dial
from headrace.outbound.failures import TransportFailure
from headrace.outbound.target import InvalidTarget, Target, parse_target
from headrace.outbound.transport import AiohttpTransport
from headrace.pools import DEFAULT_POOL

from headrace_runner.run_pass import RunPass

CONNECT_SECONDS = 3.0


class ControlPlane:
    """One runner's calls, under a session that is renewed as it goes. Every one raises `Unavailable` when no answer
    came; then it may have been done. Raises `InvalidInput` for a `base_url` that is none."""

    def __init__(
        self,
        base_url: str,
        enrolment_token: str,
        runner_id: UUID,
        transport: AiohttpTransport,
        pool: str = DEFAULT_POOL,
    ) -> None:
        self._runner_id, self._pool = runner_id, pool
        self._enrolment_token = enrolment_token
        self._session, self._renew_at = "", 0.0
        self._offered = ""  # a session that was asked for: the same again, until an answer comes
        self._opening = asyncio.Lock()
        self._on_heartbeat: Callable[[Mapping[str, Any]], None] | None = None
        self._base, self._transport = _base(base_url), transport
        self.deployment: UUID | None = None
        """Whose control plane it is, once there is a session; one of the release before does not say."""

    async def claims(
        self, call: int, capacity: int, jobs: Sequence[Mapping[str, Any]], have: Sequence[str], alone: bool
    ) -> dict[str, Any]:
        return await self._post(
            "/internal/claims", 10.0, call=call, capacity=capacity, jobs=jobs, have=have, alone=alone
        )

    async def checkpoints(
        self, runs: Sequence[Mapping[str, Any]], have: Sequence[str], wait: float
    ) -> dict[str, Any]:
        return await self._post("/internal/checkpoints", wait + 10.0, runs=runs, have=have, wait=wait)

    async def heartbeat(
        self,
        calls_settled: int,
        capacity: int,
        held: Sequence[UUID],
        inbox_seen: Mapping[str, int],
        timeout: float,
    ) -> dict[str, Any]:
        answer = await self._post(
            "/internal/heartbeats",
            timeout,
            calls_settled=calls_settled,
            capacity=capacity,
            held=held,
            inbox_seen=inbox_seen,
        )
        if self._on_heartbeat:
            self._on_heartbeat(answer)
        return answer

    def on_heartbeat(self, listener: Callable[[Mapping[str, Any]], None]) -> None:
        """Call `listener` with the answer of each renewal, which tells more than the lease has to know."""
        self._on_heartbeat = listener

    async def permits(self, run: RunPass, connection_id: str, wanted: int) -> dict[str, Any]:
        """Raises `NotFound` when the claim is closed, or the run does not use such a connection any more."""
        return await self._post(
            "/internal/permits", 5.0, **run.as_json(), connection_id=connection_id, wanted=wanted
        )

    async def approval(
        self,
        run: RunPass,
        step: str,
        digest: str,
        *,
        token: str | None,
        begun: bool,
        unattended: bool,
    ) -> dict[str, Any]:
        """Whether a call that the policy holds may be made; `token` is redeemed then. Raises `NotFound` when the claim
        is closed."""
        return await self._post(
            "/internal/approvals",
            5.0,
            **run.as_json(),
            step=step,
            digest=digest,
            token=token,
            begun=begun,
            unattended=unattended,
        )

    async def cached_result(self, run: RunPass, digest: str) -> dict[str, Any]:
        """The slot of a call with this digest, and what is kept in it. Raises `NotFound` when the claim is closed."""
        return await self._post("/internal/cached-results", 5.0, **run.as_json(), digest=digest)

    async def report(
        self,
        run: RunPass,
        connection_id: str,
        *,
        ok: bool,
        probe: bool,
        successes: int,
        retry_after: float | None,
    ) -> dict[str, Any]:
        """Tell what became of a call. Raises as `permits` does."""
        return await self._post(
            "/internal/reports",
            5.0,
            **run.as_json(),
            connection_id=connection_id,
            ok=ok,
            probe=probe,
            successes=successes,
            retry_after=retry_after,
        )

    async def refused_messages(self, refused: Sequence[Mapping[str, Any]]) -> None:
        """Tell which messages of the bus could not be read: `queue`, `reason` and `times` of each."""
        await self._post("/internal/refused-messages", 5.0, refused=refused)

    async def release(self) -> None:
        await self._post("/internal/releases", 5.0)

    async def token(self, run: RunPass, connection_id: str, seen_version: int) -> dict[str, Any]:
        """Raises `NotFound` when the claim is closed or the connection gone."""
        return await self._post(
            "/internal/tokens",
            60.0,
            **run.as_json(),
            connection_id=connection_id,
            seen_version=seen_version,
        )

    async def take_dry_run(self) -> dict[str, Any] | None:
        """The next dry run that waits for a runner, for this one alone for a while."""
        found: dict[str, Any] | None = (await self._post("/internal/dry-runs", 15.0))["dry_run"]
        return found

    async def report_dry_run(self, dry_run_id: UUID, token: str, report: Mapping[str, Any]) -> None:
        """Raises `NotFound` when it is another runner's by now, or over."""
        await self._post("/internal/dry-run-reports", 15.0, dry_run_id=dry_run_id, token=token, report=report)

    async def close(self) -> None:
        await self._transport.aclose()

    async def _post(self, path: str, timeout: float, **body: Any) -> dict[str, Any]:
        try:
            return await self._ask(path, timeout, await self._open_session(), body)
        except Unauthenticated:
            # Another control plane may never have heard of it, or the database was put back.
            return await self._ask(path, timeout, await self._open_session(anew=True), body)

    async def _open_session(self, *, anew: bool = False) -> str:
        """The session's token. It is replaced at half of its life, under itself; `anew`, under the enrolment token."""
        refused = self._session
        if not anew and time.monotonic() < self._renew_at:
            return self._session
        async with self._opening:
            if self._session != refused or (not anew and time.monotonic() < self._renew_at):
                return self._session  # somebody else has just opened it
            self._offered = self._offered or f"hrs_{secrets.token_urlsafe(32)}"
            asked_at = time.monotonic()
            body = {"runner_id": self._runner_id, "session": self._offered, "pool": self._pool}
            by = self._enrolment_token if anew or not self._session else self._session
            try:
                answer = await self._ask("/internal/sessions", 5.0, by, body)
            except Unauthenticated:
                if by == self._enrolment_token:
                    raise
                answer = await self._ask("/internal/sessions", 5.0, self._enrolment_token, body)
            self._session, self._offered = self._offered, ""
            self._renew_at = asked_at + answer["seconds"] / 2
            if deployment := answer.get("deployment"):
                self.deployment = UUID(deployment)
            return self._session

    async def _ask(self, path: str, timeout: float, bearer: str, body: Mapping[str, Any]) -> dict[str, Any]:
        try:
            status, content = await self._sent(path, timeout, bearer, orjson.dumps(body))
        except TransportFailure as error:
            raise Unavailable(f"the control plane does not answer ({error.reason})") from error
        match status:
            case 200:
                try:
                    answer: dict[str, Any] = orjson.loads(content)
                except orjson.JSONDecodeError:
                    raise Unavailable("what answers is not the control plane") from None
                return answer
            case 401:
                raise Unauthenticated("the control plane refuses this runner")
            case 409:
                raise Conflict("the control plane knows this runner by another session")
            case 404:
                raise NotFound("claim or connection")
            case _:
                raise Unavailable(f"the control plane answered {status}")

    async def _sent(self, path: str, timeout: float, bearer: str, body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer; `timeout` is between two pieces of it. Raises `TransportFailure`."""
        target = replace(self._base, path=self._base.path + path)
        headers = (
            ("Accept-Encoding", "identity"),
            ("Content-Type", "application/json"),
            ("Authorization", f"Bearer {bearer}"),
        )
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=timeout)
        reply = await self._transport.exchange("POST", target, headers, body, Dial(), limits)
        try:
            return reply.status, b"".join([piece async for piece in reply.pieces()])
        finally:
            reply.close()


def _base(url: str) -> Target:
    try:
        target = parse_target(url)
    except InvalidTarget as error:
        mend = "give it as https://host:port"
        raise InvalidInput([Problem("", str(error), mend)]) from None
    return replace(target, path=target.path.rstrip("/"))
