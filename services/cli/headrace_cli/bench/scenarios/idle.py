"""`idle`: nothing to do, and coming up."""

import asyncio
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from headrace.errors import Unavailable

from headrace_cli.bench.report import Phase
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.dev.deployment import clean_environment, spare_port

_STARTS = ("first start", "start again")  # the first one makes a database, too


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    await scene.idle(sizes["seconds"])
    with tempfile.TemporaryDirectory(prefix="headrace-bench-dev-") as place:
        for name in _STARTS:
            scene.tell(f"  headrace dev, {name} ...")
            took = await _until_ready(Path(place) / "data")
            scene.phases.append(
                Phase(
                    name=f"headrace dev, {name}",
                    unit="start",
                    count=1,
                    seconds=took,
                    per_second=round(1 / took, 1),
                )
            )


async def _until_ready(data: Path) -> float:
    """Seconds from the command `headrace dev` to the moment at which it says that it is ready; it is ended then."""
    clock = asyncio.get_running_loop().time
    began = clock()
    ports = ["--port", str(spare_port()), "--internal-port", str(spare_port())]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "headrace_cli.main", "dev", "--json", "--data", str(data), *ports),
        env=clean_environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        if process.stdout is None or not await process.stdout.readline():
            raise Unavailable("`headrace dev` does not start")
        return round(clock() - began, 3)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


SCENARIO = Scenario(
    "idle",
    "What services take while nothing happens, and how long `headrace dev` takes until it is ready.",
    play,
    {"seconds": 30},
)
