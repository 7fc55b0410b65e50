"""The services under measurement, as processes, so many of each."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx
import orjson
from headrace.errors import Unavailable
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import open_pool
from headrace_control.tenants.service import bootstrap

from headrace_cli.bench.servers import PARTITIONS, Servers
from headrace_cli.dev.deployment import HOST, MIGRATIONS, clean_environment, spare_port
from headrace_cli.dev.folder import DataFolder
from headrace_cli.dev.supervisor import Announce, Service, Supervisor

_READY_SECONDS, _LOOK_AGAIN_SECONDS = 60.0, 0.02


@dataclass(frozen=True, slots=True)
class Layout:
    """How many of each. `settings` go to every service, beside those that lift what the driver would run into."""

    control_planes: int = 1
    runners: int = 1
    reporters: int = 1
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Ports:
    """Of one control plane."""

    public: int
    internal: int
    operators: int


@dataclass(slots=True)
class Deployment:
    """Services that are ready. `key` is an admin's of the platform; `cold_start` is in seconds, by service. `operators`
    are the addresses of the control planes' operator ports, `reporters` those of the reporters' health ports; a runner
    that a scenario starts itself gets the `runner_environment`."""

    urls: list[str]
    key: str = field(repr=False)
    target: str
    pids: Mapping[str, int]
    cold_start: Mapping[str, float]
    supervisor: Supervisor
    operators: list[str]
    reporters: list[str]
    runner_environment: Mapping[str, str] = field(repr=False)
    logs: Path

    def ended(self) -> list[str]:
        """Services that are not the processes any more that were started."""
        now = self.supervisor.pids()
        return [name for name, pid in self.pids.items() if now.get(name) != pid]


@contextlib.asynccontextmanager
async def deployed(
    servers: Servers, layout: Layout, folder: Path, announce: Announce
) -> AsyncIterator[Deployment]:
    """A migrated database, a target that may be called, and the services; all gone when left. Raises `Unavailable`."""
    data = DataFolder(folder / "data")
    supervisor = Supervisor(announce, folder / "logs")
    with data.opened():
        data.allow([f"{HOST}/32"])
        await migrate(servers.database_url, MIGRATIONS)
        owner = await open_pool(servers.database_url)
        try:
            key = (await bootstrap(owner, "platform")).key.text
        finally:
            await owner.close()
        try:
            target = await _target(supervisor)
            ports = [Ports(spare_port(), spare_port(), spare_port()) for _ in range(layout.control_planes)]
            reporters = [spare_port() for _ in range(layout.reporters)]
            shared = _shared(servers, layout, data)
            cold: dict[str, float] = {}
            # Control planes first: they make the queues, and the others wait for them.
            for services in _services(shared, layout, ports, reporters):
                seconds = await asyncio.gather(*(_start(supervisor, service) for service in services))
                cold |= {service.name: took for service, took in zip(services, seconds, strict=True)}
            yield Deployment(
                [f"http://{HOST}:{each.public}" for each in ports],
                key,
                target,
                supervisor.pids(),
                cold,
                supervisor,
                [f"http://{HOST}:{each.operators}" for each in ports],
                [f"http://{HOST}:{port}" for port in reporters],
                {**shared, "HEADRACE_CONTROL_PLANE_URL": f"http://{HOST}:{ports[0].internal}"},
                folder / "logs",
            )
        finally:
            await supervisor.stop()


async def _target(supervisor: Supervisor) -> str:
    arguments = [sys.executable, "-m", "headrace_cli.bench.target"]
    kept = await supervisor.start(Service("target", arguments, clean_environment()))
    await asyncio.wait([kept.first_line, supervisor.gave_up], return_when=asyncio.FIRST_COMPLETED)
    if not kept.first_line.done():
        raise Unavailable("the target does not start")
    return f"http://{HOST}:{orjson.loads(kept.first_line.result())['port']}"


def _shared(servers: Servers, layout: Layout, data: DataFolder) -> dict[str, str]:
    """The environment of every service."""
    return {
        **clean_environment(),
        "HEADRACE_DATABASE_URL": servers.database_url,
        "HEADRACE_BUS_URL": servers.bus_url,
        "HEADRACE_BUS_NAMESPACE": servers.namespace,
        "HEADRACE_LOG_STORE_URL": servers.log_store_url,
        "HEADRACE_PARTITIONS": str(PARTITIONS),
        "HEADRACE_RUNNER_TOKEN": data.runner_token,
        "HEADRACE_KEY_FILE": str(data.master_key),
        "HEADRACE_EGRESS_POLICY_FILE": str(data.egress_policy),
        # One key and one address make all requests here.
        "HEADRACE_RATE_PER_KEY": "0",
        "HEADRACE_RATE_PER_ADDRESS": "0",
        **layout.settings,
    }


def _services(
    shared: Mapping[str, str], layout: Layout, ports: list[Ports], reporters: list[int]
) -> list[list[Service]]:
    """Those that may start side by side, in the order of their starts."""

    def service(module: str, name: str, **own: str) -> Service:
        return Service(name, [sys.executable, "-m", module], {**shared, **own})

    def control_plane(number: int) -> Service:
        own = {
            "HEADRACE_LISTEN_PORT": str(ports[number].public),
            "HEADRACE_INTERNAL_PORT": str(ports[number].internal),
            "HEADRACE_OPERATOR_PORT": str(ports[number].operators),
        }
        return service("headrace_control", f"control-plane-{number + 1}", **own)

    def runner(number: int) -> Service:
        own = {
            "HEADRACE_CONTROL_PLANE_URL": f"http://{HOST}:{ports[number % len(ports)].internal}",
            "HEADRACE_HEALTH_PORT": str(spare_port()),
        }
        return service("headrace_runner", f"runner-{number + 1}", **own)

    def reporter(number: int) -> Service:
        own = {"HEADRACE_HEALTH_PORT": str(reporters[number])}
        return service("headrace_reporter", f"reporter-{number + 1}", **own)

    return [
        [control_plane(number) for number in range(layout.control_planes)],
        [
            *(reporter(number) for number in range(layout.reporters)),
            *(runner(number) for number in range(layout.runners)),
        ],
    ]


async def _start(supervisor: Supervisor, service: Service) -> float:
    """Start it and wait until it is ready; in seconds, how long that took."""
    clock = asyncio.get_running_loop().time
    began = clock()
    await supervisor.start(service)
    environment = service.environment
    port = environment.get("HEADRACE_HEALTH_PORT") or environment["HEADRACE_LISTEN_PORT"]
    async with httpx.AsyncClient(trust_env=False) as http:
        while clock() - began < _READY_SECONDS and not supervisor.gave_up.done():
            with contextlib.suppress(httpx.TransportError):
                if (await http.get(f"http://{HOST}:{port}/ready")).status_code == httpx.codes.OK:
                    return clock() - began
            await asyncio.wait([supervisor.gave_up], timeout=_LOOK_AGAIN_SECONDS)
    raise Unavailable(f"{service.name} was not ready within {_READY_SECONDS:.0f} s")
