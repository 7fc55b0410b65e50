"""A tenant's policy rules: set, remove, list, and what holds for an action."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from headrace.errors import InvalidInput, LimitExceeded, NotFound, Problem
from headrace.postgres.pool import Db, Pool, tenant_transaction

from headrace_control.audit.record import Act, record
from headrace_control.auth.caller import Caller
from headrace_control.auth.permissions import ALLOWED, Permission
from headrace_control.pages import Cursor, PageOf, page_of, page_size
from headrace_control.policy import repository
from headrace_control.policy.model import (
    ApprovalClass,
    Effective,
    Rule,
    Rules,
    default_class,
    loosens,
    normalised,
)

_RULES = Cursor("policyRules")

MAX_RULES = 2_000
MAX_REASON = 1_000
MIN_EXPIRY_MS = 60_000
MAX_EXPIRY_MS = 14 * 24 * 3600 * 1000
_NOTHING = "the rule loosens what holds without it, and gives no reason"


@dataclass(frozen=True, slots=True)
class RemovedRule:
    """A rule that is there no more."""

    rule: Rule


class PolicyService:
    """Policy rules, over a pool of the role headrace_api."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def set_rule(self, caller: Caller, rule: Rule) -> Rule:
        """Make `rule` hold from now on: for what is published, and for runs with their next claim.

        Raises `NotFound` when there is no such app or action, and `InvalidInput`: for a rule that loosens without a
        reason, for one that allows what the default policy forbids, and for terms out of range.
        """
        caller.require(Permission.MANAGE_POLICY)
        tenant_id = caller.tenant_id
        if problems := [*_class_problems(rule), *_term_problems(rule), *_reason_problems(rule.reason)]:
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, tenant_id) as db:
            before, there = await self._lock(db, tenant_id, rule.app, rule.action)
            loose = await _loosens(db, tenant_id, before, before.with_rule(_with_some_reason(rule)), rule)
            if loose and not rule.reason.strip():
                raise InvalidInput([_no_reason()])
            if there is None and await repository.count_rules(db, tenant_id) >= MAX_RULES:
                raise LimitExceeded(f"a tenant has {MAX_RULES} policy rules at most; remove some")
            made = await repository.put_rule(db, tenant_id, rule, caller.actor)
            await record(
                db,
                caller,
                Act(
                    "policy_rule.set",
                    f"policy_rule/{rule.name}",
                    before=there.as_json() if there else None,
                    after=rule.as_json(),
                    detail={
                        "approvalClass": rule.approval_class,
                        "was": there.approval_class if there else None,
                        "loosens": loose,
                        "reason": rule.reason,
                    },
                ),
            )
        return made

    async def remove_rule(self, caller: Caller, app: str, action: str | None, reason: str) -> RemovedRule:
        """Take a rule away. Raises `NotFound`, and `InvalidInput` when that loosens and `reason` is empty."""
        caller.require(Permission.MANAGE_POLICY)
        tenant_id = caller.tenant_id
        if problems := _reason_problems(reason):
            raise InvalidInput(problems)
        async with tenant_transaction(self._pool, tenant_id) as db:
            rules = await repository.lock_rules(db, tenant_id, app)
            rule = next((rule for rule in rules if rule.action == action), None)
            if rule is None:
                raise NotFound("policy rule")
            before = Rules(rules)
            loose = await _loosens(db, tenant_id, before, before.without_rule(app, action), rule)
            if loose and not reason.strip():
                raise InvalidInput([_no_reason()])
            await repository.delete_rule(db, tenant_id, rule)
            detail = {"was": rule.approval_class.value, "loosens": loose, "reason": reason}
            act = Act("policy_rule.remove", f"policy_rule/{rule.name}", before=rule.as_json(), detail=detail)
            await record(db, caller, act)
        return RemovedRule(rule)

    async def rules(self, caller: Caller, first: int, after: str | None) -> PageOf[Rule]:
        """By app and action; an app's own first."""
        caller.require(Permission.READ)
        limit, key = page_size(first), _RULES.read(after, parts=2)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            place = (key[0], key[1]) if key else ("", "")
            found = await repository.rules_after(db, caller.tenant_id, place, limit + 1)
        return page_of(found, limit, lambda rule: _RULES.write(rule.app, rule.action or ""))

    async def effective(self, caller: Caller, app: str, action: str) -> Effective:
        """What holds for the newest revision of an action. Raises `NotFound`."""
        caller.require(Permission.READ)
        async with tenant_transaction(self._pool, caller.tenant_id) as db:
            found = await repository.declared(db, caller.tenant_id, app, action)
            rules = await repository.rules_of(db, caller.tenant_id, [app])
        if action not in found:
            raise NotFound("action")
        return rules.effective(app, action, found[action])

    async def _lock(self, db: Db, tenant_id: UUID, app: str, action: str | None) -> tuple[Rules, Rule | None]:
        """All rules of an app that is there, and the one for the action."""
        if not await repository.lock_app(db, tenant_id, app):
            raise NotFound("app")
        if action is not None and not await repository.declared(db, tenant_id, app, action):
            raise NotFound("action")
        rules = await repository.lock_rules(db, tenant_id, app)
        return Rules(rules), next((rule for rule in rules if rule.action == action), None)


async def _loosens(db: Db, tenant_id: UUID, before: Rules, after: Rules, rule: Rule) -> bool:
    """Whether an action that `rule` is about is held less strictly. A rule for an app is about actions to come, too."""
    names = await repository.declared(db, tenant_id, rule.app, rule.action)
    actions: Sequence[tuple[str, str | None]] = [*names.items()]
    if rule.action is None:
        actions = [*actions, ("", None)]
    return loosens(
        [before.effective(rule.app, name, said) for name, said in actions],
        [after.effective(rule.app, name, said) for name, said in actions],
    )


def _with_some_reason(rule: Rule) -> Rule:
    """The rule as it is meant, for one without a reason has no effect where it would loosen."""
    return Rule(rule.app, rule.action, rule.approval_class, rule.terms, rule.reason or "-")


def _no_reason() -> Problem:
    return Problem("reason", _NOTHING, "Say why; it is kept for good with your name.", "REASON_NEEDED")


def _reason_problems(reason: str) -> list[Problem]:
    if len(reason) > MAX_REASON or "\0" in reason:
        words = f"a text of {MAX_REASON} characters at most is needed"
        return [Problem("reason", words, "Shorten it.")]
    return []


def _class_problems(rule: Rule) -> list[Problem]:
    if rule.action is None or rule.approval_class is ApprovalClass.C:
        return []
    if default_class(rule.action) is not ApprovalClass.C:
        return []
    words = f"the default policy forbids `{normalised(rule.action)}`, and no rule can allow it"
    return [Problem("approvalClass", words, "Leave the rule out, or write C.", "FORBIDDEN_BY_DEFAULT")]


def _term_problems(rule: Rule) -> list[Problem]:
    problems = []
    if not MIN_EXPIRY_MS <= rule.terms.expires_after_ms <= MAX_EXPIRY_MS:
        words = f"a number of {MIN_EXPIRY_MS} (a minute) to {MAX_EXPIRY_MS} (two weeks) is needed"
        problems.append(Problem("expiresAfterMs", words, "Write milliseconds within the range."))
    deciding = ALLOWED[Permission.DECIDE]
    for n, role in enumerate(rule.terms.roles):
        if role not in deciding:
            mend = f"Name roles that may: {', '.join(sorted(deciding))}."
            problems.append(Problem(f"approverRoles[{n}]", f"the role {role} may not decide", mend))
    return problems
