"""Composes the services that stand behind the GraphQL API and the claims; `main` calls it once."""

from dataclasses import dataclass
from typing import Any

from headrace.logstore.port import LogStore
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy_file import load_policy
from headrace.outbound.pools import OutboundPools
from headrace.postgres.listen import Listener
from headrace.postgres.pool import Pool
from headrace.process import opening
from headrace.refusals.audit import Refusals
from headrace.refusals.tally import Tally

from headrace_control.apps.action_service import ActionService
from headrace_control.apps.service import AppService
from headrace_control.audit.refused_logins import RefusedLogins
from headrace_control.audit.service import AuditService
from headrace_control.auth.authenticator import Authenticator
from headrace_control.authorizations.http import CALLBACK
from headrace_control.authorizations.service import AuthorizationRules, AuthorizationService
from headrace_control.backfills.service import BackfillService
from headrace_control.callbacks.service import CallbackService
from headrace_control.connections.credentials import CredentialService
from headrace_control.connections.service import ConnectionService
from headrace_control.connections.trial import ConnectionTrial
from headrace_control.connections.turns import Turns
from headrace_control.dead_letters.nobodys_service import NobodysDeadLetterService
from headrace_control.dead_letters.service import DeadLetterService
from headrace_control.dry_runs.service import DryRunService
from headrace_control.hooks.service import HookService
from headrace_control.login.provider import IdentityProvider
from headrace_control.login.service import LoginRules, LoginService
from headrace_control.logs.service import LogService
from headrace_control.members.service import MemberService
from headrace_control.moves.service import MoveService
from headrace_control.policy.approvals import Approvals
from headrace_control.policy.service import PolicyService
from headrace_control.pools.service import PoolService
from headrace_control.quotas.service import QuotaService
from headrace_control.replays.service import ReplayService
from headrace_control.reruns.service import RerunService
from headrace_control.results.service import ResultService
from headrace_control.revisions.service import RevisionService
from headrace_control.rollouts.service import RolloutService
from headrace_control.run_credentials import OpenedForRuns
from headrace_control.runs.changes import RunChanges
from headrace_control.runs.nudges import Nudges
from headrace_control.runs.service import RunService
from headrace_control.scaling.service import ScalingService
from headrace_control.scaling.signals import Signals
from headrace_control.schedules.service import ScheduleService
from headrace_control.secrets.service import SecretService
from headrace_control.services import Services
from headrace_control.settings import AwsSettings, ControlPlaneSettings
from headrace_control.tenant_deletion.service import TenantDeletionService
from headrace_control.tenants.service import TenantService
from headrace_control.vault.open import OpenKeys
from headrace_control.vault.output_keys import OutputKeys
from headrace_control.vault.rotation import KeyRotation
from headrace_control.vault.shredding import KeyShredding
from headrace_control.vault.vault import Vault
from headrace_control.vault.wrapping import KeyWrapping
from headrace_control.waits.messages import MessageService
from headrace_control.waits.payloads import Payloads
from headrace_control.waits.service import WaitService
from headrace_control.webhooks.intake import WebhookIntake
from headrace_control.webhooks.results import Results
from headrace_control.webhooks.service import WebhookService
from headrace_control.workflows.reading import WorkflowReading
from headrace_control.workflows.service import WorkflowService


@dataclass(frozen=True, slots=True)
class Composed:
    """`credentials` is the internal API's; close it before its pool."""

    services: Services
    authenticator: Authenticator
    credentials: OpenedForRuns
    refreshes: CredentialService
    outbound: OutboundPools
    keys: OpenKeys
    approvals: Approvals
    refused_logins: RefusedLogins
    refusals: Refusals
    output_keys: OutputKeys
    nudges: Nudges

    @property
    def tallies(self) -> tuple[Tally[Any], ...]:
        """What was refused, counted until it is written to the audit."""
        return (self.refusals, self.refused_logins.tally, self.services.webhook_intake.refused_messages)

    async def close(self) -> None:
        """Wait for token refreshes under way, and for relays to be told, then close the connections to apps."""
        await self.refreshes.close()
        await self.nudges.close()
        await self.outbound.aclose()
        await self.keys.aclose()


def compose(
    settings: ControlPlaneSettings,
    api_pool: Pool,
    worker_pool: Pool,
    listener: Listener,
    log_store: LogStore,
    signals: Signals,
    aws: AwsSettings | None = None,
) -> Composed:
    """Raises `CanNotStart` when a key or the egress policy can not be read. To be called within the loop."""
    with opening("egress_policy_file"):
        pools = OutboundPools(load_policy(settings.egress_policy_file))
    outbound = OutboundClient(pools)
    keys = OpenKeys(settings, aws)
    vault = Vault(keys.provider)
    shredding = KeyShredding(api_pool, vault.provider)
    turns = Turns()
    credentials = CredentialService(api_pool, vault, outbound, turns, settings.token_endpoint_seconds)
    secrets = SecretService(api_pool, vault)
    payloads = Payloads()
    approvals = Approvals(api_pool, vault)
    refusals = Refusals(api_pool)
    output_keys = OutputKeys(api_pool, vault)
    reruns = RerunService(api_pool, output_keys)
    changes = RunChanges(listener)
    nudges = Nudges(api_pool)
    runs = RunService(api_pool, changes, output_keys, nudges)
    services = Services(
        tenants=TenantService(api_pool, worker_pool, settings.longest_api_key),
        tenant_deletions=TenantDeletionService(api_pool),
        login=_login(settings, api_pool, outbound),
        members=MemberService(api_pool, settings.invitations_last),
        apps=AppService(api_pool),
        actions=ActionService(api_pool),
        connections=ConnectionService(api_pool, vault),
        authorizations=AuthorizationService(api_pool, vault, outbound, turns, _authorization_rules(settings)),
        trials=ConnectionTrial(api_pool, credentials, outbound),
        secrets=secrets,
        key_rotation=KeyRotation(api_pool, vault),
        key_wrapping=KeyWrapping(api_pool, vault.provider),
        key_shredding=shredding,
        policy=PolicyService(api_pool),
        pools=PoolService(api_pool, worker_pool),
        quotas=QuotaService(api_pool),
        workflows=WorkflowService(api_pool),
        workflow_reading=WorkflowReading(api_pool),
        rollouts=RolloutService(api_pool),
        runs=runs,
        schedules=ScheduleService(api_pool),
        backfills=BackfillService(api_pool),
        moves=MoveService(api_pool),
        reruns=reruns,
        dry_runs=DryRunService(api_pool, output_keys),
        revisions=RevisionService(api_pool, runs),
        dead_letters=DeadLetterService(api_pool),
        nobodys_dead_letters=NobodysDeadLetterService(worker_pool),
        replays=ReplayService(api_pool, reruns, output_keys),
        results=ResultService(api_pool),
        waits=WaitService(api_pool, payloads, approvals),
        messages=MessageService(api_pool, payloads),
        callbacks=CallbackService(api_pool, vault, payloads, settings.public_base, refusals.note),
        webhooks=WebhookService(api_pool, vault, settings.public_base),
        webhook_intake=WebhookIntake(
            api_pool, vault, output_keys, Results(api_pool, changes), refusals.note, settings.rate_per_webhook
        ),
        hooks=HookService(api_pool, vault),
        logs=LogService(log_store),
        scaling=ScalingService(signals),
        audit=AuditService(api_pool),
    )
    for_runs = OpenedForRuns(credentials, secrets, output_keys, shredding)
    refused_logins = RefusedLogins(api_pool)
    authenticator = Authenticator(api_pool, settings.session_idle, refused_logins.note)
    return Composed(
        services,
        authenticator,
        for_runs,
        credentials,
        pools,
        keys,
        approvals,
        refused_logins,
        refusals,
        output_keys,
        nudges,
    )


def _authorization_rules(settings: ControlPlaneSettings) -> AuthorizationRules:
    redirects = frozenset(settings.authorization_redirects.split())
    return AuthorizationRules(f"{settings.public_base}{CALLBACK}", redirects, settings.token_endpoint_seconds)


def _login(settings: ControlPlaneSettings, api_pool: Pool, outbound: OutboundClient) -> LoginService:
    callback = f"{settings.public_base}/auth/callback"
    rules = LoginRules(callback, frozenset(settings.login_redirects.split()), settings.session_lasts)
    provider = IdentityProvider(settings.oidc, outbound) if settings.oidc else None
    return LoginService(api_pool, provider, rules)
