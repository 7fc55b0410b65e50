"""The folder in which a deployment on one machine keeps its data and its secrets."""

import base64
import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from headrace.errors import Conflict, InvalidInput, Problem
from headrace.outbound.policy import Opening


class DataFolder:
    """Makes at the first start what is missing: the folder, the master key, the runners' token.

    Files with a secret are readable by their owner alone. Losing `master.key` makes every stored credential
    unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.master_key = self.path / "master.key"
        self.profiles = self.path / "profiles.toml"
        self.egress_policy = self.path / "egress.yaml"
        self.postgres = self.path / "postgres"
        self.logs = self.path / "logs"
        self._runner_token = self.path / "runner.token"

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder and hold it. `Conflict` when another process does, `InvalidInput` when it is no folder
        that this user may write."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = (self.path / "lock").open("w")
        except OSError as error:
            message = f"{self.path} is no folder that can be written ({error.strerror})"
            raise InvalidInput([Problem("--data", message, "pass another --data")]) from None
        with held as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"Headrace runs on {self.path} already; stop it, or pass another --data"
                ) from None
            if self.postgres.exists() and not self.master_key.exists():
                raise Conflict(
                    f"{self.master_key} is gone, and without it no stored credential opens; "
                    "put it back, or pass another --data"
                )
            _secret(self.master_key, base64.b64encode(secrets.token_bytes(32)).decode())
            _secret(self._runner_token, secrets.token_urlsafe(32))
            yield

    @property
    def runner_token(self) -> str:
        return self._runner_token.read_text(encoding="ascii").strip()

    def allow(self, places: Sequence[str]) -> None:
        """Let calls go to `places` (a network, an address or a host, `:port` or not) beside the public net.

        Without any, the policy that is there stays; the first one opens nothing. Raises `InvalidInput`, with
        nothing written, for a place that is none.
        """
        problems = [problem for n, place in enumerate(places) for problem in _misread(place, f"allow[{n}]")]
        if problems:
            raise InvalidInput(problems)
        if places or not self.egress_policy.exists():
            self.egress_policy.write_text(yaml.safe_dump({"allow": list(places)}), encoding="utf-8")


def _misread(place: str, path: str) -> list[Problem]:
    try:
        Opening.parse(place)
    except ValueError:
        mend = "write 127.0.0.1:9000, 10.1.0.0/16 or a host's name"
        return [Problem(path, "not a network, an address or a host name", mend)]
    return []


def _secret(file: Path, value: str) -> None:
    """Write `value` to a new file; leave one that is there alone."""
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(value + "\n")
