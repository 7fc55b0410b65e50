"""What the GraphQL API stands on: one service for each noun, composed by `main`."""

from dataclasses import dataclass

from headrace_control.apps.action_service import ActionService
from headrace_control.apps.service import AppService
from headrace_control.audit.service import AuditService
from headrace_control.authorizations.service import AuthorizationService
from headrace_control.backfills.service import BackfillService
from headrace_control.callbacks.service import CallbackService
from headrace_control.connections.service import ConnectionService
from headrace_control.connections.trial import ConnectionTrial
from headrace_control.dead_letters.nobodys_service import NobodysDeadLetterService
from headrace_control.dead_letters.service import DeadLetterService
from headrace_control.dry_runs.service import DryRunService
from headrace_control.hooks.service import HookService
from headrace_control.login.service import LoginService
from headrace_control.logs.service import LogService
from headrace_control.members.service import MemberService
from headrace_control.moves.service import MoveService
from headrace_control.policy.service import PolicyService
from headrace_control.pools.service import PoolService
from headrace_control.quotas.service import QuotaService
from headrace_control.replays.service import ReplayService
from headrace_control.reruns.service import RerunService
from headrace_control.results.service import ResultService
from headrace_control.revisions.service import RevisionService
from headrace_control.rollouts.service import RolloutService
from headrace_control.runs.service import RunService
from headrace_control.scaling.service import ScalingService
from headrace_control.schedules.service import ScheduleService
from headrace_control.secrets.service import SecretService
from headrace_control.tenant_deletion.service import TenantDeletionService
from headrace_control.tenants.service import TenantService
from headrace_control.vault.rotation import KeyRotation
from headrace_control.vault.shredding import KeyShredding
from headrace_control.vault.wrapping import KeyWrapping
from headrace_control.waits.messages import MessageService
from headrace_control.waits.service import WaitService
from headrace_control.webhooks.intake import WebhookIntake
from headrace_control.webhooks.service import WebhookService
from headrace_control.workflows.reading import WorkflowReading
from headrace_control.workflows.service import WorkflowService


@dataclass(frozen=True, slots=True)
class Services:
    """Reached by resolvers as `info.context.services`."""

    tenants: TenantService
    tenant_deletions: TenantDeletionService
    login: LoginService
    members: MemberService
    apps: AppService
    actions: ActionService
    connections: ConnectionService
    authorizations: AuthorizationService
    trials: ConnectionTrial
    secrets: SecretService
    key_rotation: KeyRotation
    key_wrapping: KeyWrapping
    key_shredding: KeyShredding
    policy: PolicyService
    pools: PoolService
    quotas: QuotaService
    workflows: WorkflowService
    workflow_reading: WorkflowReading
    rollouts: RolloutService
    runs: RunService
    schedules: ScheduleService
    backfills: BackfillService
    moves: MoveService
    reruns: RerunService
    dry_runs: DryRunService
    revisions: RevisionService
    dead_letters: DeadLetterService
    nobodys_dead_letters: NobodysDeadLetterService
    replays: ReplayService
    results: ResultService
    waits: WaitService
    messages: MessageService
    callbacks: CallbackService
    webhooks: WebhookService
    webhook_intake: WebhookIntake
    hooks: HookService
    logs: LogService
    scaling: ScalingService
    audit: AuditService
