"""The subschemas of a JSON Schema as a graph, and what is refused at first sight.

Nodes are subschemas by JSON Pointer, edges are keywords that apply another subschema: at the same place of the
value (`allOf`, `$ref`, `if`, ...) or one level down (`properties`, `items`, ...).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from headrace.errors import Problem
from headrace.json_index import index_in
from headrace.json_types import Json
from headrace.workflow.paths import at_index, at_name

MAX_SUBSCHEMAS = 5_000
MAX_SCHEMA_DEPTH = 48
MAX_PATTERNS = 200
MAX_PATTERN_LENGTH = 1_000

HERE_ONE = frozenset({"not", "if", "then", "else"})
HERE_LIST = frozenset({"allOf", "anyOf", "oneOf"})
HERE_MAP = frozenset({"dependentSchemas"})
DOWN_ONE = frozenset(
    {
        "items",
        "additionalProperties",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contains",
        "propertyNames",
    }
)
DOWN_LIST = frozenset({"prefixItems"})
DOWN_MAP = frozenset({"properties", "patternProperties"})
STORED_MAP = frozenset({"$defs", "definitions"})
REFUSED = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$recursiveAnchor", "$recursiveRef", "$vocabulary"}
)
SENSITIVE = "x-sensitive"
DIALECTS = frozenset(
    {
        "https://json-schema.org/draft/2020-12/schema",
        "https://json-schema.org/draft/2020-12/schema#",
    }
)


@dataclass(frozen=True, slots=True)
class Edge:
    keyword: str
    target: str
    down: bool


@dataclass(slots=True)
class Node:
    """One subschema, at a JSON Pointer."""

    schema: Mapping[str, Json]
    edges: list[Edge] = field(default_factory=list)


class Survey:
    """Walks every subschema once and gathers nodes, edges, names, and what is refused."""

    def __init__(self, path: str) -> None:
        self.nodes: dict[str, Node] = {}
        self.names: set[str] = set()
        self.problems: list[Problem] = []
        self._path = path
        self._root: Json = None
        self._patterns = 0

    def run(self, schema: Mapping[str, Json]) -> None:
        self._root = dict(schema)
        waiting: list[tuple[str, Json, int]] = [("", self._root, 0)]
        while waiting and len(self.problems) < 20:
            pointer, value, depth = waiting.pop()
            if pointer in self.nodes or not isinstance(value, dict):
                continue
            if len(self.nodes) >= MAX_SUBSCHEMAS or depth > MAX_SCHEMA_DEPTH:
                mend = f"At most {MAX_SUBSCHEMAS} subschemas, nested {MAX_SCHEMA_DEPTH} deep, are checked."
                self._refuse(pointer, "the schema is too large or too deep", mend)
                return
            node = self.nodes[pointer] = Node(value)
            self._keywords(pointer, value)
            for keyword, below, part, edge in self._parts(pointer, value):
                if edge is not None:
                    node.edges.append(Edge(keyword, below, edge))
                waiting.append((below, part, 0 if keyword == "$ref" else depth + 1))
        for node in self.nodes.values():  # booleans cost nothing
            node.edges = [edge for edge in node.edges if edge.target in self.nodes]

    def _refuse(self, pointer: str, message: str, mend: str) -> None:
        self.problems.append(Problem(place_of(self._path, pointer), message, mend, "BAD_SCHEMA"))

    def _keywords(self, pointer: str, schema: Mapping[str, Json]) -> None:
        for keyword in sorted(schema.keys() & REFUSED):
            self._refuse(
                pointer, f"`{keyword}` is not supported", "Refer to subschemas with `$ref: '#/...'`."
            )
        if pointer and "$id" in schema:
            self._refuse(pointer, "`$id` may stand at the top only", "Take it away.")
        if not isinstance(schema.get(SENSITIVE, False), bool):
            self._refuse(pointer, f"`{SENSITIVE}` is true or false", "Write `true`, or leave it out.")
        dialect = schema.get("$schema")
        if dialect is not None and dialect not in DIALECTS:
            self._refuse(pointer, "only JSON Schema 2020-12 is supported", "Leave `$schema` out.")
        patterns = [*members(schema, "patternProperties")]
        if isinstance(schema.get("pattern"), str):
            patterns.append(str(schema["pattern"]))
        self._patterns += len(patterns)
        if self._patterns > MAX_PATTERNS or any(len(pattern) > MAX_PATTERN_LENGTH for pattern in patterns):
            mend = f"At most {MAX_PATTERNS} patterns of {MAX_PATTERN_LENGTH} characters are checked."
            self._refuse(pointer, "there are too many or too long patterns", mend)
        self.names.update(members(schema, "properties"))
        required = schema.get("required")
        self.names.update(
            name for name in (required if isinstance(required, list) else []) if isinstance(name, str)
        )

    def _parts(
        self, pointer: str, schema: Mapping[str, Json]
    ) -> Iterator[tuple[str, str, Json, bool | None]]:
        """Each subschema with the keyword that holds it, its pointer, and whether it goes down (None: unused)."""
        for keyword, value in schema.items():
            below = f"{pointer}/{escape(keyword)}"
            if keyword in HERE_ONE | DOWN_ONE:
                yield keyword, below, value, keyword in DOWN_ONE
            elif keyword in HERE_LIST | DOWN_LIST and isinstance(value, list):
                for index, part in enumerate(value):
                    yield keyword, f"{below}/{index}", part, keyword in DOWN_LIST
            elif keyword in HERE_MAP | DOWN_MAP | STORED_MAP and isinstance(value, dict):
                down = None if keyword in STORED_MAP else keyword in DOWN_MAP
                for name, part in value.items():
                    yield keyword, f"{below}/{escape(name)}", part, down
            elif keyword == "$ref":
                found = self._resolve(value)
                if found is None:
                    mend = "Write `#` or `#/$defs/<name>`; nothing is fetched from elsewhere."
                    self._refuse(pointer, "`$ref` leads to no subschema of this schema", mend)
                else:
                    yield keyword, found[0], found[1], False

    def _resolve(self, reference: Json) -> tuple[str, Json] | None:
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            return None
        if "%" in reference:
            return None
        value = self._root
        pointer = ""
        for token in reference[2:].split("/") if reference != "#" else []:
            name = token.replace("~1", "/").replace("~0", "~")
            if isinstance(value, dict) and name in value:
                value = value[name]
            elif isinstance(value, list) and (index := index_in(value, name)) is not None:
                value = value[index]
            else:
                return None
            pointer += f"/{escape(name)}"
        return (pointer, value) if isinstance(value, dict | bool) else None


def members(schema: Mapping[str, Json], keyword: str) -> Mapping[str, Json]:
    """What a keyword that holds an object holds; nothing when it is none."""
    value = schema.get(keyword)
    return value if isinstance(value, dict) else {}


def escape(name: str) -> str:
    """A name as a token of a JSON Pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def place_of(path: str, pointer: str) -> str:
    """The path in problems of what stands at `pointer`."""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        is_index = name.isascii() and name.isdigit() and len(name) < 10
        path = at_index(path, int(name)) if is_index else at_name(path, name)
    return path
