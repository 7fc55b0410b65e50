"""The release before this one, out of the repository's history: its packages, beside ours, in the same environment.

deploy/upgrades/previous-release names its commit, and is moved when a release is made.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import PROJECT, Fleet

NAMED = PROJECT / "deploy" / "upgrades" / "previous-release"
PACKAGES = ("libs/common", "services/control-plane", "services/runner", "services/reporter", "services/cli")
_PREPARE = """
import asyncio, sys
from headrace.postgres.migrate import migrate
from headrace.postgres.pool import open_pool
from headrace_control.tenants.service import bootstrap

async def main():
    await migrate(sys.argv[1], "headrace_control.migrations")
    owner = await open_pool(sys.argv[1])
    print((await bootstrap(owner, "acme")).key.text)
    await owner.close()

asyncio.run(main())
"""


def commit() -> str:
    return NAMED.read_text(encoding="utf-8").strip()


def unpacked(folder: Path) -> str:
    """The PYTHONPATH that leads to it. Skips the test where the history does not reach back so far."""
    git = ["git", "-c", "safe.directory=*", "-C", str(PROJECT)]  # whoever owns the clone
    known = subprocess.run(
        [*git, "cat-file", "-e", f"{commit()}^{{commit}}"], capture_output=True, check=False
    )
    if known.returncode:
        pytest.skip(f"commit {commit()[:12]} is not in this clone: git fetch --unshallow, or clone it whole")
    tree = subprocess.run([*git, "archive", commit(), *PACKAGES], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", str(folder)], input=tree, check=True)
    return os.pathsep.join(str(folder / package) for package in PACKAGES)


class PreviousFleet(Fleet):
    """A deployment whose schema is of the release before; `before` are the settings of its services."""

    before: dict[str, str]

    async def make_schema(self) -> str:
        made = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PREPARE,
            self.backends.database_url,
            env={"PATH": os.environ["PATH"], **self.before},
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
        )
        key, _ = await made.communicate()
        assert made.returncode == 0
        return key.decode().strip()
