"""A process that tells what it does in lines of JSON."""

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from headrace.errors import Unavailable


class Telling:
    """`python -m` some module. `told` are its lines so far, each an object."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.told: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._ended = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def started(cls, module: Sequence[str], environment: Mapping[str, str]) -> "Telling":
        """The module with its arguments; nothing but `environment` is seen by it."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *module),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        return cls(process)

    async def _read(self) -> None:
        stream = self.process.stdout
        while stream is not None and (line := await stream.readline()):
            self.told.append(orjson.loads(line))
            self._news.set()
        self._ended = True
        self._news.set()

    async def until(self, is_it: Callable[[dict[str, Any]], bool], seconds: float) -> None:
        """Wait for a line that is it, from now on. Raises `Unavailable` when the process has ended, or after
        `seconds`."""
        seen = len(self.told)
        try:
            async with asyncio.timeout(seconds):
                while not any(is_it(line) for line in self.told[seen:]):
                    if self._ended:
                        raise Unavailable("the process that was to tell has ended")
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise Unavailable(f"what was waited for has not been told within {seconds:.0f} s") from None

    async def stop(self) -> None:
        """SIGTERM; all its lines are there when this returns."""
        if self.process.returncode is None:
            self.process.terminate()
        await self.process.wait()
        await self._reading
