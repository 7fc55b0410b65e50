"""The schema: the slices' fields, joined."""

from datetime import datetime
from functools import cache
from typing import Any

import strawberry
from graphql import GraphQLSchema
from strawberry.extensions import SchemaExtension
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from headrace_control.apps.action_graphql import ActionMutation, ActionQuery
from headrace_control.apps.graphql import AppMutation, AppQuery
from headrace_control.audit.graphql import AuditQuery
from headrace_control.authorizations.graphql import AuthorizationMutation
from headrace_control.backfills.graphql import BackfillMutation, BackfillQuery
from headrace_control.connections.graphql import ConnectionMutation, ConnectionQuery
from headrace_control.dead_letters.graphql import DeadLetterMutation, DeadLetterQuery
from headrace_control.dead_letters.nobodys_graphql import NobodysDeadLetterMutation, NobodysDeadLetterQuery
from headrace_control.dry_runs.graphql import DryRunMutation, DryRunQuery
from headrace_control.graphql.documents import KnownDocuments
from headrace_control.graphql.errors import stable_error
from headrace_control.graphql.limits import OperationLimits
from headrace_control.graphql.operations import Operation
from headrace_control.graphql.scalars import DATE_TIME_SCALAR, JSON, JSON_SCALAR
from headrace_control.hooks.graphql import HookMutation, HookQuery
from headrace_control.logs.graphql import LogsQuery, LogsSubscription
from headrace_control.members.graphql import MemberMutation, MemberQuery
from headrace_control.moves.graphql import MoveMutation, MoveQuery
from headrace_control.policy.graphql import PolicyMutation, PolicyQuery
from headrace_control.pools.graphql import PoolMutation, PoolQuery
from headrace_control.quotas.graphql import QuotaMutation, QuotaQuery
from headrace_control.replays.graphql import ReplayMutation, ReplayQuery
from headrace_control.reruns.graphql import RerunMutation, RerunQuery
from headrace_control.results.graphql import ResultMutation, ResultQuery
from headrace_control.revisions.graphql import RevisionQuery
from headrace_control.rollouts.graphql import RolloutMutation, RolloutQuery
from headrace_control.runs.graphql import RunMutation, RunQuery, RunSubscription
from headrace_control.scaling.graphql import ScalingQuery
from headrace_control.schedules.graphql import ScheduleMutation, ScheduleQuery
from headrace_control.secrets.graphql import SecretMutation, SecretQuery
from headrace_control.tenant_deletion.graphql import TenantDeletionMutation, TenantDeletionQuery
from headrace_control.tenants.graphql import TenantMutation, TenantQuery
from headrace_control.vault.graphql import KeyMutation, KeyQuery
from headrace_control.waits.graphql import WaitMutation, WaitQuery
from headrace_control.webhooks.graphql import WebhookMutation, WebhookQuery
from headrace_control.workflows.graphql import WorkflowMutation, WorkflowQuery


@strawberry.type
class Query(
    TenantQuery,
    TenantDeletionQuery,
    MemberQuery,
    AppQuery,
    ActionQuery,
    ConnectionQuery,
    SecretQuery,
    KeyQuery,
    PolicyQuery,
    QuotaQuery,
    PoolQuery,
    WorkflowQuery,
    RolloutQuery,
    RunQuery,
    ScheduleQuery,
    BackfillQuery,
    WebhookQuery,
    MoveQuery,
    HookQuery,
    RerunQuery,
    DryRunQuery,
    RevisionQuery,
    DeadLetterQuery,
    NobodysDeadLetterQuery,
    ReplayQuery,
    ResultQuery,
    WaitQuery,
    LogsQuery,
    AuditQuery,
    ScalingQuery,
):
    pass


@strawberry.type
class Mutation(
    TenantMutation,
    TenantDeletionMutation,
    MemberMutation,
    AppMutation,
    ActionMutation,
    ConnectionMutation,
    AuthorizationMutation,
    SecretMutation,
    KeyMutation,
    PolicyMutation,
    QuotaMutation,
    PoolMutation,
    WorkflowMutation,
    RolloutMutation,
    RunMutation,
    ScheduleMutation,
    BackfillMutation,
    WebhookMutation,
    MoveMutation,
    HookMutation,
    RerunMutation,
    DryRunMutation,
    ReplayMutation,
    DeadLetterMutation,
    NobodysDeadLetterMutation,
    ResultMutation,
    WaitMutation,
):
    pass


@strawberry.type
class Subscription(RunSubscription, LogsSubscription):
    pass


class Schema(strawberry.Schema):
    def __init__(self, *, introspection: bool, operation_seconds: float, **parts: Any) -> None:
        super().__init__(**parts)
        self._introspection, self._operation_seconds = introspection, operation_seconds
        self._known = KnownDocuments()

    @property
    def core(self) -> GraphQLSchema:
        """graphql-core's own, to which Strawberry has no public way."""
        return self._schema

    def create_extensions_runner(
        self, execution_context: ExecutionContext, extensions: list[SchemaExtension]
    ) -> Operation:
        """`extensions` are none: see `graphql.operations`."""
        limits = OperationLimits(execution_context, self.core, self._known, introspection=self._introspection)
        return Operation(execution_context, limits, self._operation_seconds)

    def process_errors(self, errors: list[Any], execution_context: ExecutionContext | None = None) -> None:
        """Shape the errors; log nothing, for Strawberry's log would quote data."""
        errors[:] = [stable_error(error) for error in errors]


def create_schema(*, introspection: bool = False, operation_seconds: float = 30.0) -> Schema:
    """`introspection`: whether queries may ask for the schema itself. Made once for a process: nothing changes it, and
    it takes a fifth of a second."""
    return _created(introspection, operation_seconds)


@cache
def _created(introspection: bool, operation_seconds: float) -> Schema:
    return Schema(
        introspection=introspection,
        operation_seconds=operation_seconds,
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        config=StrawberryConfig(
            scalar_map={JSON: JSON_SCALAR, datetime: DATE_TIME_SCALAR}, disable_field_suggestions=True
        ),
    )


def schema_sdl() -> str:
    """The schema in its definition language, as contracts/schema.graphql holds it."""
    return create_schema().as_str() + "\n"
