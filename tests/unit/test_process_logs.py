"""What a service's process writes on standard error: JSON, a line each, whatever it is that ends it."""

import json
import subprocess
import sys
from typing import Any

_PROCESS = """
import asyncio, gc, logging
from headrace.process import configure_logging, run

async def unasked() -> None:
    raise ValueError("a tenant's secret")

async def main(stopping: asyncio.Event) -> None:
    task = asyncio.create_task(unasked())
    await asyncio.wait({task})
    del task
    gc.collect()
    asyncio.get_running_loop().call_soon(int, "a tenant's secret")
    await asyncio.sleep(0)
    logging.getLogger("library").warning('quoted\\n{"event": "forged"}')
    try:
        await unasked()
    except ValueError:
        logging.getLogger("library").exception("broke")
    ENDS

configure_logging("runner", "INFO")
run(main)
"""


def lines(ends: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", _PROCESS.replace("ENDS", ends)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "a tenant's secret" not in done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_of_libraries_and_the_last_one_are_ours() -> None:
    unhandled, callback, quoted, broke, last = lines('raise ValueError("a tenant\'s secret")')
    assert {line["service"] for line in (unhandled, quoted, broke, last)} == {"runner"}
    assert (unhandled["level"], unhandled["error"]) == ("error", "ValueError")
    assert (callback["error"], callback["what"]) == ("ValueError", "exception in a callback")
    assert unhandled["at"][-1].endswith(" unasked")
    assert (quoted["logger"], quoted["event"]) == ("library", 'quoted\n{"event": "forged"}')
    assert (broke["event"], broke["error"], broke["at"][-1].split()[-1]) == ("broke", "ValueError", "unasked")
    assert (last["event"], last["level"], last["error"]) == ("ended by an error", "critical", "ValueError")
    assert last["at"][-1].endswith(" main")


def test_what_the_system_refuses_is_named() -> None:
    *_, last = lines("import errno; raise OSError(errno.EADDRINUSE, 'to 192.0.2.1')")
    assert (last["error"], last["reason"]) == ("OSError", "Address already in use")
