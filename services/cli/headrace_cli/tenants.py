"""`headrace tenants`, and the export of one."""

import json
import os
import sys
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Annotated
from uuid import UUID

import orjson
import typer
from headrace.errors import InvalidInput, Problem
from headrace.logstore.open import open_log_store
from headrace.logstore.port import MAX_PAGE, LogQuery
from headrace.postgres.pool import API, WORKER, open_pool
from headrace_control.tenant_export.service import TenantRows, tenant_rows

from headrace_cli import tenant_directory, tenant_ends
from headrace_cli.admin import DatabaseUrl
from headrace_cli.command import Session, command
from headrace_cli.output import safe

FORMAT = 1
_OWNER_ALONE = 0o600
_STANDARD_OUTPUT = Path("-")


def add_to(app: typer.Typer) -> None:
    tenants = typer.Typer(no_args_is_help=True, help="The tenants of a deployment: make, list, export, end.")
    tenant_directory.add_to(tenants)
    command(tenants, "export", connects=False)(export)
    tenant_ends.add_to(tenants)
    app.add_typer(tenants, name="tenants")


async def export(
    session: Session,
    tenant: Annotated[str, typer.Argument(help="Its name.")],
    into: Annotated[
        Path,
        typer.Argument(help="The archive (.zip) to write, which must not be there; `-` is standard output."),
    ],
    database_url: DatabaseUrl,
    log_store_url: Annotated[
        str | None,
        typer.Option(
            envvar="HEADRACE_LOG_STORE_URL", show_envvar=True, help="Where its log records are; else without."
        ),
    ] = None,
) -> None:
    """Write everything of a tenant but its secrets into an archive, as rows of JSON; its audit says so."""
    if into == _STANDARD_OUTPUT:
        written = await _write(sys.stdout.buffer, tenant, database_url, log_store_url)
        sys.stdout.buffer.flush()
        session.output.errors.print(f"{sum(written.values())} rows of {safe(tenant)}", highlight=False)
        return
    try:
        descriptor = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ALONE)
    except FileExistsError:
        raise InvalidInput([Problem("into", "is there already", "name a file that is not there")]) from None
    whole = False
    try:
        with os.fdopen(descriptor, "wb") as file:
            written = await _write(file, tenant, database_url, log_store_url)
        whole = True
    finally:
        if not whole:  # half an export looks like a whole one
            into.unlink(missing_ok=True)
    session.output.result({"tenant": tenant, "file": str(into), "rows": written})
    session.output.say(f"{sum(written.values())} rows of {safe(tenant)} in {safe(str(into))}")


async def _write(
    file: IO[bytes], tenant: str, database_url: str, log_store_url: str | None
) -> dict[str, int]:
    written: dict[str, int] = {}
    worker, api = (
        await open_pool(database_url, WORKER, max_size=1),
        await open_pool(database_url, API, max_size=1),
    )
    try:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            async with tenant_rows(worker, api, tenant) as rows:
                for table in rows.tables:
                    if table.shown:
                        lines = rows.of(table)
                        written[table.name] = await _lines(archive, f"tables/{table.name}.jsonl", lines)
                if log_store_url and not log_store_url.startswith("postgres"):
                    lines = _logs(log_store_url, rows.tenant_id)
                    written["logs"] = await _lines(archive, "logs.jsonl", lines)
                archive.writestr("manifest.json", _manifest(tenant, rows, written))
    finally:
        await api.close()
        await worker.close()
    return written


async def _lines(archive: zipfile.ZipFile, name: str, lines: AsyncIterator[str]) -> int:
    count = 0
    with archive.open(name, "w", force_zip64=True) as file:
        async for line in lines:
            file.write(line.encode() + b"\n")
            count += 1
    return count


def _manifest(tenant: str, rows: TenantRows, written: dict[str, int]) -> str:
    left_out = {table.name: table.left_out for table in rows.tables if table.left_out}
    return json.dumps(
        {
            "format": FORMAT,
            "tenant": {"id": str(rows.tenant_id), "name": tenant},
            "at": datetime.now(UTC).isoformat(),
            "rows": written,
            "leftOut": left_out,
        },
        indent=2,
    )


async def _logs(url: str, tenant_id: UUID) -> AsyncIterator[str]:
    store = await open_log_store(url, retention=timedelta(days=1))  # nothing is written by it
    try:
        after = None
        while True:
            page = await store.search(LogQuery(tenant_id), MAX_PAGE, after)
            for record in page.records:
                yield orjson.dumps(orjson.loads(record.encode())).decode()
            if (after := page.after) is None:
                break
    finally:
        await store.close()
