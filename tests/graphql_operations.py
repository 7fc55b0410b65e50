"""Operations made from the schema itself, so that a new field is asked for without a line more."""

from collections.abc import Iterator, Mapping
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
)

Path = tuple[str | int, ...]
KINDS = ("query", "mutation", "subscription")


def root_fields(schema: GraphQLSchema) -> dict[str, GraphQLField]:
    """Every field of the three root types, as `query apps`."""
    return {
        f"{kind} {name}": field
        for kind in KINDS
        if isinstance(root := getattr(schema, f"{kind}_type"), GraphQLObjectType)
        for name, field in root.fields.items()
    }


def loaded_fields(schema: GraphQLSchema) -> dict[str, GraphQLField]:
    """Every field of an object that is looked up when it is asked for, as `Run.input`."""
    roots = {getattr(schema, f"{kind}_type") for kind in KINDS}
    return {
        f"{name}.{field_name}": field
        for name, kind in schema.type_map.items()
        if isinstance(kind, GraphQLObjectType) and kind not in roots and not name.startswith("__")
        for field_name, field in kind.fields.items()
        if getattr(field.extensions.get("strawberry-definition"), "base_resolver", None) is not None
    }


def operation(
    name: str, field: GraphQLField, given: Mapping[str, Any], depth: int = 2
) -> tuple[str, dict[str, Any]]:
    """The text and variables that ask for the root field `name` with these arguments, and for all that it holds."""
    kind, field_name = name.split()
    declared = ", ".join(f"${arg}: {field.args[arg].type}" for arg in given)
    passed = ", ".join(f"{arg}: ${arg}" for arg in given)
    head, call = (f"{kind}({declared})", f"{field_name}({passed})") if given else (kind, field_name)
    return f"{head} {{ {call} {selection(field.type, depth)} }}", dict(given)


def selection(of: GraphQLOutputType, depth: int, prefix: str = "") -> str:
    """All fields without required arguments, `depth` levels of objects deep; members of a union each in their turn.

    What a union's member holds is named after it, as `App_id`: two members may have a field of one name and two types.
    """
    named = get_named_type(of)
    match named:
        case GraphQLUnionType():
            members = "".join(
                f" ... on {one.name} {selection(one, depth, _prefix(one))}" for one in named.types
            )
            return f"{{ __typename{members} }}"
        case GraphQLObjectType() | GraphQLInterfaceType():
            parts = ["__typename"]
            for name, field in named.fields.items():
                if any(
                    isinstance(arg.type, GraphQLNonNull) and arg.default_value is None
                    for arg in field.args.values()
                ):
                    continue
                is_object = isinstance(
                    get_named_type(field.type), GraphQLUnionType | GraphQLObjectType | GraphQLInterfaceType
                )
                if is_object and depth == 0:
                    continue
                called = f"{prefix}{name}: {name}" if prefix else name
                parts.append(f"{called} {selection(field.type, depth - 1)}" if is_object else called)
            return f"{{ {' '.join(parts)} }}"
        case _:
            return ""


def _prefix(member: GraphQLObjectType) -> str:
    # Failures share an interface, so their fields agree.
    return "" if member.interfaces else f"{member.name}_"


def sample(kind: GraphQLInputType, scalars: Mapping[str, Any]) -> Any:
    """A value of an input type: of an object what it requires, of a list one."""
    match kind:
        case GraphQLNonNull():
            return sample(kind.of_type, scalars)
        case GraphQLList():
            return [sample(kind.of_type, scalars)]
        case GraphQLEnumType():
            return next(iter(kind.values))
        case GraphQLInputObjectType():
            return {
                name: sample(field.type, scalars)
                for name, field in kind.fields.items()
                if isinstance(field.type, GraphQLNonNull)
            }
        case _:
            return scalars[kind.name]  # type: ignore[union-attr]


def required(field: GraphQLField, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """Samples for the arguments that a field can not be asked without."""
    return {
        name: sample(arg.type, scalars)
        for name, arg in field.args.items()
        if isinstance(arg.type, GraphQLNonNull)
    }


def leaves(field: GraphQLField, *scalars: str) -> Iterator[tuple[Path, GraphQLInputType]]:
    """The places in a field's arguments where a value of one of these scalars may stand."""
    for name, arg in field.args.items():
        yield from _leaves(arg.type, (name,), frozenset(scalars))


def _leaves(
    kind: GraphQLInputType, at: Path, scalars: frozenset[str]
) -> Iterator[tuple[Path, GraphQLInputType]]:
    match kind:
        case GraphQLNonNull():
            yield from _leaves(kind.of_type, at, scalars)
        case GraphQLList():
            yield from _leaves(kind.of_type, (*at, 0), scalars)
        case GraphQLInputObjectType():
            for name, field in kind.fields.items():
                yield from _leaves(field.type, (*at, name), scalars)
        case _:
            if kind.name in scalars:  # type: ignore[union-attr]
                yield at, kind


def placed(field: GraphQLField, at: Path, value: Any, scalars: Mapping[str, Any]) -> dict[str, Any]:
    """The required arguments, and `value` at this place."""
    given = required(field, scalars)
    name = str(at[0])
    given[name] = _with(given.get(name, sample(field.args[name].type, scalars)), at[1:], value)
    return given


def _with(whole: Any, at: Path, value: Any) -> Any:
    if not at:
        return value
    first, rest = at[0], at[1:]
    if isinstance(first, int):
        inner = whole[0] if isinstance(whole, list) and whole else {}
        return [_with(inner, rest, value)]
    outer = dict(whole) if isinstance(whole, dict) else {}
    return {**outer, first: _with(outer.get(first, {}), rest, value)}
