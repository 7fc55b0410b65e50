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
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import child
import helm
import mongodb
import oauth2
import prometheus
import rabbitmq
import stopping


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

_LOOK_SECONDS = 0.05
# What shells answer.
_NO_SUCH_COMMAND = 127


def main(arguments: list[str]) -> int:
    options = _options(arguments)
    try:
        match options.verb:
            case "install":
                stopping.interrupt()
                return _install(options.names or (*SERVICES, *TOOLS))
            case "serve":
                stopping.listen()
                return _serve(options)
            case _:
                stopping.listen()
                return _run(options.only or list(SERVICES), options.command)
    except stopping.Stopped as stopped:
        return 128 + stopped.number
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except RuntimeError as wrong:
        return _complain(str(wrong))


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


def _install(names: Iterable[str]) -> int:
    """What can not be installed keeps nothing else from it."""
    status = 0
    for name in names:
        try:
            (TOOLS[name] if name in TOOLS else SERVICES[name].install)()
        except SystemExit as missing:
            status = _complain(str(missing))
        except subprocess.CalledProcessError as failed:
            # What it said stands above: its output is ours.
            status = _complain(f"{name}: `{shlex.join(failed.cmd)}` ended with {failed.returncode}")
        except OSError as failed:
            status = _complain(f"{name}: {failed}")
        else:
            print(f"{name}: installed", flush=True)
    return status


def _complain(text: str) -> int:
    print(text, file=sys.stderr, flush=True)
    return 1


def _serve(options: argparse.Namespace) -> int:
    given = {k: v for k, v in (("port", options.port), ("data", options.data)) if v is not None}
    with SERVICES[options.name].running(**given) as url:
        print(url, flush=True)
        while True:
            stopping.check()
            time.sleep(_LOOK_SECONDS)


def _run(names: list[str], command: list[str]) -> int:
    with contextlib.ExitStack() as stack:
        addresses: dict[str, str] = {}
        for name in names:
            try:
                addresses[name] = stack.enter_context(SERVICES[name].running())
            except FileNotFoundError as missing:
                print(f"without {name}: {missing}", file=sys.stderr, flush=True)
        environment = {f"HEADRACE_TEST_{name.upper()}_URL": url for name, url in addresses.items()}
        running = child.running(command, child.end_in_order, env={**os.environ, **environment})
        try:
            process = stack.enter_context(running)
        except OSError as wrong:
            _complain(f"{command[0]}: {wrong.strerror}")
            return _NO_SUCH_COMMAND
        while (status := process.poll()) is None:
            stopping.check()
            time.sleep(_LOOK_SECONDS)
        return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
