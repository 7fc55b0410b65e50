"""Run as a program by warm_start: imports a service, then forks whenever it is asked to on a socket.

Asked with an environment, a folder and the descriptor of a log, it answers with the number of a new process, which
goes on as `python -m` would; asked to reap a process, with its status. When the socket ends, everything does.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any


def serve(module: str, asked: socket.socket) -> dict[str, Any]:
    """Returns in each forked process, with what was asked for it; ends this one otherwise."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's is for the tests, which end this one after
    gc.collect()
    gc.freeze()
    living: set[int] = set()
    while question := _question(asked):
        wanted, descriptors = question
        if pid := wanted.get("reap"):
            living.discard(pid)
            answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        else:
            if (answer := os.fork()) == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for number in (1, 2):
                    os.dup2(descriptors[0], number)
                os.close(descriptors[0])
                return wanted
            living.add(answer)
            os.close(descriptors[0])
        asked.sendall(f"{answer}\n".encode())
    for pid in living:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


def _question(asked: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    text, descriptors = b"", []
    while not text.endswith(b"\n"):
        part, passed, _, _ = socket.recv_fds(asked, 1 << 20, 1)
        if not part:
            return None
        text += part
        descriptors += passed
    return json.loads(text), descriptors


def main() -> None:
    module, descriptor = sys.argv[1], int(sys.argv[2])
    sys.path.pop(0)  # this file's folder, of which a service knows nothing
    importlib.import_module(f"{module}.main")
    with socket.socket(fileno=descriptor) as asked:
        wanted = serve(module, asked)
    os.chdir(wanted["folder"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    sys.path.insert(0, wanted["folder"])
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
