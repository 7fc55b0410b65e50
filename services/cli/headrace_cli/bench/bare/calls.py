"""A client loop alone: chains of three calls, so many in flight, then one at a time. A process of its own.

    python -m headrace_cli.bench.bare.calls TARGET CHAINS AT_ONCE SINGLES httpx|outbound

`httpx` is that library as it comes; `outbound` the same API over the transport that runners call with. It prints one
line of JSON: seconds of all chains, CPU seconds of this process, and the seconds that each single chain took.
"""

import asyncio
import sys
import time

import httpx
import orjson
import uvloop
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.transport import AiohttpTransport

PLAIN, OUTBOUND = "httpx", "outbound"


async def main(target: str, chains: int, at_once: int, singles: int, kind: str) -> None:
    gate = asyncio.Semaphore(at_once)
    async with _client(target, at_once, kind) as http:

        async def chain(n: int) -> None:
            async with gate:
                for name in ("one", "two", "three"):
                    answer = await http.post(f"/0/0/{name}", json={"n": n})
                    n = answer.raise_for_status().json()["n"]

        await asyncio.gather(*(chain(n) for n in range(at_once)))
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(chain(n) for n in range(chains)))
        seconds, used = time.perf_counter() - began, time.process_time() - cpu
        took = []
        for n in range(singles):
            began = time.perf_counter()
            await chain(n)
            took.append(time.perf_counter() - began)
    sys.stdout.write(orjson.dumps({"seconds": seconds, "cpu": used, "singles": took}).decode() + "\n")


def _client(target: str, at_once: int, kind: str) -> httpx.AsyncClient:
    if kind == PLAIN:
        limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
        return httpx.AsyncClient(base_url=target, limits=limits, trust_env=False)
    transport = AiohttpTransport(EgressPolicy(allow=(Opening.parse("127.0.0.1"),)), connections=at_once)
    return httpx.AsyncClient(base_url=target, transport=transport, trust_env=False)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
