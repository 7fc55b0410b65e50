"""`headrace dev` and `headrace demo`: what they start is one, comes back, and leaves nothing behind."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from fleet import free_port

from tests.e2e.sites import HEADRACE, Site, dev, ended, start

# A deployment starts from nothing here, and on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(300)


def test_a_second_dev_on_the_same_folder_is_refused(site: Site) -> None:
    port, internal = str(free_port()), str(free_port())
    done = site("dev", "--port", port, "--internal-port", internal)
    assert done.code == 2
    assert "runs on" in done.err


def test_what_crashes_is_back_and_runs_go_on(applied: Site) -> None:
    (runner,) = (
        child
        for child in psutil.Process(applied.dev.pid).children()
        if "headrace_runner" in " ".join(child.cmdline())
    )
    runner.kill()
    assert start(applied, 1014, "--watch").json["status"] == "SUCCESS"


def test_a_database_that_is_killed_is_back_and_runs_go_on(applied: Site) -> None:
    postgres = applied.folder / ".headrace" / "postgres"
    pid_file = postgres / "postmaster.pid"
    killed = int(pid_file.read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    # Its recovery ends when hundreds of files are on the disk, each for itself: a third of a second, or more than half
    # a minute where others write all the time.
    deadline = time.monotonic() + 180
    while True:
        done = start(applied, 1015, "--watch")
        if done.code == 0:
            break
        assert done.code == 4, done.err  # away, and said so
        assert applied.dev.poll() is None
        assert time.monotonic() < deadline, done.err + (postgres / "log").read_text()[-2000:]
    assert done.json["status"] == "SUCCESS"
    assert int(pid_file.read_text().split()[0]) != killed


def test_dev_leaves_no_process_and_keeps_its_data(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    key = None
    for _ in range(2):
        process = dev(tmp_path, bare)
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        postgres = int((tmp_path / ".headrace" / "postgres" / "postmaster.pid").read_text().split()[0])
        family.append(psutil.Process(postgres))
        assert ended(process) == 0
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
        profile = (tmp_path / ".headrace" / "profiles.toml").read_text()
        assert key in (None, profile.rpartition("api_key")[2])
        key = profile.rpartition("api_key")[2]
    for name in ("master.key", "runner.token", "profiles.toml"):
        assert (tmp_path / ".headrace" / name).stat().st_mode & 0o777 == 0o600


def test_the_demo_does_what_it_says(tmp_path: Path) -> None:
    bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [*HEADRACE, "demo", "--json"], env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert len(outcome["runs"]) == 25
    assert outcome["unmet"] == []
    assert {run["status"] for run in outcome["runs"]} == {"SUCCESS", "FAILED"}
    assert "422" in done.stderr
    assert "headrace logs" in done.stderr
    assert list(tmp_path.glob("headrace-demo-*")) == []
