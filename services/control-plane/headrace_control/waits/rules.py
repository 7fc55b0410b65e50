"""Who may decide an approval: the caller's role, and what the approval's step says."""

from collections.abc import Sequence

from headrace.json_types import Json

from headrace_control.auth.caller import Actor, ActorKind, Caller
from headrace_control.waits.model import Wait


def refusal(wait: Wait, caller: Caller) -> str | None:
    """Why this one may not decide; None: may.

    With `roles` or `members` given, one of them has to fit: the role, in upper or lower case, or the name. One with an
    @ is a member's e-mail address, any other a key's name, so that no key passes for a person by what it is called.
    """
    if wait.data.get("notStarter") and wait.started_by == caller.person:
        return "who started the run may not decide this approval"
    if wait.data.get("twoPerson") and caller.person in (wait.started_by, wait.published_by):
        return "this approval takes two persons: not who started the run, nor who published its version"
    roles, members = _texts(wait.data.get("roles")), _texts(wait.data.get("members"))
    if not roles and not members:
        return None
    if caller.role in {role.upper() for role in roles} or any(_is(caller.actor, one) for one in members):
        return None
    named = [f"the role {role.upper()}" for role in roles] + [f"`{member}`" for member in members]
    return f"this approval is for {' or '.join(named)}"


def _is(actor: Actor, member: str) -> bool:
    if "@" in member:
        return actor.kind is ActorKind.MEMBER and actor.name == member.lower()
    return actor.kind is ActorKind.API_KEY and actor.name == member


def _texts(value: Json) -> Sequence[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else ()
