"""What the bench makes of its measurements: percentiles, medians, comparisons, sizes."""

import asyncio
import os
import re
import statistics
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from headrace.errors import InvalidInput
from headrace.workflow.document_schema import workflow_schema
from headrace_cli.bench.compare import differences, read
from headrace_cli.bench.medians import median_of
from headrace_cli.bench.meter import DRIVER, Meter
from headrace_cli.bench.page import page, plots, write
from headrace_cli.bench.percentiles import percentile
from headrace_cli.bench.report import Phase
from headrace_cli.bench.scenarios import SCENARIOS, branchy, fan50, fleet, payload
from headrace_cli.bench.suite import suite
from headrace_cli.bench.svg import bars
from headrace_cli.bench.svg_panels import panels
from headrace_cli.bench.work import chain3
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.unit.cli.reports import report


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50), st.sampled_from(range(1, 100)))
def test_percentiles_are_those_of_the_standard_library(sample: list[float], p: int) -> None:
    cuts = statistics.quantiles(sample, n=100, method="inclusive")
    assert percentile(sample, p) == pytest.approx(cuts[p - 1])


def test_the_ends_of_a_sample_are_its_least_and_its_greatest() -> None:
    assert (percentile([3, 1, 2], 0), percentile([3, 1, 2], 100), percentile([7], 95)) == (1, 3, 7)


def test_of_several_reports_each_figure_is_the_median() -> None:
    merged = median_of([report(rate=100), report(rate=300), report(rate=150)])
    assert (merged.repeats, merged.phases[0].per_second, merged.phases[0].count) == (3, 150, 10)


def test_a_count_that_was_wrong_once_is_wrong_in_the_medians() -> None:
    assert median_of([report(), report(found=9), report()]).wrong == ["runs: 9, not 10"]


def test_two_reports_are_compared_figure_by_figure() -> None:
    found = {d.place: d.ratio for d in differences(report(rate=100), report(rate=150))}
    assert found == {
        "burst: runs a second": 1.5,
        "burst: CPU of runner, ms": 1.0,
        "cold start: runner-1, s": 1.0,
    }


def test_different_scenarios_are_not_compared() -> None:
    with pytest.raises(InvalidInput, match="different scenarios"):
        differences(report(), report("slow"))


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"schema": "headrace.bench/2"}'])
def test_what_is_no_report_is_named_with_a_mend(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path / "report.json")
    assert str(tmp_path / "report.json") in caught.value.problems[0].message
    assert caught.value.problems[0].mend


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(report().model_dump_json(by_alias=True))
    assert read(tmp_path / "report.json") == report()


def test_sizes_are_scaled_and_runs_may_be_given() -> None:
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == "chain3")
    assert scenario.scaled(0.01, None) == {"runs": 50, "singles": 3}
    assert scenario.scaled(0.00001, 7) == {"runs": 7, "singles": 1}
    logs = next(scenario for scenario in SCENARIOS if scenario.name == "logs")
    assert logs.scaled(0.01, None) == {"stored": 10_000, "records": 20_000, "searches": 1}


async def test_the_cpu_of_children_counts_while_they_live_and_when_they_have_ended() -> None:
    burn = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    run = f"subprocess.run([sys.executable, '-c', {burn!r}])"
    code = f"import subprocess, sys\n{run}\nprint('done', flush=True)\ninput()"

    async def depths() -> dict[str, int]:
        return {"jobs": 3}

    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as leader:
        meter = Meter({"group": leader.pid}, depths)
        async with meter.watching() as usage:
            assert leader.stdout is not None
            await asyncio.to_thread(leader.stdout.readline)
        leader.communicate(b"\n")
    assert usage.cpu["group"] >= 0.2
    assert usage.cpu[DRIVER] < os.times().user + os.times().system
    assert usage.memory["group"] > 1
    assert usage.depth == {"jobs": 3}


def test_a_works_document_is_one_that_can_be_published() -> None:
    validator = Draft202012Validator(workflow_schema())
    for work in (chain3(), fan50.work(), branchy.work(), payload.megabyte()):
        assert [error.message for error in validator.iter_errors(work.document)] == []
        kinds = [step.get("type", "action") for step in work.document["steps"]]
        assert sum(work.steps.values()) == len(kinds)
        assert work.calls == kinds.count("action")


PAGE = Path(__file__).parents[3] / "docs" / "reference" / "benchmarks.md"


def test_the_docs_page_is_the_generators_but_for_its_figures() -> None:
    def prose(text: str) -> str:
        return re.sub(r"(?s)(?<=<!-- figures -->).*(?=<!-- end of figures -->)", "", text)

    assert prose(PAGE.read_text(encoding="utf-8")) == prose(page([]))


def test_a_page_of_reports_shows_their_figures_and_links_its_plots(tmp_path: Path) -> None:
    written = write([report(rate=123.4), report("slow", rate=55.5)], tmp_path / "benchmarks.md")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "### chain3, embedded" in text
    assert "| burst | 10 runs | 123.4 |" in text
    linked = {tmp_path / link for link in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text)}
    assert linked == set(written) - {tmp_path / "benchmarks.md"}
    assert all(file.is_file() for file in linked)


def test_bars_are_as_long_as_their_values_and_labels_are_text_alone() -> None:
    drawn = ET.fromstring(
        bars("a <title>", [("one & two", {"x": 30.0, "y": 10.0}), ("half", {"x": 20.0})], "ms")
    )
    name = "{http://www.w3.org/2000/svg}"
    widths = [
        float(rect.attrib["width"])
        for rect in drawn.findall(f"{name}rect")
        if rect.find(f"{name}title") is not None
    ]
    assert widths == pytest.approx([widths[1] * 3, widths[1], widths[1] * 2], abs=0.2)
    words = [text.text for text in drawn.findall(f"{name}text")]
    assert words[0] == "a <title>"
    assert {"one & two", "half", "x", "y", "40 ms", "20 ms"} <= set(words)


SERIES = {
    "seconds": (0.0, 1.0, 4.0),
    "runners": (1, 8, 1),
    "draining": (0, 0, 7),
    "load": (3, 40, 0),
    "backlog": (0, 20, 0),
    "oldestSeconds": (0.0, 2.5, 0.0),
}


def test_values_over_time_hold_until_the_next_moment() -> None:
    drawn = ET.fromstring(
        panels("a <title>", SERIES["seconds"], [("runners & more", {"x": SERIES["runners"]})])
    )
    name = "{http://www.w3.org/2000/svg}"
    (path,) = drawn.findall(f"{name}path")
    (begin, *moves) = re.findall(r"[MHV][\d. ]+", path.attrib["d"])
    x, y = (float(each) for each in begin[1:].split())
    across = [x, *(float(each[1:]) for each in moves if each[0] == "H")]
    heights = [y, *(float(each[1:]) for each in moves if each[0] == "V")]
    assert [each[0] for each in moves] == ["H", "V", "H", "V"]
    assert (across[2] - across[0]) / (across[1] - across[0]) == pytest.approx(4, rel=0.01)
    assert heights[0] == heights[2] > heights[1]
    words = [text.text for text in drawn.findall(f"{name}text")]
    assert {"a <title>", "runners & more", "8", "0", "0 s", "4 s"} <= set(words)


def test_a_fleet_over_time_is_drawn_on_the_page(tmp_path: Path) -> None:
    one = report("fleet")
    phase = one.phases[0].model_copy(update={"series": SERIES})
    write([one.model_copy(update={"phases": (phase,)})], tmp_path / "benchmarks.md")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert "![fleet.embedded](benchmarks/fleet.embedded.svg)" in text
    assert "draining" in (tmp_path / "benchmarks" / "fleet.embedded.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(("runs", "seconds"), [(5_000, 100), (7, 3), (1, 1), (30, 1)])
def test_a_wave_is_all_of_its_runs(runs: int, seconds: int) -> None:
    wave = fleet._wave(runs, seconds)
    assert (len(wave), sum(wave)) == (seconds, runs)
    assert min(wave) >= 0
    assert wave[seconds // 2] >= max(wave[0], wave[-1])


def test_what_is_no_run_has_no_bar_among_rates() -> None:
    idle = Phase(name="idle", unit="second", count=20, seconds=20, per_second=1, cpu_ms={"runner": 1.0})
    assert plots([report().model_copy(update={"phases": (idle,)})]) == {}


def test_two_layouts_of_a_scenario_are_told_apart_on_the_page(tmp_path: Path) -> None:
    one = report("chain3")
    two = one.model_copy(update={"shape": one.shape.model_copy(update={"runners": 2})})
    write([one, two], tmp_path / "benchmarks.md")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("### chain3")] == [
        "### chain3, embedded",
        "### chain3, embedded, 2 runners",
    ]
    rates = (tmp_path / "benchmarks" / "rates.svg").read_text(encoding="utf-8")
    assert "chain3 (embedded) by 2 runners: burst" in rates


def test_the_suite_measures_every_scenario_and_chain3_on_both_profiles() -> None:
    names = [item.name for item in suite()]
    assert {f"{scenario.name}.production" for scenario in SCENARIOS} | {
        "chain3.embedded",
        "chain3-2-runners.production",
    } <= set(names)
    assert len(names) == len(set(names))
    full = {item.name: item.scale for item in suite(full=True)}
    assert {name for name, scale in full.items() if scale != 1.0} == {"logs.production"}
    without = {item.name for item in suite(production=False)}
    assert without == {f"{scenario.name}.embedded" for scenario in SCENARIOS}


def test_help_does_not_wait_for_what_measuring_needs() -> None:
    code = (
        "import sys; from headrace_cli.commands import Commands; dict(Commands())\n"
        "print([m for m in sys.modules if m.startswith('headrace_cli.bench.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['headrace_cli.bench.command']"
