"""`branchy`: conditions and transforms between calls."""

from collections.abc import Mapping
from typing import Any

from headrace_cli.bench.scenario import Scenario
from headrace_cli.bench.scene import Scene
from headrace_cli.bench.work import Work

_ROUNDS = 5


def work() -> Work:
    """Five times: a call, a transform of what it answered, and two ways on, of which one is taken; 20 steps."""
    steps: list[Mapping[str, Any]] = []
    edges: list[Mapping[str, Any]] = []
    given = "{{ input.n }}"
    for n in range(_ROUNDS):
        call, pick, more, less = f"call{n}", f"pick{n}", f"more{n}", f"less{n}"
        picked = {
            "n": f"{{{{ steps.{call}.output.body.n }}}}",
            "round": n,
            "text": f"round {n} of {{{{ input.n }}}}",
        }
        above = {
            "all": [
                {"field": "output.n", "operator": "gt", "value": 0},
                {"field": "output.text", "operator": "exists"},
            ]
        }
        steps += [
            {"key": call, "action": "branchy/call", "input": {"n": given}},
            {"key": pick, "type": "transform", "input": picked},
            {"key": more, "type": "transform", "input": {"n": f"{{{{ steps.{pick}.output.n + 1 }}}}"}},
            {"key": less, "type": "transform", "input": {"n": f"{{{{ steps.{pick}.output.n - 1 }}}}"}},
        ]
        edges += [
            {"from": call, "to": pick},
            {"from": pick, "to": more, "when": above},
            {"from": pick, "to": less, "when": {"not": above}},
        ]
        if n + 1 < _ROUNDS:
            edges += [{"from": more, "to": f"call{n + 1}"}, {"from": less, "to": f"call{n + 1}"}]
        given = f"{{{{ steps.{more}.output.n }}}}"
    taken = {"SUCCESS": 3 * _ROUNDS, "SKIPPED": _ROUNDS}
    return Work(
        "branchy",
        steps,
        ("call",),
        calls=_ROUNDS,
        attempts=3 * _ROUNDS,
        steps=taken,
        edges=edges,
        result=given,
    )


async def play(scene: Scene, sizes: Mapping[str, int]) -> None:
    branchy, tenant = work(), await scene.tenant("bench")
    await scene.prepared(tenant, branchy, warm=20)
    await scene.burst([tenant], branchy, sizes["runs"])
    await scene.one_at_a_time(tenant, branchy, sizes["singles"])


SCENARIO = Scenario(
    "branchy",
    "Twenty steps: calls, transforms, and conditions of which one way in two is taken.",
    play,
    {"runs": 1_500, "singles": 100},
)
