"""Every field of the API asks for a permission first."""

from dataclasses import dataclass
from typing import Any

from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
)
from headrace.errors import Forbidden
from headrace.ids import new_id
from headrace.postgres.pool import Pool
from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.auth.permissions import ALLOWED, Permission
from headrace_control.auth.roles import Role
from headrace_control.compose import Composed
from headrace_control.graphql.context import Context
from headrace_control.graphql.fields import action_of
from headrace_control.graphql.schema import create_schema


@dataclass(frozen=True, slots=True)
class Nobody(Caller):
    """A caller that may do nothing, whatever it asks for."""

    def require_of_workflows(self, permission: Permission) -> frozenset[str] | None:
        raise Forbidden("nobody may do anything")


SCHEMA = create_schema()
ROOT_FIELDS = [
    (kind, name)
    for kind in ("query", "mutation", "subscription")
    if isinstance(root := getattr(SCHEMA.core, f"{kind}_type"), GraphQLObjectType)
    for name in root.fields
]


# What everybody may ask: who am I.
PUBLIC = {"query me"}


async def test_every_field_asks_for_a_permission_first(composed: Composed, owner: Pool) -> None:
    assert len(ROOT_FIELDS) > 20
    answers = {f"{kind} {name}": await answered(composed, kind, name) for kind, name in ROOT_FIELDS}
    assert {field for field, answer in answers.items() if answer != "FORBIDDEN"} == PUBLIC
    rows = await owner.fetch("SELECT action FROM audit_inbox WHERE outcome = 'REFUSED'")
    recorded = {row["action"] for row in rows}
    # Everyone who may read may subscribe, and a subscription changes nothing.
    asked = {
        name: action_of(name) if kind == "mutation" else name
        for kind, name in ROOT_FIELDS
        if kind != "subscription" and f"{kind} {name}" not in PUBLIC
    }
    forgotten = [name for name, action in asked.items() if action not in recorded]
    assert not forgotten, f"refused and not recorded: declare {forgotten} with graphql.fields"


async def answered(composed: Composed, kind: str, name: str) -> str:
    """The code that `Nobody` gets from a root field, given some value for each argument."""
    schema = SCHEMA
    field = getattr(schema.core, f"{kind}_type").fields[name]
    given = {arg: sample(spec.type) for arg, spec in field.args.items()}
    declared = ", ".join(f"${arg}: {spec.type}" for arg, spec in field.args.items())
    passed = ", ".join(f"{arg}: ${arg}" for arg in field.args)
    head, call = (f"{kind}({declared})", f"{name}({passed})") if declared else (kind, name)
    query = f"{head} {{ {call} {{ __typename ... on Failure {{ code }} }} }}"
    if kind != "mutation":
        query = query.replace("... on Failure { code }", "")
    nobody = Actor(ActorKind.API_KEY, new_id(), "nobody")
    context = Context(composed.services, Nobody(new_id(), nobody, Role.ADMIN, platform=True))
    if kind == "subscription":
        stream = await schema.stream(query, variable_values=given, context_value=context)
        result = await anext(aiter(stream))
    else:
        result = await schema.execute(query, variable_values=given, context_value=context)
    if result.errors:
        return str(result.errors[0].extensions["code"])
    return str(result.data[name].get("code"))


def sample(kind: GraphQLInputType) -> Any:
    """Some value of an input type."""
    match kind:
        case GraphQLNonNull():
            return sample(kind.of_type)
        case GraphQLList():
            return [sample(kind.of_type)]
        case GraphQLEnumType():
            return next(iter(kind.values))
        case GraphQLInputObjectType():
            return {
                name: sample(field.type)
                for name, field in kind.fields.items()
                if isinstance(field.type, GraphQLNonNull)
            }
        case _:
            known = {"Int": 1, "Float": 1.0, "Boolean": True, "JSON": {}, "DateTime": "2030-01-31T12:00:00Z"}
            return known.get(kind.name, str(new_id()))  # type: ignore[union-attr]


def test_the_table_names_every_permission_and_lets_admins_do_everything() -> None:
    assert set(ALLOWED) == set(Permission)
    assert all(Role.ADMIN in roles for roles in ALLOWED.values())


def test_only_a_platform_admin_manages_tenants() -> None:
    ids = new_id(), Actor(ActorKind.API_KEY, new_id(), "a key")
    assert Caller(*ids, Role.ADMIN, platform=True).may(Permission.MANAGE_TENANTS)
    assert not Caller(*ids, Role.ADMIN).may(Permission.MANAGE_TENANTS)
    assert not Caller(*ids, Role.VIEWER, platform=True).may(Permission.MANAGE_TENANTS)
