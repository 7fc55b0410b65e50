"""The policy gate's rules: an action's class, by what it declares, the default policy and its tenant's rules. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from headrace.json_types import JsonObject

from headrace_control.auth.roles import Role

# How long a request for approval stays open, and an approval can be used, where no rule says otherwise.
EXPIRES_AFTER_MS = 7 * 24 * 3600 * 1000


class ApprovalClass(StrEnum):
    """In the order of strictness; `max` is the stricter."""

    A = "A"  # runs by itself
    B = "B"  # asks for a person's approval before each run's call
    C = "C"  # never runs


class PolicySource(StrEnum):
    """Where an action's class comes from."""

    RULE = "RULE"  # the tenant's own
    DECLARED = "DECLARED"  # the action's definition
    DEFAULT = "DEFAULT"  # the default policy, by the action's name
    UNKNOWN = "UNKNOWN"  # nobody says anything of it


# The default policy's lists of the origin documents, by normalised name.
_DEFAULTS: Mapping[ApprovalClass, frozenset[str]] = MappingProxyType(
    {
        ApprovalClass.A: frozenset(
            {
                "read_status",
                "collect_signals",
                "summarize",
                "classify",
                "tag",
                "internal_status_update",
                "research",
                "generate_draft",
                "plan",
                "predictive_analysis",
            }
        ),
        ApprovalClass.B: frozenset(
            {
                "send_whatsapp",
                "send_email",
                "send_linkedin",
                "trigger_voice_call",
                "sync_salesforce",
                "create_charge",
                "publish_content",
                "change_billing_state",
                "modify_lead_routing",
                "send_contract_for_signature",
                "video_generate",
                "music_generate",
            }
        ),
        ApprovalClass.C: frozenset(
            {
                "exfiltrate_secrets",
                "delete_data_without_audit",
                "bypass_auth",
                "publish_without_approval",
                "destructive_unchecked",
            }
        ),
    }
)


@dataclass(frozen=True, slots=True)
class Terms:
    """How an approval is given. `roles`: one of them decides, any that may if none is named. `two_person`: neither who
    started the run nor who published its version decides."""

    two_person: bool = False
    roles: tuple[Role, ...] = ()
    expires_after_ms: int = EXPIRES_AFTER_MS


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class Rule:
    """What a tenant says of an action, or with `action` None of all of an app's.

    Without a `reason` it only tightens: it can not make an action's class looser than it is without the rule.
    """

    app: str
    action: str | None
    approval_class: ApprovalClass
    terms: Terms = PLAIN
    reason: str = ""
    set_by: str = ""
    set_at: datetime | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        return f"{self.app}/{self.action or '*'}"

    def as_json(self) -> JsonObject:
        return {
            "app": self.app,
            "action": self.action,
            "approvalClass": self.approval_class,
            "twoPerson": self.terms.two_person,
            "approverRoles": list(self.terms.roles),
            "expiresAfterMs": self.terms.expires_after_ms,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class Effective:
    """The class of an action as it holds, and why."""

    approval_class: ApprovalClass
    source: PolicySource
    reason: str
    terms: Terms = PLAIN

    @property
    def is_for_good(self) -> bool:
        """Whether no rule of a tenant can allow the action."""
        return self.approval_class is ApprovalClass.C and self.source is PolicySource.DEFAULT


class Rules:
    """A tenant's rules, as far as they were read."""

    def __init__(self, rules: Iterable[Rule] = ()) -> None:
        self._rules = {(rule.app, rule.action): rule for rule in rules}

    def effective(self, app: str, action: str, declared: str | None) -> Effective:
        """What holds for the action `app/action` that declares the class `declared`, if any.

        The rule for the action goes before the one for its app. What the default policy forbids stays forbidden.
        """
        plain = without_rules(action, declared)
        rule = self._rules.get((app, action)) or self._rules.get((app, None))
        if rule is None or plain.is_for_good:
            return plain
        if not rule.reason and plain.approval_class > rule.approval_class:
            return Effective(plain.approval_class, plain.source, plain.reason, rule.terms)
        said = f": {rule.reason}" if rule.reason else ""
        why = f"`{rule.set_by}` has set a rule for {rule.name}{said}"
        return Effective(rule.approval_class, PolicySource.RULE, why, rule.terms)

    def of_app(self, app: str) -> Rule | None:
        """The rule for all of an app's actions that have none of their own."""
        return self._rules.get((app, None))

    def with_rule(self, rule: Rule) -> "Rules":
        return Rules([*self._rules.values(), rule])

    def without_rule(self, app: str, action: str | None) -> "Rules":
        return Rules(rule for key, rule in self._rules.items() if key != (app, action))


def without_rules(action: str, declared: str | None) -> Effective:
    """The stricter of what the action declares and what the default policy says of its name. Unknown means B."""
    default = default_class(action)
    said = ApprovalClass(declared) if declared is not None else None
    if default is not None and (said is None or default >= said):
        return Effective(
            default, PolicySource.DEFAULT, f"the default policy says so of `{normalised(action)}`"
        )
    if said is not None:
        return Effective(said, PolicySource.DECLARED, "the action declares it")
    return Effective(ApprovalClass.B, PolicySource.UNKNOWN, "nothing is known of the action")


def default_class(action: str) -> ApprovalClass | None:
    """What the default policy says of an action's name; None: nothing."""
    name = normalised(action)
    return next((listed for listed, names in _DEFAULTS.items() if name in names), None)


def normalised(action: str) -> str:
    return action.lower().replace("-", "_")


def loosens(before: Sequence[Effective], after: Sequence[Effective]) -> bool:
    """Whether any action, one by one in both, is held less strictly after than before."""
    return any(_is_looser(new, old) for old, new in zip(before, after, strict=True))


def _is_looser(new: Effective, old: Effective) -> bool:
    if new.approval_class is not old.approval_class:
        return new.approval_class < old.approval_class
    if new.approval_class is not ApprovalClass.B:
        return False
    roles = bool(old.terms.roles) and not (new.terms.roles and set(new.terms.roles) <= set(old.terms.roles))
    return (
        roles
        or (old.terms.two_person and not new.terms.two_person)
        or new.terms.expires_after_ms > old.terms.expires_after_ms
    )
