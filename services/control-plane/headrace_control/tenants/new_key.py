"""What may be asked of a new API key."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.errors import InvalidInput, Problem

from headrace_control.auth.caller import OF_WORKFLOWS, Caller
from headrace_control.auth.granting import require_within_scope
from headrace_control.auth.permissions import ALLOWED, Permission
from headrace_control.auth.roles import Role

MAX_NAME = 100
MAX_WORKFLOWS = 50


@dataclass(frozen=True, slots=True)
class WantedKey:
    """A key as it is asked for. `permissions` narrow the role, None leaves it as it is; with `workflows` it is for runs
    of these alone. `expires_at` is aware."""

    name: str
    role: Role
    expires_at: datetime | None = None
    permissions: Sequence[Permission] | None = None
    workflows: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Ends:
    """When a new key may end. `longest`: what the deployment lets a key last; `with_maker`: when the key that asks for
    it ends itself. None: no such bound."""

    now: datetime
    longest: timedelta | None = None
    with_maker: datetime | None = None

    @property
    def latest(self) -> datetime | None:
        """The end of a key that is asked for without one; no key ends later. None: a key may be without end."""
        by_deployment = None if self.longest is None else self.now + self.longest
        return min((end for end in (by_deployment, self.with_maker) if end is not None), default=None)


def checked(wanted: WantedKey, caller: Caller, ends: Ends, there: Collection[str]) -> WantedKey:
    """`wanted`, fit to be issued; without a time to end it ends at the latest that it may. Of its workflows, those in
    `there` exist.

    Raises `InvalidInput` with every problem, and `Forbidden` when the key could do what its maker may not: nobody
    gets around the scope of a key, or its end, by making another one.
    """
    if problems := [
        *_name_problems(wanted),
        *_time_problems(wanted, ends),
        *_scope_problems(wanted),
        *_workflow_problems(wanted, there),
    ]:
        raise InvalidInput(problems)
    permissions = None if wanted.permissions is None else sorted(set(wanted.permissions))
    require_within_scope(caller, wanted.role, permissions)
    workflows = None if wanted.workflows is None else sorted(set(wanted.workflows))
    ends_at = wanted.expires_at or ends.latest
    return WantedKey(wanted.name.strip(), wanted.role, ends_at, permissions, workflows)


def _name_problems(wanted: WantedKey) -> list[Problem]:
    if 0 < len(wanted.name.strip()) <= MAX_NAME:
        return []
    return [Problem("name", "empty or too long", f"use 1 to {MAX_NAME} characters")]


def _time_problems(wanted: WantedKey, ends: Ends) -> list[Problem]:
    if wanted.expires_at is None:
        return []
    if wanted.expires_at <= ends.now:
        return [Problem("expiresAt", "this time is past", "give a time to come")]
    latest = ends.latest
    if latest is None or wanted.expires_at <= latest:
        return []
    words = "the key that asks ends sooner, and none that it makes outlives it"
    mend = (
        f"give a time until {latest.isoformat()}, or none; a person, or a key that ends later, can give more"
    )
    if ends.longest is not None and wanted.expires_at > ends.now + ends.longest:
        days = f"{ends.longest / timedelta(days=1):g} days"
        words = f"keys of this deployment last {days} at most"
        if latest != ends.with_maker:
            mend = f"give a time within {days}, or none: the key ends then"
    return [Problem("expiresAt", words, mend)]


def _workflow_problems(wanted: WantedKey, there: Collection[str]) -> list[Problem]:
    if wanted.workflows is None:
        return []
    if not 0 < len(wanted.workflows) <= MAX_WORKFLOWS:
        mend = f"name 1 to {MAX_WORKFLOWS}, or leave the list out for all workflows"
        return [Problem("workflows", "no workflow is named, or too many", mend)]
    problems = [
        Problem(f"workflows[{index}]", "there is no such workflow", "save a draft of it before")
        for index, name in enumerate(wanted.workflows)
        if name not in there
    ]
    if more := sorted(set(wanted.permissions or ()) - OF_WORKFLOWS):
        words = f"a key for named workflows can not be for {', '.join(more)}"
        mend = f"name {' or '.join(sorted(OF_WORKFLOWS))}, or leave the workflows out"
        problems.append(Problem("permissions", words, mend))
    return problems


def _scope_problems(wanted: WantedKey) -> list[Problem]:
    if wanted.permissions is None:
        return []
    if not wanted.permissions:
        mend = "name one at least, or leave the list out for all that the role allows"
        return [Problem("permissions", "a key without permissions can do nothing", mend)]
    return [
        Problem(
            f"permissions[{index}]",
            f"the role {wanted.role} does not allow {one}",
            "leave it out, or choose a role that allows it",
        )
        for index, one in enumerate(wanted.permissions)
        if wanted.role not in ALLOWED[one]
    ]
