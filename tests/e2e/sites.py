"""The command in processes of its own, and a deployment by `headrace dev` beside the demo's storefront."""

import json
import signal
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import httpx
from fleet import free_port

DEMO = Path(__file__).parents[2] / "docs" / "demo"
HEADRACE = [sys.executable, "-m", "headrace_cli.main"]
CREDENTIALS = [
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
]


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Site:
    """A running deployment and storefront, and the command pointed at them."""

    folder: Path
    storefront: str
    dev: subprocess.Popen[str]
    environment: Mapping[str, str] = field(repr=False)

    def __call__(self, *arguments: str, **environment: str) -> Done:
        done = subprocess.run(
            [*HEADRACE, *arguments],
            env={**self.environment, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def url(self) -> str:
        profiles = tomllib.loads((self.folder / ".headrace" / "profiles.toml").read_text())
        return str(profiles["default"]["url"])

    @property
    def api_key(self) -> str:
        profiles = tomllib.loads((self.folder / ".headrace" / "profiles.toml").read_text())
        return str(profiles["default"]["api_key"])

    def journal(self, **wanted: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = httpx.get(f"{self.storefront}/journal", params=wanted).json()[
            "entries"
        ]
        return entries


def launched(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> tuple[subprocess.Popen[str], TextIO]:
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout
    return process, process.stdout


def ended(process: subprocess.Popen[str]) -> int:
    """Ask the process to end; its exit code."""
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    if process.stdout:
        process.stdout.close()
    return code


def dev(folder: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.Popen[str]:
    """A deployment that is ready, on spare ports, its data in `folder`/.headrace."""
    port, internal = str(free_port()), str(free_port())
    command = [*HEADRACE, "dev", "--json", "--port", port, "--internal-port", internal, *arguments]
    process, output = launched(command, folder, environment)
    assert json.loads(output.readline())["url"].endswith(port)
    return process


def start(site: Site, order: int, *more: str) -> Done:
    given = json.dumps({"orderId": str(order), "reason": "a test"})
    return site("run", "start", "refund-order", "--input", given, "--json", *more)
