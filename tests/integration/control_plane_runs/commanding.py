"""The `headrace` command against the control plane of a test."""

import asyncio
import json
from typing import Any

from headrace_cli.main import app
from typer.testing import CliRunner

from tests.integration.control_plane_runs.acting import Client


async def headrace(client: Client, *words: str, code: int = 0) -> Any:
    """What the command answers with --json."""
    env = {"HEADRACE_URL": str(client.http.base_url), "HEADRACE_API_KEY": client.key}
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--json"], env=env)
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


async def shown(client: Client, *words: str) -> str:
    """What the command shows to people."""
    env = {"HEADRACE_URL": str(client.http.base_url), "HEADRACE_API_KEY": client.key}
    done = await asyncio.to_thread(CliRunner().invoke, app, [*words], env=env)
    assert done.exit_code == 0, done.output
    return done.stdout
