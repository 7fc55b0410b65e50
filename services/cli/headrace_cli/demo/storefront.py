"""The storefront that the demo calls: its process, its throwaway credentials, its journal."""

import asyncio
import json
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from headrace.errors import InvalidInput, Problem, Unavailable

from headrace_cli.dev.deployment import clean_environment
from headrace_cli.dev.supervisor import Service, Supervisor

# The names that docs/demo's YAML and the storefront read, each after STOREFRONT_.
_CREDENTIALS = (
    "SHOP_API_KEY",
    "WAREHOUSE_API_KEY",
    "CUSTOMERS_USER",
    "CUSTOMERS_PASSWORD",
    "PAYMENTS_CLIENT_ID",
    "PAYMENTS_CLIENT_SECRET",
    "LEDGER_CLIENT_ID",
    "LEDGER_CLIENT_SECRET",
    "LEDGER_REFRESH_TOKEN",
    "NOTIFY_TOKEN",
    "SENDER_PIN",
)
_FILES = ("orders.json", "apps", "workflows", "storefront/__main__.py")


@dataclass(frozen=True, slots=True)
class Storefront:
    """A storefront that answers. `environment` is what applying the demo's YAML needs."""

    url: str
    environment: Mapping[str, str] = field(repr=False)

    @property
    def place(self) -> str:
        """Its host and port, as an egress policy names it."""
        return self.url.removeprefix("http://")

    async def journal(self) -> dict[str, Any]:
        """Every call that arrived, every refund that was made."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer: dict[str, Any] = (await http.get(f"{self.url}/journal")).raise_for_status().json()
            return answer


def demo_folder(asked: Path | None) -> Path:
    """The folder with the demo's files: the one `asked` for, else docs/demo of the repository that this command
    was installed from. `InvalidInput` when they are not there."""
    folder = asked or Path(__file__).parents[4] / "docs" / "demo"
    if missing := [name for name in _FILES if not (folder / name).exists()]:
        message = f"the demo's files are not there: {', '.join(missing)}"
        raise InvalidInput([Problem("--folder", message, "run it from a clone, or pass --folder docs/demo")])
    return folder


async def started(supervisor: Supervisor, folder: Path) -> Storefront:
    """Start a storefront on a free port, with credentials made up for this once."""
    made = {f"STOREFRONT_{name}": secrets.token_urlsafe(18) for name in _CREDENTIALS}
    arguments = [sys.executable, "-m", "storefront", "--port", "0"]
    kept = await supervisor.start(Service("storefront", arguments, clean_environment() | made, folder))
    await asyncio.wait([kept.first_line, supervisor.gave_up], return_when=asyncio.FIRST_COMPLETED)
    if not kept.first_line.done():
        raise Unavailable("the storefront does not start; see the lines above")
    url = json.loads(kept.first_line.result())["url"]
    return Storefront(url, {**made, "STOREFRONT_URL": url})
