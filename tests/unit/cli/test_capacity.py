"""What a load needs: the fit, the arithmetic, and the simulation that checks both."""

import re
from pathlib import Path

import pytest
from headrace_cli.capacity.coefficients import (
    DATABASE_KB,
    SERVICES,
    WAL_KB,
    Coefficients,
    Costs,
    fitted,
    measured,
)
from headrace_cli.capacity.needs import Load, plan
from headrace_cli.capacity.page import page, simulated
from headrace_cli.capacity.points import coefficients
from headrace_cli.capacity.simulate import Site, runs_per_second
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.cli.reports import report

ROOT = Path(__file__).parents[3]
LOADS = [
    {"run": 1.0, "step": 3.0, "call": 3.0, "kilobyte": 0.0},
    {"run": 1.0, "step": 52.0, "call": 50.0, "kilobyte": 0.0},
    {"run": 1.0, "step": 20.0, "call": 5.0, "kilobyte": 0.0},
    {"run": 1.0, "step": 3.0, "call": 3.0, "kilobyte": 192.0},
]
cost = st.floats(0.01, 10)


@given(cost, cost, cost, cost)
def test_costs_are_found_again(run: float, step: float, call: float, kilobyte: float) -> None:
    real = Costs(run=run, step=step, call=call, kilobyte=kilobyte)
    found = fitted([(load, real.of(load)) for load in LOADS])
    for load in LOADS:
        assert found.of(load) == pytest.approx(real.of(load), rel=0.01)


def test_no_cost_is_below_zero() -> None:
    assert fitted([(LOADS[0], 10.0), (LOADS[1], 8.0)]).step >= 0


@pytest.mark.parametrize(
    ("cpu", "cores", "processes", "expected"),
    [
        ({"runner": 10.0}, 2, {}, 100),  # one process has one core, however many there are
        ({"runner": 10.0}, 2, {"runner": 2}, 200),
        ({"runner": 10.0}, 1, {"runner": 2}, 100),
        ({"runner": 10.0, "postgres": 10.0}, 2, {}, 90),  # side by side, but for what waits for the other
        ({"runner": 10.0, "postgres": 10.0}, 1, {}, 50),
        ({"runner": 2.0, "postgres": 20.0}, 4, {}, 182),  # Postgres takes as many cores as there are
    ],
)
def test_what_is_scarce_sets_the_rate(
    cpu: dict[str, float], cores: int, processes: dict[str, int], expected: float
) -> None:
    rate = runs_per_second(cpu, calls=3, delay_ms=0, site=Site(cores, processes), runs=1_500)
    assert rate == pytest.approx(expected, rel=0.12)


def test_a_slow_target_takes_places_and_no_cores() -> None:
    cpu = {"runner": 1.0}
    assert runs_per_second(cpu, 3, 50, Site(2, {}, in_flight=200)) > 700
    # Ten places, each for 150 ms.
    assert runs_per_second(cpu, 3, 50, Site(2, {}, in_flight=10)) == pytest.approx(66, rel=0.08)


def test_a_load_of_twice_as_many_runs_needs_twice_as_much() -> None:
    costs = measured()
    once, twice = plan(Load(1e8), costs), plan(Load(2e8), costs)
    assert twice.cores == pytest.approx(2 * once.cores)
    assert twice.wal_mb_per_second == pytest.approx(2 * once.wal_mb_per_second)
    assert twice.database_gb == pytest.approx(2 * once.database_gb)
    assert all(b.processes >= a.processes for a, b in zip(once.needs, twice.needs, strict=True))


def test_runs_that_wait_for_days_are_parked_and_not_in_flight() -> None:
    costs = measured()
    plain, waiting = plan(Load(1e6), costs), plan(Load(1e6, waits=1, wait_days=10), costs)
    assert waiting.parked == 1e7
    assert waiting.in_flight == plain.in_flight


def test_what_was_measured_here_has_all_services_and_the_model_is_not_far_from_it() -> None:
    costs = measured()
    assert {*SERVICES, DATABASE_KB, WAL_KB} <= set(costs.by)
    kept_out = [point for point in costs.points if point.checks and point.per_second]
    assert kept_out
    for point in kept_out:
        assert 0.5 < simulated(point, costs) / point.per_second < 2, point.name


def test_the_page_holds_the_coefficients_the_checks_and_examples() -> None:
    costs: Coefficients = measured()
    written = page(costs)
    assert written == (ROOT / "docs/reference/capacity.md").read_text(encoding="utf-8")
    assert "{" not in written
    assert "1 billion runs a day" in written
    assert re.search(r"below 16 KB the model is at most \d+% off", written)
    assert re.search(r"promises \d\.\d+ to \d\.\d+ times what was measured", written)
    for point in costs.points:
        assert point.name in written or not point.per_second


def test_the_memory_of_a_whole_fleet_is_not_one_process() -> None:
    memory = {"runner-1": 100.0, "postgres": 50.0}
    fitting = [report(name, profile="production", memory=memory) for name in ("chain3", "fan50", "branchy")]
    memory = {"runner": 800.0, "runner-2": 110.0, "postgres": 60.0}
    found = coefficients([*fitting, report("fleet", profile="production", memory=memory)])
    assert found.memory_mb == {"runner": 110, "postgres": 60}
