"""What a process spends on one case of a corpus: processor time, and memory above what it had before."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# Seconds of one case. The worst takes 0.55 on a quiet machine; one that is shared has been seen to double that.
MOST_CPU = 1.5
MOST_MEMORY = 50.0  # megabytes
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Meter:
    """Reads what the system knows of the process `pid`; `spent` is the CPU of each case, in seconds."""

    pid: int
    spent: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def one(self, name: str, cases: int = 1) -> Iterator[None]:
        """Fails when what is done within costs more CPU than so many cases may, or more memory than one may.

        Without /proc memory is not looked at.
        """
        before, started = self._memory("VmRSS", forget=True), self._cpu()
        yield
        spent, grown = (self._cpu() - started) / cases, self._memory("VmHWM") - before
        self.spent[name] = spent
        assert spent < MOST_CPU, f"{name}: {spent:.2f} s"
        assert grown < MOST_MEMORY, f"{name}: {grown:.0f} MB"

    def worst(self) -> str:
        name = max(self.spent, key=lambda name: self.spent[name])
        return f"the costliest of {len(self.spent)}: {name[:60]}, {self.spent[name] * 1000:.0f} ms"

    def _cpu(self) -> float:
        if self.pid == os.getpid():
            return time.process_time()
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def _memory(self, what: str, *, forget: bool = False) -> float:
        """Megabytes; `forget` begins the high-water mark anew."""
        with suppress(OSError):
            if forget:
                Path(f"/proc/{self.pid}/clear_refs").write_text("5")
            found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{self.pid}/status").read_text())
            return int(found[1]) / 1024 if found else 0.0
        return 0.0
