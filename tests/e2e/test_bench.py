"""`headrace bench` from nothing, small: it measures, and counts twice what was done."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from headrace_cli.bench.report import Report

# Services start from nothing here.
pytestmark = pytest.mark.timeout(300)


def bench(scenario: str, folder: Path) -> Report:
    """The report of a small measurement, on the embedded profile."""
    out = folder / "report.json"
    command = [sys.executable, "-m", "headrace_cli.main", "bench", scenario, "--profile", "embedded"]
    command += ["--runs", "30", "--scale", "0.01", "--json", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    report = Report.model_validate_json(done.stdout)
    assert report == Report.model_validate_json(out.read_bytes())
    assert json.loads(done.stdout)["schema"] == "headrace.bench/1"
    return report


def test_chain3_is_measured_and_its_counts_agree(tmp_path: Path) -> None:
    report = bench("chain3", tmp_path)
    burst, singles = report.phases
    assert (burst.count, singles.count) == (30, 3)
    assert burst.latency is not None
    assert burst.latency.count == 30
    assert {"control-plane", "runner", "reporter", "postgres", "target", "total"} <= burst.cpu_ms.keys()
    expected = {check.name: check.expected for check in report.checks}
    assert expected["calls at the target"] == 3 * (50 + 30 + 3)
    assert expected["log records"] > 0
