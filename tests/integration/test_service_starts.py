"""A service that can not start says which setting is at fault, in a line, and ends with the documented status."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from fleet import free_port

MODULES = {"headrace_control", "headrace_runner", "headrace_reporter"}
ALL, STORES = sorted(MODULES), ["headrace_control", "headrace_reporter"]
GUARDED = ["headrace_control", "headrace_runner"]


async def ended(module: str, environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """The status of a service that ends by itself, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env={"PATH": os.environ["PATH"], **environment},
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(40):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("setting", "value", "modules", "status", "words"),
    [
        ("HEADRACE_BUS_URL", "kafka://canary@host/", ALL, 2, "no bus speaks 'kafka'"),
        ("HEADRACE_BUS_URL", "amqp://canary@[host/", ALL, 2, "not a URL that can be read"),
        ("HEADRACE_BUS_URL", "amqp://canary:canary@127.0.0.1:{closed}/", ALL, 4, "RabbitMQ"),
        ("HEADRACE_LOG_STORE_URL", "canary://host", STORES, 2, "of no known kind"),
        ("HEADRACE_DATABASE_URL", "postgresql://canary@127.0.0.1:{closed}/db", STORES, 4, "Postgres can not"),
        ("HEADRACE_DATABASE_URL", "{database}-canary", STORES, 4, "Postgres refuses"),
        ("HEADRACE_KEY_FILE", "{folder}/canary", ["headrace_control"], 2, "can not be read"),
        ("HEADRACE_KEY_FILE", "{folder}/corrupt", ["headrace_control"], 2, "a key of 32 bytes"),
        ("HEADRACE_CONTROL_PLANE_CA_FILE", "{folder}/corrupt", ["headrace_runner"], 2, "files for TLS"),
        (
            "HEADRACE_INTERNAL_TLS_CERTIFICATE_FILE",
            "{folder}/corrupt",
            ["headrace_control"],
            2,
            "files for TLS",
        ),
        ("HEADRACE_EGRESS_POLICY_FILE", "{folder}/canary", GUARDED, 2, "can not be read"),
        ("HEADRACE_EGRESS_POLICY_FILE", "{folder}/corrupt", GUARDED, 2, "not a mapping"),
        ("HEADRACE_EGRESS_POLICY_FILE", "{folder}/place", GUARDED, 2, "allow[0]"),
    ],
)
async def test_a_setting_that_leads_nowhere_is_named(
    database: str,
    tmp_path: Path,
    setting: str,
    value: str,
    modules: list[str],
    status: int,
    words: str,
) -> None:
    (tmp_path / "corrupt").write_text("canary")
    (tmp_path / "place").write_text("allow: ['canary:1:2']")
    (tmp_path / "key").write_text("00" * 32)
    base, _, query = database.partition("?")
    places = {"closed": str(free_port()), "folder": str(tmp_path), "database": base}
    environment = {
        **{f"HEADRACE_{name}_URL": database for name in ("DATABASE", "BUS", "LOG_STORE")},
        "HEADRACE_RUNNER_TOKEN": "a-token-of-some-length",
        "HEADRACE_KEY_FILE": str(tmp_path / "key"),
        "HEADRACE_LISTEN_PORT": str(free_port()),
        "HEADRACE_INTERNAL_PORT": str(free_port()),
        setting: value.format(**places) + (f"?{query}" if "{database}" in value else ""),
    }
    if setting == "HEADRACE_INTERNAL_TLS_CERTIFICATE_FILE":  # the two are set together
        environment["HEADRACE_INTERNAL_TLS_KEY_FILE"] = environment[setting]
    ends = await asyncio.gather(*(ended(module, environment, tmp_path) for module in modules))
    for module, (code, said) in zip(modules, ends, strict=True):
        (line,) = [line for line in said.splitlines() if not line.startswith("{")]
        assert (code, line.split(":")[0]) == (status, f"setting {setting}"), (module, said)
        assert words in line, (module, said)
        assert "canary" not in said, (module, said)
