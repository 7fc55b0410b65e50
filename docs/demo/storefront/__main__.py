"""Serve the storefront: `python -m storefront [--host 127.0.0.1] [--port 8090]`, run beside this folder.

Port 0 takes a free one. The first line on standard output is JSON with the URL, written once it answers.
"""

import argparse
import asyncio
import json
import os
import socket
import sys

import uvicorn

from storefront.app import create_app
from storefront.credentials import Credentials


async def serve(host: str, port: int) -> None:
    app = create_app(
        Credentials.from_environment(),
        float(os.environ.get("STOREFRONT_TOKEN_LIFETIME", "20")),
        float(os.environ.get("STOREFRONT_SLOW_SECONDS", "0.6")),
    )
    config = uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False)
    server = _Announcing(config)
    await server.serve()


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        sys.stdout.write(json.dumps({"event": "serving", "url": f"http://{host}:{port}"}) + "\n")
        sys.stdout.flush()


def main() -> None:
    arguments = argparse.ArgumentParser(prog="storefront")
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=8090)
    given = arguments.parse_args()
    try:
        asyncio.run(serve(given.host, given.port))
    except KeyError as missing:
        sys.exit(f"storefront: set {missing.args[0]}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
