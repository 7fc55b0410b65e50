"""A service is killed at one point of what it does for a run, and replaced."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.fault import Fault
from tests.faults.ledger import Wanted
from tests.faults.scene import Scene

ONCE = {"one": 1, "two": 1, "three": 1}


@dataclass(frozen=True)
class Point:
    """Where the service dies, and how often the steps of the run at hand are called in all."""

    name: str
    fault: Fault
    calls: Mapping[str, int] = field(default_factory=lambda: ONCE)

    def __str__(self) -> str:
        return f"{self.fault.service} killed {self.name}"


async def killed(scene: Scene, point: Point) -> None:
    """One run is under way when it happens; two that begin afterwards know nothing of it."""
    async with scene.scenario(str(point)) as scenario:
        scenario.arm(point.fault)
        scenario.begin(wanted=Wanted(calls=point.calls))
        await scenario.struck(point.fault)
        scenario.begin(count=2, wanted=Wanted(calls=ONCE))
        await scene.begin(point.fault.service)
        await scenario.settle()
