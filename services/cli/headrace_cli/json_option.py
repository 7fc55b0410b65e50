"""Options that hold JSON, as it stands or in a file."""

import codecs
from pathlib import Path
from typing import Any

import orjson
from headrace.errors import InvalidInput, Problem
from headrace.json_text import read_exact


def read_json(text: str, option: str) -> Any:
    """JSON as it stands, or the content of the file after `@`. Raises `InvalidInput`, which names the option."""
    try:
        return read_exact(_content(Path(text[1:])) if text.startswith("@") else text.encode())
    except OSError as error:
        reason, mend = f"the file can not be read ({type(error).__name__})", "check the name after @"
    except UnicodeEncodeError:
        reason, mend = "not UTF-8", "write JSON, or @FILE"
    except orjson.JSONDecodeError as error:
        reason, mend = f"not JSON (line {error.lineno}, column {error.colno})", "write JSON, or @FILE"
    raise InvalidInput([Problem(option, reason, mend)])


def _content(file: Path) -> bytes:
    """Without the byte order mark that some editors write."""
    return file.read_bytes().removeprefix(codecs.BOM_UTF8)
