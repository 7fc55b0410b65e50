"""The folder in which a deployment on one machine keeps its data and its secrets."""

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from headrace.errors import Conflict, InvalidInput, Problem
from headrace.outbound.policy import Opening
from headrace.outbound.policy_file import load_policy
from headrace_control.vault.keys import create_key_file, open_key_file


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
            str(self.path).encode()  # Postgres is told of its place in a URL
        except UnicodeEncodeError:
            message = "the folder's name is not UTF-8"
            raise InvalidInput([Problem("--data", message, "rename it, or pass another --data")]) from None
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
            create_key_file(self.master_key)
            _secret(self._runner_token, secrets.token_urlsafe(32))
            yield

    def check(self) -> None:
        """Raises `Conflict` for a master key, a token or an egress policy that can not be read."""
        with self._readable(self.master_key):
            open_key_file(self.master_key)
        with self._readable(self.egress_policy):
            load_policy(self.egress_policy)
        with self._readable(self._runner_token):
            _ = self.runner_token

    @contextlib.contextmanager
    def _readable(self, file: Path) -> Iterator[None]:
        try:
            yield
        except InvalidInput as error:
            raise Conflict(f"{file}: {error.message}; mend it, or pass another --data") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = type(error).__name__
            raise Conflict(f"{file} can not be read ({reason}); mend it, or pass another --data") from None

    @property
    def runner_token(self) -> str:
        return self._runner_token.read_text(encoding="ascii").strip()

    def allow(self, places: Sequence[str]) -> None:
        """Let calls go to `places` (a network, an address or a host, `:port` or not) beside the public net.

        They take the place of those that the egress policy file holds for all tenants. Without any, the policy
        that is there stays; the first one opens nothing. Raises `InvalidInput`, with nothing written, for a place
        that is none, and `Conflict` for a policy that can not be read.
        """
        problems = [problem for n, place in enumerate(places) for problem in _misread(place, f"allow[{n}]")]
        if problems:
            raise InvalidInput(problems)
        if places or not self.egress_policy.exists():
            policy = {**self._policy(), "allow": list(places)}
            self.egress_policy.write_text(yaml.safe_dump(policy), encoding="utf-8")

    def allowed(self) -> list[str]:
        """The places beside the public net to which every tenant's calls may go."""
        return [str(place) for place in self._policy().get("allow") or ()]

    def _policy(self) -> dict[str, Any]:
        if not self.egress_policy.exists():
            return {}
        with self._readable(self.egress_policy):
            load_policy(self.egress_policy)
            return yaml.safe_load(self.egress_policy.read_text(encoding="utf-8")) or {}
        raise AssertionError("the check raises")


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
