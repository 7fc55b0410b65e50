"""What services write, as a person wants to read it: warnings with the service's name before them."""

import orjson

from headrace_cli.output import Output, safe

_WORTH_TELLING = frozenset({"warning", "error", "critical"})
_STYLE = {"error": "red", "critical": "red", "warning": "yellow"}
_TOLD_OTHERWISE = frozenset({"event", "level", "timestamp", "service", "exception"})


class ServiceLog:
    """Prints lines of services; with `everything` also those that are only information."""

    def __init__(self, output: Output, everything: bool = False) -> None:
        self._output = output
        self._everything = everything

    def __call__(self, service: str, line: str) -> None:
        level, text = _read(line)
        if self._everything or level in _WORTH_TELLING:
            style = _STYLE.get(level, "default")
            self._output.errors.print(
                f"[dim]{safe(service):>13}[/] [{style}]{safe(text)}[/]", highlight=False, soft_wrap=True
            )


def is_worth_telling(line: str) -> bool:
    """Whether a service's line is more than information."""
    return _read(line)[0] in _WORTH_TELLING


def _read(line: str) -> tuple[str, str]:
    """A line's level and text. What is not one of our structured lines was unexpected: a warning."""
    try:
        record = orjson.loads(line)
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict) or "event" not in record:
        return "warning", line
    details = " ".join(f"{key}={value}" for key, value in record.items() if key not in _TOLD_OTHERWISE)
    return str(record.get("level", "info")), f"{record['event']} {details}".rstrip()
