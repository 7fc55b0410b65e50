"""Services for tests and for trying things out, without Docker.

    python deploy/local install [NAME ...]      install what is missing (all, or the named); `helm` is for tests alone
    python deploy/local serve NAME [--port N --data FOLDER]
                                                run one; prints its address; ends on SIGTERM or SIGINT
    python deploy/local run [--only NAME ...] -- COMMAND ...
                                                run what is installed, set HEADRACE_TEST_<NAME>_URL, run
                                                COMMAND, stop everything; exits with COMMAND's status

Every process is a child of this one and is ended by its id.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import helm
import mongodb
import oauth2
import prometheus
import rabbitmq


@dataclass(frozen=True, slots=True)
class Service:
    """What this command needs of a module beside it."""

    install: Callable[[], None]
    running: Callable[..., AbstractContextManager[str]]


SERVICES: Mapping[str, Service] = {
    "rabbitmq": Service(rabbitmq.install, rabbitmq.running),
    "mongodb": Service(mongodb.install, mongodb.running),
    "oauth2": Service(oauth2.install, oauth2.running),
}

# What is installed and not run by itself.
TOOLS: Mapping[str, Callable[[], None]] = {"helm": helm.install, "prometheus": prometheus.install}


class Stopped(Exception):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        match options.verb:
            case "install":
                for name in options.names or (*SERVICES, *TOOLS):
                    (TOOLS[name] if name in TOOLS else SERVICES[name].install)()
                    print(f"{name}: installed", flush=True)
                return 0
            case "serve":
                return _serve(options)
            case _:
                return _run(options.only or list(SERVICES), options.command)
    except Stopped as stopped:
        return 128 + stopped.number


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python deploy/local", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    install = verbs.add_parser("install")
    install.add_argument("names", nargs="*", metavar="NAME")
    serve = verbs.add_parser("serve")
    serve.add_argument("name", choices=SERVICES)
    serve.add_argument("--port", type=int)
    serve.add_argument("--data", type=Path)
    run = verbs.add_parser("run")
    run.add_argument("--only", action="append", choices=SERVICES)
    run.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    if unknown := set(getattr(options, "names", ())) - SERVICES.keys() - TOOLS.keys():
        there = ", ".join((*SERVICES, *TOOLS))
        parser.error(f"no such service: {', '.join(sorted(unknown))} (there are: {there})")
    return options


def _stop(number: int, _frame: FrameType | None) -> None:
    # One is enough: a second signal must not break off the ending of the children.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    raise Stopped(number)


def _serve(options: argparse.Namespace) -> int:
    given = {k: v for k, v in (("port", options.port), ("data", options.data)) if v is not None}
    with SERVICES[options.name].running(**given) as url:
        print(url, flush=True)
        while True:
            signal.pause()


def _run(names: list[str], command: list[str]) -> int:
    with contextlib.ExitStack() as stack:
        addresses: dict[str, str] = {}
        for name in names:
            try:
                addresses[name] = stack.enter_context(SERVICES[name].running())
            except FileNotFoundError as missing:
                print(f"without {name}: {missing}", file=sys.stderr, flush=True)
        environment = {f"HEADRACE_TEST_{name.upper()}_URL": url for name, url in addresses.items()}
        with _command(command, {**os.environ, **environment}) as process:
            return process.wait()


@contextlib.contextmanager
def _command(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
