"""Reports of the bench, made up."""

from headrace_cli.bench.report import Check, Machine, Phase, Report, Shape


def report(
    scenario: str = "chain3",
    rate: float = 100.0,
    found: int = 10,
    profile: str = "embedded",
    memory: dict[str, float] | None = None,
) -> Report:
    burst = Phase(
        name="burst",
        count=10,
        seconds=10 / rate,
        per_second=rate,
        cpu_ms={"runner": 1.0},
        peak_memory_mb=memory or {},
    )
    return Report(
        scenario=scenario,
        profile=profile,
        at="2026-11-01T00:00:00+00:00",
        machine=Machine(system="Linux", python="3.11", cpus=2, memory_mb=1, load=0.0),
        shape=Shape(control_planes=1, runners=1, reporters=1, settings={}),
        sizes={"runs": 10},
        cold_start_seconds={"runner-1": 1.0},
        phases=(burst,),
        checks=(Check(name="runs", expected=10, found=found),),
    )
