"""Writes contracts/ anew from the code: `python -m headrace_cli.contracts`, and with --check compares.

The messages and asyncapi.yaml are written by hand; tests/contract holds the code to them.
"""

import argparse
import difflib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from headrace.refusals.audit import Refusals
from headrace.workflow.document_schema import workflow_schema
from headrace_control.graphql.schema import schema_sdl
from headrace_control.internal_api.app import DryRuns, create_internal_app
from headrace_control.internal_api.calls import Calls
from headrace_control.internal_api.checkpoints import Checkpoints
from headrace_control.internal_api.claims import Claims
from headrace_control.internal_api.leases import Leases
from headrace_control.internal_api.results import CachedResults
from headrace_control.internal_api.sessions import RunnerSessions
from headrace_control.throttle.service import Throttles

from headrace_cli.bench.report import Report

FOLDER = Path(__file__).parents[3] / "contracts"
# Lines of a difference that are enough to see what it is about.
_SHOWN = 40


def generated() -> Mapping[str, str]:
    """The content of each generated file, by its name in contracts/."""
    return {
        "schema.graphql": schema_sdl(),
        "workflow.v1.schema.json": _json(workflow_schema()),
        "internal.openapi.json": _json(_internal_api()),
        "bench.v1.schema.json": _json(Report.model_json_schema()),
    }


def _internal_api() -> Any:
    # Describing the application calls none of its routes, so it needs nothing behind them.
    app = create_internal_app(
        cast(Claims, None),
        cast(Checkpoints, None),
        cast(Leases, None),
        cast(Throttles, None),
        cast(RunnerSessions, None),
        cast(Calls, None),
        cast(Refusals, None),
        cast(DryRuns, None),
        cast(CachedResults, None),
        UUID(int=0),
    )
    return app.openapi()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> list[str]:
    """Write what differs; the names of the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = {name: text for name, text in generated().items() if _read(folder / name) != text}
    for name, text in changed.items():
        (folder / name).write_text(text, encoding="utf-8")
    return list(changed)


def differences(folder: Path) -> dict[str, list[str]]:
    """The files that are not as the code makes them, each with its difference."""
    found = {}
    for name, text in generated().items():
        there = _read(folder / name)
        if there != text:
            lines = difflib.unified_diff(
                there.splitlines(), text.splitlines(), f"contracts/{name}", "from the code", lineterm=""
            )
            found[name] = list(lines)
    return found


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="change nothing; exit 1 at a difference")
    arguments.add_argument("--folder", type=Path, default=FOLDER)
    given = arguments.parse_args()
    if not given.check:
        for name in write(given.folder):
            sys.stdout.write(f"wrote contracts/{name}\n")
        return
    stale = differences(given.folder)
    for name, lines in stale.items():
        sys.stderr.write(f"contracts/{name} is not what the code makes; run `make contracts`\n")
        sys.stderr.write("\n".join(lines[:_SHOWN]) + "\n")
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
