"""Where the command finds the deployment it talks to: flags, then environment, then a profile file."""

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from headrace.errors import InvalidInput, Problem

DEFAULT_URL = "http://127.0.0.1:8080"
# Written by `headrace dev` into its data folder, so that commands run beside it need no setting at all.
LOCAL_FILE = Path(".headrace") / "profiles.toml"


@dataclass(frozen=True, slots=True)
class Profile:
    """One deployment, and the key or the session for it, which stays out of `repr`."""

    url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the flags say; None is "not given"."""

    url: str | None = None
    api_key: str | None = None
    profile: str | None = None
    profile_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """A deployment, and where the command keeps what it has for it. `stored` is what the profile `name` has; None when
    `file` has no such profile."""

    url: str
    file: Path
    name: str
    stored: Mapping[str, str] | None = field(repr=False)

    @property
    def kept(self) -> str | None:
        """The session or else the key. A profile's is for the profile's own deployment: another address never gets to
        see it."""
        stored = self.stored or {}
        return (stored.get("session") or stored.get("api_key")) if self.url == _home(stored) else None


def locate(choice: Choice, environment: Mapping[str, str], *, new: bool = False) -> Place:
    """The deployment that is meant. `new`: its profile, and the profile file, need not be there yet. Raises
    `InvalidInput`."""
    file = profile_file(choice, environment, new=new)
    name = choice.profile or environment.get("HEADRACE_PROFILE")
    stored = read_profile(file, name, new=new) if _is_there(file) else None
    url = (choice.url or environment.get("HEADRACE_URL") or _home(stored or {})).rstrip("/")
    if not _is_http(url):
        raise _problem("url", "not an http or https URL", "write it as http://host:port")
    return Place(url, file, name or "default", stored)


def _home(stored: Mapping[str, str]) -> str:
    return (stored.get("url") or DEFAULT_URL).rstrip("/")


def resolve(choice: Choice, environment: Mapping[str, str]) -> Profile:
    """The deployment to talk to. `InvalidInput` when there is no key, or the file can not be trusted."""
    place = locate(choice, environment)
    key = choice.api_key or environment.get("HEADRACE_API_KEY") or place.kept
    if not key:
        raise _problem(
            "apiKey",
            "no API key was given",
            "`headrace login`, set HEADRACE_API_KEY, pass --api-key, or run where `headrace dev` was started",
        )
    if not key.isascii() or not key.isprintable():
        raise _problem(
            "apiKey", "the API key has characters that no key has", "paste it anew, and nothing else"
        )
    return Profile(place.url, key)


def profile_file(choice: Choice, environment: Mapping[str, str], *, new: bool = False) -> Path:
    """The profile file to use; the person's own when there is none. One that was asked for must be there, unless it
    may be `new`."""
    named = environment.get("HEADRACE_PROFILE_FILE")
    asked = choice.profile_file or (Path(named) if named else None)
    if asked:
        if not _is_there(asked) and not new:
            mend = "check --profile-file" if choice.profile_file else "check HEADRACE_PROFILE_FILE"
            raise _problem("profileFile", "there is no such file", mend)
        return asked
    if _is_there(LOCAL_FILE):
        return LOCAL_FILE
    try:
        configuration = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    except RuntimeError:  # a user without a home, as in many containers
        if new:
            raise _problem(
                "profileFile", "there is no home folder to keep it in", "pass --profile-file"
            ) from None
        return LOCAL_FILE
    return configuration / "headrace" / "profiles.toml"


def _is_there(file: Path) -> bool:
    """Whether there is a file, as far as we may see: in a folder that is closed to us lies none of ours."""
    try:
        return file.is_file()
    except OSError:
        return False


def write(file: Path, name: str, profile: Profile) -> None:
    """Make `file` hold one profile, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f'[{name}]\nurl = "{profile.url}"\napi_key = "{profile.api_key}"\n'
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def read_profile(file: Path, name: str | None, *, new: bool = False) -> dict[str, str] | None:
    """What the profile has, None when there is no such one and it was not asked for, or may be `new`."""
    try:
        state, text = file.stat(), file.read_text(encoding="utf-8")
    except OSError as error:
        raise _problem("profileFile", f"can not be read ({error.strerror})", f"look into {file}") from None
    except UnicodeDecodeError:
        raise _problem("profileFile", "the file is not TOML", f"look into {file}") from None
    if state.st_uid != os.getuid() or state.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise _problem(
            "profileFile", "the file may be read by others, or is another user's", f"chmod 600 {file}"
        )
    try:
        profiles = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise _problem("profileFile", "the file is not TOML", f"look into {file}") from None
    profile = profiles.get(name or "default")
    if profile is None and (name is None or new):
        return None
    if not isinstance(profile, dict):
        raise _problem("profile", "no such profile in the file", f"add [{name}] to {file}")
    return {key: value for key, value in profile.items() if isinstance(value, str)}


def _is_http(url: str) -> bool:
    try:
        httpx.URL(url)
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (httpx.InvalidURL, ValueError):
        return False


def _problem(path: str, message: str, mend: str) -> InvalidInput:
    return InvalidInput([Problem(path, message, mend)])
