"""The commands of `headrace`, each imported when it is asked for: the others start without its libraries."""

import functools
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import typer
from headrace.starting import collector_at_rest
from typer.main import get_group

# In the order in which help lists them. A module's `add_to` makes the commands under its name.
MODULES: Mapping[str, str] = MappingProxyType(
    {
        "dev": "dev.command",
        "fleet": "fleet.command",
        "runner": "runner",
        "demo": "demo.command",
        "login": "login.command",
        "logout": "login.command",
        "apply": "apply.command",
        "approvals": "runs.command",
        "dry-run": "dry_runs",
        "logs": "logs",
        "migrate": "admin",
        "bootstrap": "admin",
        "restored": "admin",
        "own-queues": "own_queues",
        "doctor": "doctor",
        "capacity": "capacity.command",
        "workflows": "workflows",
        "templates": "templates.command",
        "tenants": "tenants",
        "pools": "pools",
        "run": "runs.command",
        "schedules": "schedules",
        "rollouts": "rollouts",
        "webhooks": "webhooks",
        "hooks": "hooks",
        "dead-letters": "dead_letters",
        "audit": "audit.command",
        "cached-results": "cached_results",
        "connections": "connections",
        "keys": "keys",
        "policy": "policy",
        "bench": "bench.command",
    }
)


class Commands(Mapping[str, Any]):
    """By name."""

    def __getitem__(self, name: str) -> Any:
        return made_by(MODULES[name])[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


@functools.cache
def made_by(module: str) -> Mapping[str, Any]:
    """The commands that one of the `MODULES` makes."""
    app = typer.Typer()
    with collector_at_rest():
        import_module(f"headrace_cli.{module}").add_to(app)
        return get_group(app).commands
