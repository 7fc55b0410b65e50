"""What a scenario is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace_cli.bench.scene import Play

# What sizes are called that say how often something is done; the others say how much there is of something.
RUNS = "runs"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure. `about` is a sentence for people; `sizes` are those of a full measurement, and `least` what
    they are never scaled below, where less would tell nothing.

    `settings` go to all services, where the defaults would hold back what is to be measured. `references` says whether
    bare references are measured beside it, in the same run. `own_runners`: the scenario starts its runners itself.
    """

    name: str
    about: str
    play: Play
    sizes: Mapping[str, int]
    least: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    references: bool = False
    control_planes: int = 1
    own_runners: bool = False

    def scaled(self, scale: float, runs: int | None) -> dict[str, int]:
        """The sizes times `scale`, at least 1 or `least` each; and `runs`, where it is given, in place of that size."""
        sizes = {name: max(self.least.get(name, 1), round(size * scale)) for name, size in self.sizes.items()}
        if runs is not None and RUNS in sizes:
            sizes[RUNS] = runs
        return sizes
