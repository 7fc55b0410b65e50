"""Policy rules in GraphQL."""

from datetime import datetime
from typing import Annotated

import strawberry

from headrace_control.graphql.context import Info
from headrace_control.graphql.enums import Role
from headrace_control.graphql.failures import Failed
from headrace_control.graphql.fields import mutation, query
from headrace_control.graphql.pages import Page, page
from headrace_control.pages import DEFAULT_PAGE
from headrace_control.policy import model

strawberry.enum(
    model.ApprovalClass,
    description="A runs by itself. B asks for a person's approval first. C never runs.",
)
strawberry.enum(
    model.PolicySource,
    description="Where a class comes from: a rule of the tenant, the action, the default policy; or nobody knows.",
)


@strawberry.type(name="PolicyRule", description="What the tenant says of an action, or of all of an app's.")
class PolicyRuleType:
    app: str
    action: str | None = strawberry.field(
        description="None: all actions of the app without a rule of their own."
    )
    approval_class: model.ApprovalClass
    two_person: bool = strawberry.field(
        description="Neither who started the run nor who published its version approves."
    )
    approver_roles: list[Role] = strawberry.field(
        description="One of these roles approves; any that may decide when none is named."
    )
    expires_after_ms: int = strawberry.field(
        description="How long a request for approval stays open, and an approval can be used."
    )
    reason: str = strawberry.field(description='Why; "" of a rule that only tightens.')
    set_by: str
    set_at: datetime | None

    @classmethod
    def of(cls, rule: model.Rule) -> "PolicyRuleType":
        return cls(
            app=rule.app,
            action=rule.action,
            approval_class=rule.approval_class,
            two_person=rule.terms.two_person,
            approver_roles=list(rule.terms.roles),
            expires_after_ms=rule.terms.expires_after_ms,
            reason=rule.reason,
            set_by=rule.set_by,
            set_at=rule.set_at,
        )


@strawberry.type(name="EffectivePolicy", description="What holds for an action now, and why.")
class EffectivePolicyType:
    approval_class: model.ApprovalClass
    source: model.PolicySource
    reason: str
    two_person: bool
    approver_roles: list[Role]
    expires_after_ms: int

    @classmethod
    def of(cls, found: model.Effective) -> "EffectivePolicyType":
        return cls(
            approval_class=found.approval_class,
            source=found.source,
            reason=found.reason,
            two_person=found.terms.two_person,
            approver_roles=list(found.terms.roles),
            expires_after_ms=found.terms.expires_after_ms,
        )


@strawberry.type(description="A policy rule that is there no more.")
class RemovedPolicyRule:
    rule: PolicyRuleType


SetPolicyRulePayload = Annotated[PolicyRuleType | Failed, strawberry.union("SetPolicyRulePayload")]
RemovePolicyRulePayload = Annotated[RemovedPolicyRule | Failed, strawberry.union("RemovePolicyRulePayload")]


@strawberry.type
class PolicyQuery:
    @query
    async def policy_rules(
        self, info: Info, first: int = DEFAULT_PAGE, after: str | None = None
    ) -> Page[PolicyRuleType]:
        """The tenant's policy rules, by app and action; an app's own first."""
        found = await info.context.services.policy.rules(info.context.caller, first, after)
        return page(found, PolicyRuleType.of)

    @query
    async def effective_policy(self, info: Info, app: str, action: str) -> EffectivePolicyType | None:
        """What holds for the newest revision of an action: the tenant's rule, else the stricter of what the action
        declares and what the default policy says of its name."""
        found = await info.context.services.policy.effective(info.context.caller, app, action)
        return EffectivePolicyType.of(found)


@strawberry.type
class PolicyMutation:
    @mutation
    async def set_policy_rule(
        self,
        info: Info,
        app: str,
        approval_class: model.ApprovalClass,
        action: str | None = None,
        two_person: bool = False,
        approver_roles: list[Role] | None = None,
        expires_after_ms: int = model.EXPIRES_AFTER_MS,
        reason: str = "",
    ) -> SetPolicyRulePayload:
        """Say how an action, or with null all of an app's, is held; replaces the rule that is there.

        A rule that loosens needs a reason, which is kept for good. What the default policy forbids stays forbidden.
        """
        terms = model.Terms(two_person, tuple(dict.fromkeys(approver_roles or ())), expires_after_ms)
        rule = model.Rule(app, action, approval_class, terms, reason.strip())
        return PolicyRuleType.of(await info.context.services.policy.set_rule(info.context.caller, rule))

    @mutation
    async def remove_policy_rule(
        self, info: Info, app: str, action: str | None = None, reason: str = ""
    ) -> RemovePolicyRulePayload:
        """Take a rule away. Where that loosens, a reason is needed."""
        removed = await info.context.services.policy.remove_rule(info.context.caller, app, action, reason)
        return RemovedPolicyRule(rule=PolicyRuleType.of(removed.rule))
