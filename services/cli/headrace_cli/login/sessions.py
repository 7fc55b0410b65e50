"""Sessions in the profile file: put there, and taken away, with everything else in it left as it is."""

import json
import os
import re
import tempfile
from pathlib import Path

from headrace.errors import InvalidInput, Problem

from headrace_cli.profile import Place, read_profile

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TABLE = re.compile(r"\s*\[")
_SESSION = re.compile(r"\s*session\s*=")


def check_place(place: Place) -> None:
    """Raises `InvalidInput` when the profile can not hold a session: it is another deployment's."""
    if place.stored is not None and place.stored.get("url", "").rstrip("/") != place.url:
        mend = "choose another name with --profile"
        raise InvalidInput([Problem("profile", f"`{place.name}` is of another deployment", mend)])
    if not _NAME.fullmatch(place.name):
        raise InvalidInput([Problem("profile", "this is no name", "use letters, digits, `_` and `-`")])


def keep_session(place: Place, token: str) -> None:
    """Make the profile hold `token`. The file is its owner's alone. Raises `InvalidInput` when it is not written as one
    can change it."""
    lines = _without_session(place)
    if place.stored is None:
        lines += [f"[{place.name}]", f"url = {json.dumps(place.url)}"]
    heads = [index for index, line in enumerate(lines) if _is_head(line, place.name)]
    if len(heads) != 1:
        mend = f"write [{place.name}] on a line of its own in {place.file}"
        raise InvalidInput([Problem("profile", "the file can not be changed", mend)])
    lines.insert(heads[0] + 1, f"session = {json.dumps(token)}")
    _write(place.file, lines)


def forget_session(place: Place) -> None:
    """Take the session out of the profile."""
    _write(place.file, _without_session(place))


def _without_session(place: Place) -> list[str]:
    text = place.file.read_text(encoding="utf-8") if place.file.is_file() else ""
    kept, inside = [], False
    for line in text.splitlines():
        if _TABLE.match(line):
            inside = _is_head(line, place.name)
        if not (inside and _SESSION.match(line)):
            kept.append(line)
    return kept


def _is_head(line: str, name: str) -> bool:
    return re.fullmatch(rf"""\s*\[\s*["']?{re.escape(name)}["']?\s*\]\s*(#.*)?""", line) is not None


def _write(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Made with 0600 from the start, and put in the file's place whole.
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write("".join(f"{line}\n" for line in lines))
        read_profile(Path(name), None, new=True)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
