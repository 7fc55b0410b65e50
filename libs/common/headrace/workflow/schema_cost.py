"""What checking a value against a JSON Schema can cost, known from the schema alone.

References that double (`allOf` of twice the same `$ref`, twenty levels deep) and recursion that visits one
place twice per level are exponential in a small schema; both are found by counting paths in its graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow.graph import components
from headrace.workflow.schema_survey import Edge, Node, Survey, members, place_of

MAX_EXPANSION = 20_000  # subschemas, once every reference is written out

# Keywords whose subschemas are never applied to the same element or member twice, not even together.
DISJOINT = frozenset({"properties", "additionalProperties", "prefixItems", "items"})


@dataclass(frozen=True, slots=True)
class Cost:
    """`fan` bounds how often one place of a value is visited, `patterns` how often one text is matched.

    `names` are the property names that the schema itself spells.
    """

    fan: int
    patterns: int
    names: frozenset[str]
    reports_branches: bool


def analyse(schema: Mapping[str, Json], path: str = "") -> tuple[Cost, list[Problem]]:
    """What the schema costs, and why it is refused, if it is. Linear in the schema's size."""
    survey = Survey(path)
    survey.run(schema)
    if survey.problems:
        return Cost(0, 0, frozenset(), False), survey.problems
    nodes = survey.nodes
    knots = components(
        list(nodes), {key: [edge.target for edge in node.edges] for key, node in nodes.items()}
    )
    knot_of = {key: index for index, knot in enumerate(knots) for key in knot}
    problems: list[Problem] = []
    for index, knot in enumerate(knots):
        inside = {key: [edge for edge in nodes[key].edges if knot_of[edge.target] == index] for key in knot}
        if any(inside.values()) and _amplifies(inside, nodes):
            mend = "Let a subschema lead back to itself in one place only, through `properties` or `items`."
            message = "this recursion could take exponential time"
            problems.append(Problem(place_of(path, knot[0]), message, mend, "COSTLY_SCHEMA"))
    if problems:
        return Cost(0, 0, frozenset(), False), problems
    expansion = _expansion(knots, knot_of, nodes)
    if expansion > MAX_EXPANSION:
        mend = "Let fewer references lead to the same subschema."
        message = f"with its references written out it has more than {MAX_EXPANSION} subschemas"
        return Cost(0, 0, frozenset(), False), [Problem(path, message, mend, "COSTLY_SCHEMA")]
    return (
        Cost(
            fan=_fan(knots, knot_of, nodes, lambda _node: 1),
            patterns=_fan(knots, knot_of, nodes, _patterns_of),
            names=frozenset(survey.names),
            reports_branches=any(
                keyword in node.schema for node in nodes.values() for keyword in ("anyOf", "oneOf")
            ),
        ),
        [],
    )


def _amplifies(inside: Mapping[str, list[Edge]], nodes: Mapping[str, Node]) -> bool:
    """Whether recursion could visit one place twice per level, or for ever at the same one."""
    for key, edges in inside.items():
        if len(edges) > 1 and not {edge.keyword for edge in edges} <= DISJOINT:
            kinds = [_kinds(nodes[edge.target].schema) for edge in edges]
            branches = all(edge.keyword in ("anyOf", "oneOf") for edge in edges)
            total = sum(len(kind) for kind in kinds)
            if not branches or not all(kinds) or len(frozenset().union(*kinds)) < total:
                return True
        if key in {edge.target for edge in edges if not edge.down}:
            return True
    here = {key: [edge.target for edge in edges if not edge.down] for key, edges in inside.items()}
    return any(len(knot) > 1 for knot in components(list(here), here))


def _kinds(schema: Mapping[str, Json]) -> frozenset[str]:
    """The `type`s that a branch admits; empty when it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    return frozenset(k for k in kind if isinstance(k, str)) if isinstance(kind, list) else frozenset()


def _expansion(knots: list[list[str]], knot_of: Mapping[str, int], nodes: Mapping[str, Node]) -> int:
    """Subschemas below the root with references written out; a knot counts once per way into it."""
    size: list[int] = []
    for index, knot in enumerate(knots):  # a knot comes after all that it leads to
        outside = (edge.target for key in knot for edge in nodes[key].edges if knot_of[edge.target] != index)
        size.append(min(len(knot) + sum(size[knot_of[target]] for target in outside), MAX_EXPANSION + 1))
    return size[knot_of[""]]


def _fan(
    knots: list[list[str]],
    knot_of: Mapping[str, int],
    nodes: Mapping[str, Node],
    weight: Callable[[Mapping[str, Json]], int],
) -> int:
    """The most that subschemas weigh together that can be applied to one place of a value."""
    whole: list[int] = []  # all together, with references written out
    here: list[int] = []  # at the place where a knot is entered
    below: list[int] = []  # at any one place further down
    for index, knot in enumerate(knots):
        mine = deeper = everything = 0
        for key in knot:
            mine += weight(nodes[key].schema)
            everything += weight(nodes[key].schema)
            down = [0]
            overlapping = 0
            for edge in nodes[key].edges:
                target = knot_of[edge.target]
                if target == index:
                    continue
                reach = max(here[target], below[target])
                everything += whole[target]
                if not edge.down:
                    mine += here[target]
                    deeper += below[target]
                elif edge.keyword in DISJOINT:
                    down.append(reach)
                else:
                    overlapping += reach
            deeper += max(down) + overlapping
        if len(knot) > 1 or any(edge.target == knot[0] for edge in nodes[knot[0]].edges):
            # What every level starts may reach down to one place: at worst all of it, once.
            mine = deeper = everything
        whole.append(everything)
        here.append(mine)
        below.append(deeper)
    return max(here[knot_of[""]], below[knot_of[""]])


def _patterns_of(schema: Mapping[str, Json]) -> int:
    return len(members(schema, "patternProperties")) + ("pattern" in schema)
