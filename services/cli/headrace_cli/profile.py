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
    """One deployment and the key for it. The key stays out of `repr`."""

    url: str
    api_key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the flags say; None is "not given"."""

    url: str | None = None
    api_key: str | None = None
    profile: str | None = None
    profile_file: Path | None = None


def resolve(choice: Choice, environment: Mapping[str, str]) -> Profile:
    """The deployment to talk to. `InvalidInput` when there is no key, or the file can not be trusted."""
    file = profile_file(choice, environment)
    stored = _read(file, choice.profile or environment.get("HEADRACE_PROFILE")) if file else {}
    home = (stored.get("url") or DEFAULT_URL).rstrip("/")
    url = (choice.url or environment.get("HEADRACE_URL") or home).rstrip("/")
    # A profile's key is for the profile's own deployment: another address never gets to see it.
    kept = stored.get("api_key") if url == home else None
    key = choice.api_key or environment.get("HEADRACE_API_KEY") or kept
    if not key:
        raise _problem(
            "apiKey",
            "no API key was given",
            "set HEADRACE_API_KEY, pass --api-key, or run where `headrace dev` was started",
        )
    if not key.isascii() or not key.isprintable():
        raise _problem(
            "apiKey", "the API key has characters that no key has", "paste it anew, and nothing else"
        )
    if not _is_http(url):
        raise _problem("url", "not an http or https URL", "write it as http://host:port")
    return Profile(url, key)


def profile_file(choice: Choice, environment: Mapping[str, str]) -> Path | None:
    """The profile file to read, None when there is none. One that was asked for must be there."""
    asked = choice.profile_file or (
        Path(environment["HEADRACE_PROFILE_FILE"]) if "HEADRACE_PROFILE_FILE" in environment else None
    )
    if asked:
        if not asked.is_file():
            raise _problem("profileFile", "there is no such file", "check --profile-file")
        return asked
    configuration = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    for file in (LOCAL_FILE, configuration / "headrace" / "profiles.toml"):
        if file.is_file():
            return file
    return None


def write(file: Path, name: str, profile: Profile) -> None:
    """Make `file` hold one profile, readable by its owner alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f'[{name}]\nurl = "{profile.url}"\napi_key = "{profile.api_key}"\n'
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)


def _read(file: Path, name: str | None) -> dict[str, str]:
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
    if profile is None and name is None:
        return {}
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
