"""What every service's process does alike: settings that name themselves, structured logs, one event loop, an
orderly end on a signal."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, TypeVar

import structlog
import uvloop
from pydantic import ValidationError

from headrace.errors import ForeignQueues, InvalidInput, Unavailable
from headrace.unforeseen import described

_log = structlog.get_logger(__name__)

S = TypeVar("S")

# How a service ends that can not start: a setting is wrong, and stays so; or what it leads to is away now.
WRONG_SETTING, AWAY = 2, 4


class CanNotStart(Exception):
    """What a setting leads to can not be used. `status` is the process's exit status."""

    def __init__(self, status: int, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.status, self.lines = status, lines


@contextlib.contextmanager
def opening(setting: str) -> Iterator[None]:
    """What the `setting` leads to is opened inside; when it can not be used, `CanNotStart` names the setting."""
    name = f"setting HEADRACE_{setting.upper()}"
    try:
        yield
    except InvalidInput as error:
        lines = [
            f"{name}: " + (f"{p.path}: " if p.path not in ("", setting) else "") + f"{p.message}; {p.mend}"
            for p in error.problems
        ]
        raise CanNotStart(WRONG_SETTING, lines) from error
    except ForeignQueues as error:  # the bus is there; its URL may be right
        raise CanNotStart(WRONG_SETTING, [f"setting HEADRACE_BUS_NAMESPACE: {error.message}"]) from error
    except Unavailable as error:
        raise CanNotStart(AWAY, [f"{name}: {error.message}"]) from error


def read_settings(make: Callable[[], S]) -> S:
    """The service's settings. A wrong one ends the process with its name and reason, without its value."""
    try:
        return make()
    except ValidationError as error:
        for problem in error.errors(include_input=False, include_url=False, include_context=False):
            prefix = getattr(make, "model_config", {}).get("env_prefix", "HEADRACE_")
            name = prefix + "_".join(str(part) for part in problem["loc"]).upper()
            print(f"setting {name}: {problem['msg']}", file=sys.stderr)  # noqa: T201
        raise SystemExit(WRONG_SETTING) from None


def configure_logging(service: str, level: str) -> None:
    """JSON lines on standard error, those of libraries too. Libraries that log addresses or data are kept
    quiet."""
    theirs = logging.StreamHandler(sys.stderr)
    theirs.setFormatter(_Lines(service))
    logging.basicConfig(level=logging.WARNING, handlers=[theirs])
    for noisy in (
        "httpx",
        "httpcore",
        "aio_pika",
        "asyncio",
        "uvicorn.access",
        "uvicorn.error",
        "strawberry",
    ):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    # An outage is told once, by those who wait for its end; these tell it for each try, with its whole stack.
    for noisy in ("aiormq", "asyncpg", "opentelemetry", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(service=service)


class _Lines(logging.Formatter):
    """A library's line as one of ours: whatever it quotes, it begins no further line."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "event": record.getMessage(),
            "logger": record.name,
            "service": self._service,
            "level": record.levelname.lower(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line |= described(record.exc_info[1])
        return json.dumps(line)


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, collect_after: int = 10_000) -> None:
    """Run `main(stopping)` on uvloop; `stopping` is set by SIGTERM or SIGINT, then `main` winds up and returns.

    The collector looks for cycles when there are `collect_after` objects more.

    `CanNotStart` ends the process with its status and its lines on standard error; any other exception with 1 and a
    line of the log.
    """

    _calm_collector(collect_after)
    _allow_open_files()

    async def supervised() -> None:
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_tell_unhandled)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        await main(stopping)

    try:
        uvloop.run(supervised())
    except CanNotStart as error:
        for line in error.lines:
            print(line, file=sys.stderr)  # noqa: T201
        raise SystemExit(error.status) from None
    except Exception as error:
        why = {"reason": os.strerror(error.errno)} if isinstance(error, OSError) and error.errno else {}
        _log.critical("ended by an error", **why, **described(error))
        raise SystemExit(1) from None


def _tell_unhandled(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a task or a callback raised and nobody asked for; asyncio's own words quote the exception, and arguments."""
    error = context.get("exception")
    told = {} if error is None else described(error)
    what = "exception in a callback" if "handle" in context else str(context["message"])
    _log.error("unhandled in the event loop", **told, what=what)


def _allow_open_files() -> None:
    """As many as the system lets this process have: a connection is one, and common shells begin at 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # some systems have a hard limit that none may reach
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _calm_collector(after: int) -> None:
    """What is there by now stays for good: it is not looked through again, nor before, which would take a tenth of a
    second for a few thousand objects. Of what is made per request next to nothing is in a cycle, so that it is looked
    for less often than by default (700 objects), which costs a tenth of the time.
    """
    gc.freeze()
    gc.set_threshold(after, 20, 20)


async def until(stopping: asyncio.Event, *workers: asyncio.Task[None]) -> None:
    """Wait for the signal; a worker that ends by itself ends the wait with its exception."""
    wait = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait({wait, *workers}, return_when=asyncio.FIRST_COMPLETED)
    wait.cancel()
    for task in done - {wait}:
        task.result()
