"""All services as real processes, in either profile; started, killed and watched from outside."""

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import asyncpg
import httpx
import warm_start
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import open_pool
from headrace_control.tenants.service import bootstrap
from warm_start import Process

PROJECT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Backends:
    """Where the three ports lead. `namespace` keeps a test's queues apart on a shared broker."""

    profile: str
    database_url: str
    bus_url: str
    log_store_url: str
    namespace: str = ""


@dataclass
class Service:
    """One process. `log` is its standard error."""

    name: str
    process: Process
    health: str
    log: Path

    async def kill(self) -> None:
        """SIGKILL: no word of farewell."""
        self.process.kill()
        await self.process.wait()

    async def stop(self, seconds: float = 30) -> int:
        """SIGTERM, and the exit status."""
        self.process.terminate()
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    def stall(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@dataclass
class Fleet:
    """A deployment of its own. `settings` are added to every service's environment. `warm`: see warm_start."""

    backends: Backends
    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    warm: bool = field(default_factory=warm_start.possible)
    services: list[Service] = field(default_factory=list)
    api_key: str = ""

    async def __aenter__(self) -> Self:
        self.http_port, self.internal_port, self.operator_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        self.operators = f"http://127.0.0.1:{self.operator_port}"
        key_file = self.folder / "key"
        key_file.write_text(b64encode(secrets.token_bytes(32)).decode())
        key_file.chmod(0o600)
        policy = self.folder / "egress.yaml"
        policy.write_text("allow: ['127.0.0.0/8', '::1/128']\n")
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "HEADRACE_DATABASE_URL": self.backends.database_url,
            "HEADRACE_BUS_URL": self.backends.bus_url,
            "HEADRACE_BUS_NAMESPACE": self.backends.namespace,
            "HEADRACE_LOG_STORE_URL": self.backends.log_store_url,
            "HEADRACE_LISTEN_PORT": str(self.http_port),
            "HEADRACE_INTERNAL_PORT": str(self.internal_port),
            "HEADRACE_OPERATOR_PORT": str(self.operator_port),
            "HEADRACE_CONTROL_PLANE_URL": f"http://127.0.0.1:{self.internal_port}",
            "HEADRACE_RUNNER_TOKEN": secrets.token_urlsafe(24),
            "HEADRACE_KEY_FILE": str(key_file),
            "HEADRACE_EGRESS_POLICY_FILE": str(policy),
            **self.settings,
        }
        self.api_key = await self.make_schema()
        self.http = httpx.AsyncClient(base_url=self.url, timeout=30, trust_env=False)
        return self

    async def make_schema(self) -> str:
        """The schema, a platform tenant, and the key of its admin."""
        await migrate(self.backends.database_url, "headrace_control.migrations")
        owner = await open_pool(self.backends.database_url)
        try:
            return (await bootstrap(owner, "acme")).key.text
        finally:
            await owner.close()

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        for service in reversed(self.services):
            if service.process.returncode is None:
                service.go_on()
                service.process.terminate()
        for service in self.services:
            try:
                async with asyncio.timeout(20):
                    await service.process.wait()
            except TimeoutError:
                service.process.kill()
                await service.process.wait()

    def move(self, backends: Backends) -> None:
        """Services that are started from now on keep things there; keys and tokens are the same."""
        self.backends = backends
        self._environment |= {
            "HEADRACE_DATABASE_URL": backends.database_url,
            "HEADRACE_BUS_URL": backends.bus_url,
            "HEADRACE_BUS_NAMESPACE": backends.namespace,
            "HEADRACE_LOG_STORE_URL": backends.log_store_url,
        }

    @property
    def environment(self) -> Mapping[str, str]:
        """What a control plane is started with."""
        return self._environment

    async def start_all(self, runners: int = 1, reporters: int = 1) -> None:
        await self.control_plane()
        await asyncio.gather(
            *(self.runner() for _ in range(runners)), *(self.reporter() for _ in range(reporters))
        )

    async def control_plane(self, **settings: str) -> Service:
        return await self._start("headrace_control", self.http_port, settings)

    async def another_control_plane(self) -> str:
        """A replica beside the first; the address of its internal API, for a runner's settings."""
        port, internal = free_port(), free_port()
        own = {
            "HEADRACE_LISTEN_PORT": str(port),
            "HEADRACE_INTERNAL_PORT": str(internal),
            "HEADRACE_OPERATOR_PORT": str(free_port()),
        }
        await self._start("headrace_control", port, own)
        return f"http://127.0.0.1:{internal}"

    async def runner(self, **settings: str) -> Service:
        return await self._start("headrace_runner", free_port(), settings)

    async def runner_once(
        self, wait_seconds: float = 20, *, by: Sequence[str] = ("headrace_runner",), **settings: str
    ) -> Service:
        """A runner that takes one job and ends; it may have ended already. `by` is the module that starts it, and what
        that one is told before `--once`."""
        log = self.folder / f"headrace_runner.once.{len(self.services)}.log"
        with log.open("wb") as out:
            process: Process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", *by, "--once", "--wait", str(wait_seconds)),
                env={**self._environment, **settings},
                stdout=out,
                stderr=out,
                cwd=self.folder,
            )
        self.services.append(Service("headrace_runner", process, "", log))
        return self.services[-1]

    async def reporter(self, **settings: str) -> Service:
        return await self._start("headrace_reporter", free_port(), settings)

    async def _start(
        self, module: str, health_port: int, settings: Mapping[str, str] | None = None
    ) -> Service:
        log = self.folder / f"{module}.{len(self.services)}.log"
        environment = {**self._environment, "HEADRACE_HEALTH_PORT": str(health_port), **(settings or {})}
        process: Process
        if self.warm:
            process = await warm_start.started(module, environment, self.folder, log)
        else:
            with log.open("wb") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", module, env=environment, stdout=out, stderr=out, cwd=self.folder
                )
        service = Service(module, process, f"http://127.0.0.1:{health_port}", log)
        self.services.append(service)
        await self._ready(service)
        return service

    async def _ready(self, service: Service) -> None:
        async with asyncio.timeout(40):
            while True:
                if service.process.returncode is not None:
                    raise AssertionError(f"{service.name} ended: {service.log.read_text()[-3000:]}")
                try:
                    if (await self.http.get(f"{service.health}/ready")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await asyncio.sleep(0.05)  # a process's readiness is asked for; nothing tells it

    # -- what users do ---------------------------------------------------------------------------------

    async def graphql(self, query: str, key: str | None = None, **variables: Any) -> Any:
        """The data of an answer; errors fail the test."""
        response = await self.http.post(
            "/graphql",
            json={"query": query, "variables": variables},
            headers={"authorization": f"Bearer {key or self.api_key}"},
        )
        body = response.json()
        assert not body.get("errors"), body
        return body["data"]

    def process_logs(self) -> str:
        return "\n".join(service.log.read_text(errors="replace") for service in self.services)

    def last_words(self, characters: int = 1500) -> str:
        """How each service is, and the end of what it wrote."""
        return "\n".join(
            f"== {s.log.name}: {'running' if s.process.returncode is None else s.process.returncode}\n"
            + s.log.read_text(errors="replace")[-characters:]
            for s in self.services[-12:]
        )


async def heartbeat_heard(dsn: str, seconds: float = 30) -> None:
    """Wait until the one runner has the answer to a heartbeat that was sent from now on."""
    db = await asyncpg.connect(dsn)
    try:
        async with asyncio.timeout(seconds):
            # One may be under way now, and what the second is answered is known once the third is sent.
            for _ in range(3):
                before = await _leases(db)
                while await _leases(db) == before:
                    await asyncio.sleep(0.05)  # nothing tells of a lease
    finally:
        await db.close()


async def _leases(db: asyncpg.Connection) -> list[Any]:
    return list(await db.fetch("SELECT id, lease_until FROM runners"))


def free_port() -> int:
    """A port that nobody has, below those that connections going out are given (ip(7), ip_local_port_range).

    Each process goes through them in turn: whoever was given one binds it only later, and two must not get the same.
    """
    while True:
        port = 12_000 + next(_ports) % 20_000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


_ports = itertools.count(secrets.randbelow(20_000))
