"""`headrace policy`: which actions run by themselves, ask for approval, or never run."""

from typing import Annotated, Any

import typer
from headrace_control.policy.model import ApprovalClass

from headrace_cli.client import FAILURES
from headrace_cli.command import Session, command
from headrace_cli.output import cells, safe, table
from headrace_cli.page_options import After, First

_FIELDS = "app action approvalClass twoPerson approverRoles expiresAfterMs reason setBy setAt"
_SET = (
    """
mutation Set($app: String!, $action: String, $class: ApprovalClass!, $two: Boolean!, $roles: [Role!], $reason: String!,
    $expires: Int) {
  setPolicyRule(app: $app, action: $action, approvalClass: $class, twoPerson: $two, approverRoles: $roles,
    reason: $reason, expiresAfterMs: $expires) { ... on PolicyRule { """
    + _FIELDS
    + """ } ...Failures }
}"""
    + FAILURES
)
_REMOVE = (
    """
mutation Remove($app: String!, $action: String, $reason: String!) {
  removePolicyRule(app: $app, action: $action, reason: $reason) {
    ... on RemovedPolicyRule { rule { """
    + _FIELDS
    + """ } } ...Failures }
}"""
    + FAILURES
)
_RULES = (
    """
query Rules($first: Int!, $after: String) {
  policyRules(first: $first, after: $after) { items { """
    + _FIELDS
    + """ } pageInfo { hasNextPage endCursor } }
}"""
)
_EFFECTIVE = """
query Effective($app: String!, $action: String!) {
  effectivePolicy(app: $app, action: $action) {
    approvalClass source reason twoPerson approverRoles expiresAfterMs
  }
}"""
_MINUTE = 60_000
_WEEK = 7 * 24 * 60

What = Annotated[str, typer.Argument(metavar="APP[/ACTION]", help="An action, or all actions of an app.")]
Reason = Annotated[str, typer.Option(help="Why; needed for what loosens, and kept for good.")]


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Which actions run by themselves, and who approves others.", no_args_is_help=True
    )
    command(group, "list")(rules)
    command(group, "show")(show)
    command(group, "set")(put)
    command(group, "remove")(remove)
    app.add_typer(group, name="policy")


async def rules(
    session: Session,
    first: First = 50,
    after: After = None,
) -> None:
    """List the tenant's policy rules."""
    async with session.client() as client:
        found = (await client.execute(_RULES, {"first": first, "after": after}))["policyRules"]
    session.output.result(found)
    shown = table("action", "class", "approved by", "reason", "set by")
    for rule in found["items"]:
        shown.add_row(
            *cells(_name(rule), rule["approvalClass"], _approvers(rule), rule["reason"], rule["setBy"])
        )
    session.output.show(shown)
    session.output.more(found["pageInfo"])


async def show(
    session: Session, action: Annotated[str, typer.Argument(metavar="APP/ACTION", help="The action.")]
) -> None:
    """Tell what holds for an action now, and why."""
    app, _, name = action.partition("/")
    async with session.client() as client:
        found = (await client.execute(_EFFECTIVE, {"app": app, "action": name}))["effectivePolicy"]
    session.output.result(found)
    by = f", approved by {_approvers(found)}" if found["approvalClass"] == "B" else ""
    session.output.say(f"{safe(action)} is class {found['approvalClass']}{by}: {safe(found['reason'])}")


async def put(
    session: Session,
    what: What,
    held: Annotated[
        ApprovalClass, typer.Argument(metavar="CLASS", help="A runs, B asks first, C never runs.")
    ],
    two_person: Annotated[
        bool, typer.Option("--two-person", help="Not by who started the run or published its version.")
    ] = False,
    role: Annotated[list[str] | None, typer.Option(help="A role that approves; may be given again.")] = None,
    expires: Annotated[
        int, typer.Option(min=1, help="Minutes for which a request, and an approval, is good.")
    ] = _WEEK,
    reason: Reason = "",
) -> None:
    """Say how an action, or all of an app's, is held."""
    app, _, action = what.partition("/")
    variables = {
        "app": app,
        "action": action or None,
        "class": held.value,
        "two": two_person,
        "roles": role or [],
        "expires": expires * _MINUTE,
        "reason": reason,
    }
    async with session.client() as client:
        made = (await client.execute(_SET, variables))["setPolicyRule"]
    session.output.result(made)
    session.output.say(f"{safe(_name(made))} is class {made['approvalClass']} now")


async def remove(session: Session, what: What, reason: Reason = "") -> None:
    """Take a rule away."""
    app, _, action = what.partition("/")
    variables = {"app": app, "action": action or None, "reason": reason}
    async with session.client() as client:
        removed = (await client.execute(_REMOVE, variables))["removePolicyRule"]["rule"]
    session.output.result(removed)
    session.output.say(f"the rule for {safe(_name(removed))} is gone")


def _name(rule: dict[str, Any]) -> str:
    return f"{rule['app']}/{rule['action'] or '*'}"


def _approvers(rule: dict[str, Any]) -> str:
    roles = ", ".join(rule["approverRoles"]) or "any that may decide"
    return f"{roles}, two persons" if rule["twoPerson"] else roles
