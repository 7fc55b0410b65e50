"""Named SQL: statements live in `.sql` files, each under a line `-- name: word`."""

import re
from importlib.resources import files

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)[ \t]*$", re.MULTILINE)


class Queries:
    """The statements of one file, each an attribute; a name that is not there raises `AttributeError`."""

    def __init__(self, text: str, origin: str) -> None:
        parts = _NAME.split(text)
        self._origin = origin
        self._statements: dict[str, str] = dict(
            zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True)
        )

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"{self._origin} has no statement named {name}") from None


def load(package: str, filename: str = "queries.sql") -> Queries:
    """Read `filename` beside the modules of `package`."""
    return Queries(files(package).joinpath(filename).read_text(encoding="utf-8"), f"{package}/{filename}")
