"""Who may do what, written out by hand: for each field of the API and each route who passes.

It stands apart from `headrace_control.auth.permissions` on purpose, so that a slip there is seen here. A field or route
without a row fails the tests.
"""

from collections.abc import Mapping
from enum import Enum

from headrace_control.auth.roles import Role


class Who(Enum):
    """The roles of a tenant that pass; `PLATFORM` are the admins of a platform tenant, `ALL` is whoever has a key."""

    ALL = frozenset(Role)
    ADMINS = frozenset({Role.ADMIN})
    DESIGNERS = frozenset({Role.ADMIN, Role.DESIGNER})
    STARTERS = frozenset({Role.ADMIN, Role.DESIGNER, Role.OPERATOR})
    OPERATORS = frozenset({Role.ADMIN, Role.OPERATOR})
    APPROVERS = frozenset({Role.ADMIN, Role.APPROVER})
    PLATFORM = frozenset({"platform"})


_FIELDS: Mapping[Who, str] = {
    Who.ALL: """
        query: tenant tenantDeletion me app apps action actions actionRevisions connection connections secrets
            policyRules effectivePolicy workflow workflows workflowVersion diffVersions run runs approvals logs
            quotas schedule
            runAt runRevisions schedules scheduleFirings backfill backfills deadLetters deadLetter deadLetterGroups
            deadLetterStatistics replay replays rollout rollouts rolloutComparison
            webhook webhooks webhookDeliveries runMoves cachedResults tenantPools
        subscription: runChanged logTail
    """,
    Who.DESIGNERS: """
        query: validateWorkflow
        mutation: createApp updateApp deleteApp saveAction saveDraft discardDraft publishVersion publishWorkflow
            deprecateVersion testConnection setWorkflowPool
    """,
    Who.STARTERS: """
        query: dryRun
        mutation: startDryRun
            startRun startRuns signalRun createSchedule updateSchedule pauseSchedule resumeSchedule deleteSchedule
            startBackfill stopBackfill resumeBackfill beginRollout changeRollout promoteRollout rollBackRollout
            createWebhook updateWebhook rotateWebhookSecret pauseWebhook resumeWebhook deleteWebhook
    """,
    Who.OPERATORS: """
        query: rerunPreview movePreview
        mutation: cancelRun pauseRun resumeRun settleStep rerunRun replayDeadLetter replayDeadLetters stopReplay
            resumeReplay discardDeadLetters moveRuns forgetCachedResults
    """,
    Who.APPROVERS: "mutation: decideApproval",
    Who.ADMINS: """
        query: hook hooks hookMessages apiKeys members tenantKeys auditRecords auditChain auditHead
        mutation: createApiKey revokeApiKey inviteMember revokeInvitation changeMemberRole removeMember revokeSessions
            createConnection updateConnection rotateConnectionSecret deleteConnection setSecret deleteSecret
            authorizeConnection finishAuthorization
            rotateDataKey setPolicyRule removePolicyRule
            createHook updateHook rotateHookSecret pauseHook resumeHook deleteHook resendHookMessages
    """,
    Who.PLATFORM: """
        query: wrappingKeys scaling tenants tenantDeletions runnerPools nobodysDeadLetters
        mutation: createTenant createAdminKey deleteTenant keepTenant rewrapDataKeys shredTenantKeys setQuotas
            createRunnerPool removeRunnerPool setTenantPools drainRunnerPool discardNobodysDeadLetters
    """,
}


def fields() -> dict[str, Who]:
    """The table of root fields, as `query apps`."""
    table: dict[str, Who] = {}
    for who, text in _FIELDS.items():
        kind = ""
        for word in text.split():
            if word.endswith(":"):
                kind = word[:-1]
            else:
                assert f"{kind} {word}" not in table
                table[f"{kind} {word}"] = who
    return table


# Fields of objects that are looked up when they are asked for: all for whoever may read the object.
_LOADED: Mapping[str, str] = {
    "Action": "app",
    "ActionRevision": "definition",
    "Approval": "run",
    "Connection": "app",
    "DeadLetter": "run replayedBy",
    "MovePreview": "fromVersion toVersion",
    "PastRun": "result steps messages",
    "PastStep": "input output",
    "Rollout": "stable candidate changes",
    "RolloutOutcome": "version",
    "RunMove": "fromVersion toVersion",
    "Run": "workflow version input result startedBy parent origin reruns children waits steps events",
    "ScheduleFiring": "run",
    "StepRun": "input output attempts items",
    "WebhookDelivery": "run",
    "Workflow": "versions published draft",
    "WorkflowVersion": "workflow document source resolved classification",
}
LOADED = frozenset(f"{kind}.{name}" for kind, names in _LOADED.items() for name in names.split())


class Door(Enum):
    """What a route asks for: a key or session of a tenant, a runner's session, the fleet's enrolment token, a secret
    that the request itself holds, or nothing."""

    CALLER = "caller"
    RUNNER = "runner"
    ENROLMENT = "enrolment"
    OWN_SECRET = "own secret"
    NONE = "none"


PUBLIC_ROUTES: Mapping[tuple[str, str], Door] = {
    ("POST", "/graphql"): Door.CALLER,
    ("WEBSOCKET", "/graphql"): Door.CALLER,
    ("POST", "/auth/logout"): Door.CALLER,
    ("POST", "/auth/token"): Door.OWN_SECRET,
    ("GET", "/auth/callback"): Door.OWN_SECRET,
    ("GET", "/auth/login"): Door.NONE,
    ("POST", "/callbacks/{token}"): Door.OWN_SECRET,
    ("POST", "/webhooks/{address}"): Door.OWN_SECRET,
    ("GET", "/oauth/callback"): Door.OWN_SECRET,
    ("GET", "/health"): Door.NONE,
    ("GET", "/ready"): Door.NONE,
    ("HEAD", "/health"): Door.NONE,
    ("HEAD", "/ready"): Door.NONE,
}

INTERNAL_ROUTES: Mapping[tuple[str, str], Door] = {
    ("POST", "/internal/sessions"): Door.ENROLMENT,
    ("POST", "/internal/claims"): Door.RUNNER,
    ("POST", "/internal/checkpoints"): Door.RUNNER,
    ("POST", "/internal/heartbeats"): Door.RUNNER,
    ("POST", "/internal/releases"): Door.RUNNER,
    ("POST", "/internal/tokens"): Door.RUNNER,
    ("POST", "/internal/permits"): Door.RUNNER,
    ("POST", "/internal/reports"): Door.RUNNER,
    ("POST", "/internal/approvals"): Door.RUNNER,
    ("POST", "/internal/cached-results"): Door.RUNNER,
    ("POST", "/internal/refused-messages"): Door.RUNNER,
    ("POST", "/internal/dry-runs"): Door.RUNNER,
    ("POST", "/internal/dry-run-reports"): Door.RUNNER,
}
