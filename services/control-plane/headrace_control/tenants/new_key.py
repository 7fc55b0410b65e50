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


def checked(
    wanted: WantedKey, caller: Caller, now: datetime, longest: timedelta | None, there: Collection[str]
) -> WantedKey:
    """`wanted`, fit to be issued; without a time to end it ends when the `longest` life does. Of its workflows, those
    in `there` exist.

    Raises `InvalidInput` with every problem, and `Forbidden` when the key could do what its maker may not: nobody
    gets around the scope of a key by making another one.
    """
    if problems := [
        *_name_problems(wanted),
        *_time_problems(wanted, now, longest),
        *_scope_problems(wanted),
        *_workflow_problems(wanted, there),
    ]:
        raise InvalidInput(problems)
    permissions = None if wanted.permissions is None else sorted(set(wanted.permissions))
    require_within_scope(caller, wanted.role, permissions)
    ends = wanted.expires_at or (now + longest if longest else None)
    workflows = None if wanted.workflows is None else sorted(set(wanted.workflows))
    return WantedKey(wanted.name.strip(), wanted.role, ends, permissions, workflows)


def _name_problems(wanted: WantedKey) -> list[Problem]:
    if 0 < len(wanted.name.strip()) <= MAX_NAME:
        return []
    return [Problem("name", "empty or too long", f"use 1 to {MAX_NAME} characters")]


def _time_problems(wanted: WantedKey, now: datetime, longest: timedelta | None) -> list[Problem]:
    if wanted.expires_at is None:
        return []
    if wanted.expires_at <= now:
        return [Problem("expiresAt", "this time is past", "give a time to come")]
    if longest is not None and wanted.expires_at > now + longest:
        days = longest / timedelta(days=1)
        mend = f"give a time within {days:g} days, or none: the key ends then"
        return [Problem("expiresAt", f"keys of this deployment last {days:g} days at most", mend)]
    return []


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
