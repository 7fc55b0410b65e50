"""`fan50`: fifty calls side by side."""

from collections.abc import Mapping

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import Work

_WIDTH = 50


def work() -> Work:
    """One step, fifty calls that wait for it alone, and one step that waits for them all."""
    keys = [f"call{n}" for n in range(_WIDTH)]
    calls = [{"key": key, "action": "fan50/call", "input": {"n": "{{ input.n }}"}} for key in keys]
    begin, end = (
        {"key": "begin", "type": "transform", "input": 1},
        {"key": "end", "type": "transform", "input": 2},
    )
    edges = [{"from": "begin", "to": key} for key in keys] + [{"from": key, "to": "end"} for key in keys]
    return Work(
        "fan50",
        [begin, *calls, end],
        ("call",),
        calls=_WIDTH,
        attempts=_WIDTH + 2,
        steps={"SUCCESS": _WIDTH + 2},
        edges=edges,
    )


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    fan, tenant = work(), await scene.tenant("bench")
    await scene.prepared(tenant, fan, warm=10)
    await scene.burst([tenant], fan, sizes["runs"])
    await scene.one_at_a_time(tenant, fan, sizes["singles"])


SCENARIO = Scenario(
    "fan50", "Fifty HTTP steps side by side, and one that joins them.", play, {"runs": 300, "singles": 30}
)
