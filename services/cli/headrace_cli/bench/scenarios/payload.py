"""`payload`: small answers and large ones."""

from collections.abc import Mapping

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import Work, chain3

_KILOBYTES = (1, 16, 64, 240)


def megabyte() -> Work:
    """Four answers of 240 KB side by side, about as much as one run may hold of the largest ones."""
    keys = [f"part{n}" for n in range(4)]
    begin = {"key": "begin", "type": "transform", "input": 1}
    calls = [{"key": key, "action": "megabyte/part", "input": {"n": "{{ input.n }}"}} for key in keys]
    edges = [{"from": "begin", "to": key} for key in keys]
    steps = {"SUCCESS": 5}
    return Work(
        "megabyte",
        [begin, *calls],
        ("part",),
        calls=4,
        attempts=5,
        steps=steps,
        edges=edges,
        answer_bytes=240 * 1024,
    )


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    tenant = await scene.tenant("bench")
    for kilobytes in _KILOBYTES:
        work = chain3(f"answers-of-{kilobytes}k", answer_bytes=kilobytes * 1024)
        await scene.prepared(tenant, work, warm=5)
        # As many bytes for each, as far as that leaves runs enough to measure.
        await scene.burst(
            [tenant], work, max(sizes["runs"] // kilobytes, sizes["least"]), f"3 x {kilobytes} KB"
        )
    work = megabyte()
    await scene.prepared(tenant, work, warm=2)
    await scene.burst([tenant], work, sizes["least"], "1 MB at once")


SCENARIO = Scenario(
    "payload",
    "chain3 with answers of 1 KB to 240 KB (an answer's limit is 256 KB), and a megabyte in one run.",
    play,
    {"runs": 2_000, "least": 50},
)
