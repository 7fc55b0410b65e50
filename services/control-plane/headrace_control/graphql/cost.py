"""What an operation may cost, counted before it is validated or run.

Every fragment is counted once and its count reused, so counting is linear in the document however often
fragments spread each other; walking each spread anew takes time exponential in the document's length.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_list_type,
    is_non_null_type,
)
from graphql.type import GraphQLField, is_interface_type, is_object_type

from headrace_control.pages import MAX_PAGE

# How many items a list without a page size is taken to hold.
PLAIN_LIST = 5


class TooCostly(Exception):
    """The operation is beyond a limit; the message says which."""


@dataclass(frozen=True, slots=True)
class CostLimits:
    """`cost` counts fields, each as often as lists and pages around it may repeat it. `depth` counts levels
    of fields; `nesting` selections within selections of every kind. `aliases`, `fragments`, `selections` and
    `directives` count what is written in the document; finding fields that can not be merged takes time in their
    square."""

    cost: int = 50_000
    depth: int = 15
    aliases: int = 100
    nesting: int = 50
    fragments: int = 50
    selections: int = 500
    directives: int = 100


@dataclass(frozen=True, slots=True)
class Count:
    cost: int = 0
    depth: int = 0


def check_cost(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], limits: CostLimits
) -> bool:
    """Raises `TooCostly` when any operation of `document` is beyond `limits`. Whether that hangs on `variables`."""
    counter = _Counter(schema, document, variables, limits)
    if len(counter.fragments) > limits.fragments:
        raise TooCostly(f"the query has more than {limits.fragments} fragments")
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            counter.operation(definition)
    for name in counter.fragments:
        counter.fragment(name)  # validation walks those that nothing spreads, too
    return counter.varies


class _Counter:
    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        variables: Mapping[str, Any],
        limits: CostLimits,
    ) -> None:
        self._schema, self._variables, self._limits = schema, variables, limits
        self.fragments = {
            d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)
        }
        self.varies = False
        self._counted: dict[str, Count | None] = {}
        self._aliases = 0
        self._selected = 0
        self._directed = 0
        self._nesting = 0

    def operation(self, node: OperationDefinitionNode) -> None:
        root = self._schema.get_root_type(OperationType(node.operation))
        self._check(self._selections(node.selection_set, root))

    def _selections(self, selections: SelectionSetNode | None, parent: GraphQLNamedType | None) -> Count:
        cost = depth = 0
        self._nesting += 1
        if self._nesting > self._limits.nesting:
            raise TooCostly(f"the query nests more than {self._limits.nesting} selections")
        for node in selections.selections if selections else ():
            self._selected += 1
            if self._selected > self._limits.selections:
                raise TooCostly(f"the query selects more than {self._limits.selections} times")
            self._directed += len(node.directives or ())
            if self._directed > self._limits.directives:
                raise TooCostly(f"the query has more than {self._limits.directives} directives")
            match node:
                case FieldNode():
                    count = self._field(node, parent)
                case InlineFragmentNode():
                    name = node.type_condition.name.value if node.type_condition else None
                    inner = self._schema.get_type(name) if name else parent
                    count = self._selections(node.selection_set, inner)
                case FragmentSpreadNode():
                    count = self.fragment(node.name.value)
                case _:
                    count = Count()
            cost, depth = cost + count.cost, max(depth, count.depth)
        self._nesting -= 1
        return self._check(Count(cost, depth))

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> Count:
        if node.alias is not None:
            self._aliases += 1
            if self._aliases > self._limits.aliases:
                raise TooCostly(f"the query has more than {self._limits.aliases} aliases")
        field = self._definition(node, parent)
        inner = self._selections(node.selection_set, get_named_type(field.type) if field else None)
        return self._check(Count(1 + self._times(node, field) * inner.cost, 1 + inner.depth))

    def fragment(self, name: str) -> Count:
        if name in self._counted:
            count = self._counted[name]
            if count is None:
                raise TooCostly("a fragment spreads itself")
            return count
        fragment = self.fragments.get(name)
        if fragment is None:
            return Count()
        self._counted[name] = None
        on = self._schema.get_type(fragment.type_condition.name.value)
        count = self._counted[name] = self._selections(fragment.selection_set, on)
        return count

    def _check(self, count: Count) -> Count:
        if count.cost > self._limits.cost:
            raise TooCostly(
                f"the query may cost more than {self._limits.cost}; ask for fewer or smaller pages"
            )
        if count.depth > self._limits.depth:
            raise TooCostly(f"the query is nested deeper than {self._limits.depth} levels")
        return count

    def _definition(self, node: FieldNode, parent: GraphQLNamedType | None) -> GraphQLField | None:
        if parent is None:
            return None
        if is_object_type(parent) or is_interface_type(parent):
            found: GraphQLField | None = self._schema.get_field(parent, node.name.value)
            return found
        return None

    def _times(self, node: FieldNode, field: GraphQLField | None) -> int:
        """How often what is below the field may come."""
        if field is None:
            return 1
        if "first" in field.args:
            return self._page_size(node, field)
        kind = field.type.of_type if is_non_null_type(field.type) else field.type
        # A page's `items` were counted with the page size already.
        return PLAIN_LIST if is_list_type(kind) and node.name.value != "items" else 1

    def _page_size(self, node: FieldNode, field: GraphQLField) -> int:
        value: Any = field.args["first"].default_value
        for argument in node.arguments or ():
            if argument.name.value == "first":
                match argument.value:
                    case IntValueNode():
                        # One of more digits is no Int, and validation says so; to read it takes quadratic time.
                        value = int(argument.value.value) if len(argument.value.value) < 12 else MAX_PAGE
                    case VariableNode():
                        self.varies = True
                        value = self._variables.get(argument.value.name.value, MAX_PAGE)
                    case _:
                        value = MAX_PAGE
        if isinstance(value, int) and not isinstance(value, bool):
            return min(max(value, 1), MAX_PAGE)
        return MAX_PAGE
