"""What checking a value against a JSON Schema can cost, known from the schema alone.

References that double (`allOf` of twice the same `$ref`, twenty levels deep) and recursion that visits one
place twice per level are exponential in a small schema; both are found by counting paths in its graph.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headrace.errors import Problem
from headrace.json_types import Json
from headrace.workflow import schema_weights
from headrace.workflow.graph import components
from headrace.workflow.schema_survey import Edge, Node, Survey, place_of

MAX_EXPANSION = 20_000  # subschemas, once every reference is written out
MAX_UNEVALUATED = 3  # `unevaluated...` one inside the other, at one place: each asks all within it anew
_UNEVALUATED = frozenset({"unevaluatedItems", "unevaluatedProperties"})

# Keywords whose subschemas are never applied to the same element or member twice, not even together.
DISJOINT = frozenset({"properties", "additionalProperties", "prefixItems", "items"})


@dataclass(frozen=True, slots=True)
class Cost:
    """What is done at most at one place of a value, all subschemas together that may apply there.

    `fan` weighs visits, `matches` patterns and formats per character, `exact`, `whole` and `bounds` comparisons,
    `copied` bytes in errors: see `headrace.workflow.schema_weights`. `names` are the property names that the
    schema itself spells.
    """

    fan: int = 0
    matches: int = 0
    exact: int = 0
    whole: int = 0
    bounds: int = 0
    copied: int = 0
    unique: bool = False
    names: frozenset[str] = frozenset()
    reports_branches: bool = False


def analyse(schema: Mapping[str, Json], path: str = "") -> tuple[Cost, list[Problem]]:
    """What the schema costs, and why it is refused, if it is. Linear in the schema's size."""
    survey = Survey(path)
    survey.run(schema)
    if survey.problems:
        return Cost(), survey.problems
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
        return Cost(), problems
    expansion = _expansion(knots, knot_of, nodes)
    if expansion > MAX_EXPANSION:
        mend = "Let fewer references lead to the same subschema."
        message = f"with its references written out it has more than {MAX_EXPANSION} subschemas"
        return Cost(), [Problem(path, message, mend, "COSTLY_SCHEMA")]
    nested = _nested_unevaluated(knots, nodes)
    if nested > MAX_UNEVALUATED:
        mend = "Say `unevaluatedProperties` or `unevaluatedItems` in the outermost schema only."
        message = f"more than {MAX_UNEVALUATED} of them one inside the other take exponential time"
        return Cost(), [Problem(path, message, mend, "COSTLY_SCHEMA")]
    keywords = frozenset(keyword for node in nodes.values() for keyword in node.schema)

    def most(weight: Callable[[Mapping[str, Json]], int]) -> int:
        return _fan(knots, knot_of, nodes, weight)

    return (
        Cost(
            # What is evaluated is gathered again for each of them, at several times the cost of a visit.
            fan=most(schema_weights.visits) * (4 * 2**nested if nested else 1),
            matches=most(schema_weights.matches),
            exact=most(schema_weights.exact),
            whole=most(schema_weights.whole),
            bounds=most(schema_weights.bounds),
            copied=most(schema_weights.copied),
            unique="uniqueItems" in keywords,
            names=frozenset(survey.names),
            reports_branches=not keywords.isdisjoint(("anyOf", "oneOf")),
        ),
        [],
    )


def _nested_unevaluated(knots: list[list[str]], nodes: Mapping[str, Node]) -> int:
    """The most `unevaluated...` that lie one inside the other at one place."""
    most: dict[str, int] = {}
    for knot in knots:  # a knot comes after all that it leads to
        here = {
            key: [edge.target for edge in nodes[key].edges if not edge.down and edge.target in knot]
            for key in knot
        }
        ordered = components(knot, here)
        for key in (one for part in ordered for one in part):
            inner = [most.get(edge.target, 0) for edge in nodes[key].edges if not edge.down]
            most[key] = max(inner, default=0) + (not _UNEVALUATED.isdisjoint(nodes[key].schema))
    return max(most.values(), default=0)


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
