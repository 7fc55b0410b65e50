"""What `headrace bench all` measures: every scenario, in sizes that together end in a quarter of an hour on two cores
with nothing else to do."""

from dataclasses import dataclass, replace

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scenarios import SCENARIOS
from headrace_cli.bench.servers import ProfileName

_SCALES = {
    "idle": 0.5,
    "chain3": 1.0,
    "fan50": 0.5,
    "slow": 0.6,
    "branchy": 0.5,
    "park": 0.1,
    "start": 0.5,
    "history": 0.1,
    "logs": 0.01,
    "payload": 0.5,
    "tenants": 0.2,
    "fleet": 0.3,
    "stops": 0.1,
    "soak": 0.1,
}
_EMBEDDED = {"chain3": 1.0, "logs": 0.2}
# Measured again with a runner for each of two cores.
_SHARED_OUT = {"chain3": 2}
_FULL_REPEATS = 5
# The MongoDB-protocol server of deploy/local reads a collection whole for each search, a large one not within any
# request's time: a full measurement of it is no larger.
_NEVER_LARGER = frozenset({(ProfileName.PRODUCTION, "logs")})


@dataclass(frozen=True, slots=True)
class Item:
    """One measurement of the suite."""

    scenario: Scenario
    profile: ProfileName
    scale: float
    repeats: int
    runners: int = 1

    @property
    def name(self) -> str:
        many = f"-{self.runners}-runners" if self.runners > 1 else ""
        return f"{self.scenario.name}{many}.{self.profile.value}"


def suite(factor: float = 1.0, *, full: bool = False, production: bool = True) -> list[Item]:
    """The measurements in their order. `full`: every scenario as large as it is declared, but for production's `logs`,
    five times; hours. Without `production`, all on the embedded profile."""
    items = []
    for profile, scales in (
        (ProfileName.PRODUCTION if production else ProfileName.EMBEDDED, _SCALES),
        (ProfileName.EMBEDDED, _EMBEDDED if production else {}),
    ):
        for scenario in SCENARIOS:
            if scenario.name in scales:
                whole = full and (profile, scenario.name) not in _NEVER_LARGER
                scale = 1.0 if whole else scales[scenario.name] * factor
                item = Item(scenario, profile, scale, _FULL_REPEATS if full else 1)
                items.append(item)
                if profile is ProfileName.PRODUCTION and scenario.name in _SHARED_OUT:
                    items.append(replace(item, runners=_SHARED_OUT[scenario.name]))
    return items
