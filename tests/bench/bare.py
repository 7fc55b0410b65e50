"""The yardstick: the same three calls in a bare httpx loop, as a process of its own."""

import asyncio
import json
import sys
import time

import httpx


async def main(url: str, chains: int, at_once: int) -> None:
    gate = asyncio.Semaphore(at_once)
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    async with httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as http:

        async def chain(n: int) -> None:
            async with gate:
                one = (await http.post("/one", json={"n": n})).json()
                two = (await http.post("/two", json={"n": one["n"]})).json()
                (await http.post("/three", json={"n": two["n"]})).raise_for_status()

        await chain(0)
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(chain(n) for n in range(chains)))
        took, used = time.perf_counter() - began, time.process_time() - cpu
    print(json.dumps({"per_second": chains / took, "cpu_per_chain_ms": used / chains * 1000}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
