"""A whole deployment on one machine: Postgres, the control plane, runners and a reporter."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

import httpx
from headrace.errors import Conflict, DatabaseUnavailable, Unavailable
from headrace.postgres.migrate import migrate
from headrace.postgres.migrations import Phase
from headrace.postgres.pool import open_pool
from headrace_control.tenants.service import bootstrap

from headrace_cli import profile
from headrace_cli.dev.folder import DataFolder
from headrace_cli.dev.supervisor import Announce, Gate, Service, Supervisor
from headrace_cli.embedded_postgres import EmbeddedPostgres, placed_postgres
from headrace_cli.profile import Profile

HOST = "127.0.0.1"
MIGRATIONS = "headrace_control.migrations"
START_SECONDS = 60.0
# What a child sees of our environment: where programs and home are, never another deployment's settings.
_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")
_READY_PAUSE = 0.05


@dataclass(frozen=True, slots=True)
class Shape:
    """What to start. Ports are TCP ports on the loopback address; `internal_port` is for runners alone."""

    port: int
    internal_port: int
    runners: int = 1
    tenant: str = "local"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment that is ready. `profile` reaches it as its admin."""

    folder: DataFolder
    supervisor: Supervisor
    profile: Profile = field(repr=False)
    first_start: bool


@dataclass(frozen=True, slots=True)
class Gates:
    """Each is opened when that is ready. Services load their code before, and run after."""

    schema: Gate
    control_plane: Gate


def spare_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def clean_environment() -> dict[str, str]:
    """The part of our environment that child processes get."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | {"PYTHONUNBUFFERED": "1"}


@contextlib.asynccontextmanager
async def deployed(
    folder: DataFolder, shape: Shape, announce: Announce, allow: Sequence[str] = ()
) -> AsyncIterator[Deployment]:
    """Start everything, and end everything when left. `Unavailable` when it does not come up.

    `allow` opens private places to calls, see `DataFolder.allow`. Postgres ends last; nothing is left running.
    """
    with folder.opened():
        # After the folder: started twice in one, another port is no mend.
        for port in (shape.port, shape.internal_port):
            _check_free(port)
        folder.allow(allow)
        folder.check()
        async with contextlib.AsyncExitStack() as stack:
            postgres = stack.enter_context(placed_postgres(folder.postgres))
            gates = Gates(*(stack.enter_context(contextlib.closing(Gate())) for _ in range(2)))
            supervisor = Supervisor(announce, folder.logs)
            stack.push_async_callback(supervisor.stop)
            control_plane, *others = _services(postgres.dsn, folder, shape, gates)
            await supervisor.start(control_plane)
            postgres.start()
            await migrate(postgres.dsn, MIGRATIONS, Phase.CONTRACT)  # nobody works on it yet
            first_start = await _ensure_admin(postgres.dsn, folder, shape)
            gates.schema.open()
            keeping = asyncio.create_task(_keep(postgres, supervisor, announce))
            stack.push_async_callback(_cancelled, keeping)
            for service in others:
                await supervisor.start(service)
            access = _profile(folder)
            await _until_ready(access.url, supervisor)
            gates.control_plane.open()
            yield Deployment(folder, supervisor, access, first_start)


async def _keep(postgres: EmbeddedPostgres, supervisor: Supervisor, announce: Announce) -> None:
    """Have Postgres started again whenever it ends by itself; the services wait meanwhile."""
    try:
        await postgres.keep(lambda line: announce("postgres", line))
    except DatabaseUnavailable as error:
        announce("postgres", error.message)
        supervisor.give_up("postgres")


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _ensure_admin(dsn: str, folder: DataFolder, shape: Shape) -> bool:
    """Make the tenant and its admin's key at the first start, or a further key when the file is lost."""
    url = f"http://{HOST}:{shape.port}"
    if folder.profiles.exists():
        profile.write(folder.profiles, "default", Profile(url, _profile(folder).api_key))
        return False
    owner = await open_pool(dsn)
    try:
        made = await bootstrap(owner, shape.tenant, new_key=True)
    finally:
        await owner.close()
    profile.write(folder.profiles, "default", Profile(url, made.key.text))
    return True


def _profile(folder: DataFolder) -> Profile:
    return profile.resolve(profile.Choice(profile_file=folder.profiles), {})


def _services(dsn: str, folder: DataFolder, shape: Shape, gates: Gates) -> list[Service]:
    """The control plane first: runners need it to be ready, and it ends after the others."""
    shared = {**clean_environment(), "HEADRACE_BUS_URL": dsn, "HEADRACE_LOG_LEVEL": "INFO"}
    stores = {"HEADRACE_DATABASE_URL": dsn, "HEADRACE_LOG_STORE_URL": dsn}
    policy = {
        "HEADRACE_EGRESS_POLICY_FILE": str(folder.egress_policy),
        "HEADRACE_RUNNER_TOKEN": folder.runner_token,
    }
    control_plane = {
        "HEADRACE_LISTEN_HOST": HOST,
        "HEADRACE_LISTEN_PORT": str(shape.port),
        "HEADRACE_INTERNAL_HOST": HOST,
        "HEADRACE_INTERNAL_PORT": str(shape.internal_port),
        "HEADRACE_KEY_FILE": str(folder.master_key),
        "HEADRACE_INTROSPECTION": "true",
    }
    runner = {"HEADRACE_CONTROL_PLANE_URL": f"http://{HOST}:{shape.internal_port}"}

    def service(name: str, module: str, gate: Gate, *settings: Mapping[str, str]) -> Service:
        environment = dict(shared)
        for more in settings:
            environment.update(more)
        arguments = [sys.executable, "-m", "headrace_cli.dev.held", module]
        return Service(name, arguments, environment, gate=gate)

    return [
        service("control-plane", "headrace_control", gates.schema, stores, policy, control_plane),
        service("reporter", "headrace_reporter", gates.schema, stores),
        *(
            service(f"runner-{number}", "headrace_runner", gates.control_plane, policy, runner)
            for number in range(1, shape.runners + 1)
        ),
    ]


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise Conflict(f"port {port} is taken; pass another --port or --internal-port") from None


async def _until_ready(url: str, supervisor: Supervisor) -> None:
    """Wait until the control plane says that it and all that it needs is ready."""
    async with httpx.AsyncClient(trust_env=False) as http:
        try:
            async with asyncio.timeout(START_SECONDS):
                while not supervisor.gave_up.done():
                    with contextlib.suppress(httpx.TransportError):
                        if (await http.get(f"{url}/ready")).status_code == httpx.codes.OK:
                            return
                    await asyncio.wait([supervisor.gave_up], timeout=_READY_PAUSE)
        except TimeoutError:
            raise Unavailable(f"the deployment was not ready within {START_SECONDS:.0f} s") from None
    raise Unavailable(f"{supervisor.gave_up.result()} does not start; see the lines above")
