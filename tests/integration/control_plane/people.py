"""Members of tenants in tests."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.ids import new_id
from headrace.postgres.pool import Pool
from headrace_control.auth.roles import Role
from headrace_control.auth.tokens import TokenKind, mint_token

from tests.integration.control_plane.conftest import Client

MEMBER = "__typename ... on Member { id email role status } ... on Failure { code message }"


async def joined(owner: Pool, client: Client, email: str, role: Role) -> tuple[str, Client]:
    """The id of an active member of the client's tenant, and a client with a session of theirs. As the log-in makes
    them, without an identity provider."""
    tenant = UUID((await client("{ tenant { id } }"))["tenant"]["id"])
    member = new_id()
    await owner.execute(
        """INSERT INTO members (tenant_id, id, email, role, status, issuer, subject, invited_by, joined_at)
           VALUES ($1, $2, $3, $4, 'ACTIVE', 'https://issuer.test', $3, 'test', headrace_now())""",
        tenant,
        member,
        email,
        role,
    )
    return str(member), await session(owner, client, tenant, member)


async def session(
    owner: Pool, client: Client, tenant: UUID, member: UUID, lasts: timedelta = timedelta(hours=1)
) -> Client:
    token = mint_token(TokenKind.SESSION)
    await owner.execute(
        """INSERT INTO sessions (tenant_id, id, member_id, hash, expires_at)
           VALUES ($1, $2, $3, $4, headrace_now() + $5)""",
        tenant,
        new_id(),
        member,
        token.hash,
        lasts,
    )
    return Client(client.http, token.text)


async def invite(client: Client, email: str, role: Role = Role.VIEWER) -> Any:
    made = await client(
        "mutation($email: String!, $role: Role!) { inviteMember(email: $email, role: $role) {"
        " ... on IssuedInvitation { code member { id email role status invitedBy } }"
        " ... on Failure { code message } } }",
        email=email,
        role=role,
    )
    return made["inviteMember"]


async def change_role(client: Client, member: str, role: Role) -> Any:
    query = "mutation($id: ID!, $role: Role!) { changeMemberRole(id: $id, role: $role) { " + MEMBER + "} }"
    return (await client(query, id=member, role=role))["changeMemberRole"]


async def remove(client: Client, member: str) -> Any:
    query = "mutation($id: ID!) { removeMember(id: $id) { " + MEMBER + "} }"
    return (await client(query, id=member))["removeMember"]
