"""Measures one scenario from nothing to its report."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from headrace_cli.bench.bare import references
from headrace_cli.bench.deployment import Layout
from headrace_cli.bench.report import Report, Shape
from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import machine, scene
from headrace_cli.bench.servers import ProfileName, servers
from headrace_cli.dev.supervisor import Announce


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured on. `seconds` bounds each wait for runs to end."""

    profile: ProfileName
    bus_url: str | None
    log_store_url: str | None
    layout: Layout
    seconds: float


async def measured(
    scenario: Scenario,
    sizes: Mapping[str, int],
    wish: Wish,
    announce: Announce,
    tell: Callable[[str], None],
) -> Report:
    """The report of one measurement, on servers and services of its own, in a folder that is gone afterwards."""
    begun, found = datetime.now(UTC), machine()
    layout = replace(
        wish.layout,
        control_planes=max(wish.layout.control_planes, scenario.control_planes),
        runners=0 if scenario.own_runners else wish.layout.runners,
        settings={**scenario.settings, **wish.layout.settings},
    )
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as place:
        folder = Path(place)
        async with (
            servers(wish.profile, wish.bus_url, wish.log_store_url, folder) as stores,
            scene(stores, layout, folder, wish.seconds, announce, tell) as stage,
        ):
            await scenario.play(stage, sizes)
            checks = await stage.settled()
            cold = stage.deployment.cold_start
            if scenario.references:
                # After the counts, of which their calls are no part.
                await references.measure(stage, sizes)
    return Report(
        scenario=scenario.name,
        profile=wish.profile.value,
        at=begun.isoformat(timespec="seconds"),
        machine=found,
        shape=Shape(
            control_planes=layout.control_planes,
            runners=layout.runners,
            reporters=layout.reporters,
            settings=layout.settings,
        ),
        sizes=sizes,
        cold_start_seconds={name: round(seconds, 2) for name, seconds in cold.items()},
        phases=tuple(stage.phases),
        references=tuple(stage.references),
        ratios=references.ratios(stage.phases, stage.references),
        checks=tuple(checks),
    )
