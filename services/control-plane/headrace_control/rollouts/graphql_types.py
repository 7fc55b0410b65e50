"""Rollouts and their comparison in GraphQL."""

from datetime import datetime

import strawberry

from headrace_control.graphql.actors import ActorType
from headrace_control.graphql.context import Info
from headrace_control.graphql.fields import field
from headrace_control.rollouts import comparison, model
from headrace_control.workflows.graphql_types import WorkflowVersionType

strawberry.enum(
    model.RolloutStatus, description="OPEN until the candidate is promoted or rolled back, for good."
)
strawberry.enum(model.RolloutChangeKind, description="What was done to a rollout.")
strawberry.enum(
    comparison.Verdict,
    name="RolloutVerdict",
    description="What can be said of the candidate's failures. UNDECIDED: no difference is shown.",
)


@strawberry.input(name="CohortInput", description="Starts that always go to the candidate.")
class CohortInput:
    name: str
    values: list[str] = strawberry.field(description='Of the key; `17` is 17 and "17".')


def read_cohorts(given: list[CohortInput]) -> dict[str, list[str]]:
    """By name; of two with one name, the values of both."""
    found: dict[str, list[str]] = {}
    for one in given:
        found.setdefault(one.name, []).extend(one.values)
    return found


@strawberry.input(name="RolloutInput", description="Which starts a candidate takes.")
class RolloutInput:
    percent: float = strawberry.field(description="Of starts: 0 to 100, to a hundredth.")
    key: str | None = strawberry.field(
        default=None,
        description="A JSONPath into the input, as `$.customer.id`: starts with the same value go the same way.",
    )
    cohorts: list[CohortInput] = strawberry.field(default_factory=list)

    def terms(self) -> model.Terms:
        return model.Terms(self.percent, self.key, read_cohorts(self.cohorts))


@strawberry.type(name="Cohort", description="Starts that always go to the candidate.")
class CohortType:
    name: str
    values: list[str] = strawberry.field(description="Of the key.")


@strawberry.type(
    name="RolloutChange", description="What was done to a rollout, and what it was from then on."
)
class RolloutChangeType:
    number: int
    kind: model.RolloutChangeKind
    percent: float
    cohorts: list[CohortType]
    note: str
    at: datetime
    actor: ActorType

    @classmethod
    def of(cls, change: model.RolloutChange) -> "RolloutChangeType":
        return cls(
            number=change.number,
            kind=change.kind,
            percent=change.percent,
            cohorts=_cohorts(change.cohorts),
            note=change.note,
            at=change.at,
            actor=ActorType.of(change.actor),
        )


@strawberry.type(name="Rollout", description="A candidate version takes a share of a workflow's starts.")
class RolloutType:
    rollout: strawberry.Private[model.Rollout]
    id: strawberry.ID
    workflow: str = strawberry.field(description="Its name.")
    status: model.RolloutStatus
    percent: float = strawberry.field(description="Of starts that name no version; 0 to 100, to a hundredth.")
    key: str | None = strawberry.field(description="A JSONPath into the input; null: by the run's id.")
    cohorts: list[CohortType]
    begun_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, rollout: model.Rollout) -> "RolloutType":
        return cls(
            rollout=rollout,
            id=strawberry.ID(str(rollout.id)),
            workflow=rollout.workflow,
            status=rollout.status,
            percent=rollout.terms.percent,
            key=rollout.terms.key,
            cohorts=_cohorts(rollout.terms.cohorts),
            begun_at=rollout.begun_at,
            ended_at=rollout.ended_at,
        )

    @field
    async def stable(self, info: Info) -> WorkflowVersionType:
        """The version of the other starts."""
        found = await info.context.loaders.workflows.version(self.rollout.stable_id)
        return WorkflowVersionType.of(found)

    @field
    async def candidate(self, info: Info) -> WorkflowVersionType:
        """The version that takes the share."""
        found = await info.context.loaders.workflows.version(self.rollout.candidate_id)
        return WorkflowVersionType.of(found)

    @field
    async def changes(self, info: Info) -> list[RolloutChangeType]:
        """What was done to it, newest first; 50 at most, the audit has all."""
        found = await info.context.loaders.rollouts.changes.load(self.rollout.id)
        return [RolloutChangeType.of(change) for change in found or ()]


@strawberry.type(name="RolloutError", description="How often runs failed with an error.")
class RolloutErrorType:
    code: str
    runs: int


@strawberry.type(name="RolloutOutcome", description="What became of a version's runs.")
class RolloutOutcomeType:
    outcome: strawberry.Private[comparison.Outcome]
    starts: int
    succeeded: int
    failed: int
    canceled: int
    unfinished: int
    failure_rate: float | None = strawberry.field(
        description="Of those that succeeded or failed, 0 to 1; null when none has."
    )
    failure_rate_low: float = strawberry.field(description="Wilson's interval: the true rate lies within")
    failure_rate_high: float = strawberry.field(description="with 95% confidence.")
    seconds_p50: float | None = strawberry.field(
        description="Of those that succeeded, from the first claim to the end."
    )
    seconds_p95: float | None
    errors: list[RolloutErrorType] = strawberry.field(description="The most frequent, 5 at most.")
    dead_letters: int = strawberry.field(description="What the runs gave up on.")

    @classmethod
    def of(cls, outcome: comparison.Outcome) -> "RolloutOutcomeType":
        low, high = outcome.bounds
        return cls(
            outcome=outcome,
            starts=outcome.starts,
            succeeded=outcome.succeeded,
            failed=outcome.failed,
            canceled=outcome.canceled,
            unfinished=outcome.unfinished,
            failure_rate=outcome.failure_rate,
            failure_rate_low=low,
            failure_rate_high=high,
            seconds_p50=outcome.seconds_p50,
            seconds_p95=outcome.seconds_p95,
            errors=[RolloutErrorType(code=one.code, runs=one.runs) for one in outcome.codes],
            dead_letters=outcome.dead_letters,
        )

    @field
    async def version(self, info: Info) -> WorkflowVersionType:
        """The version."""
        found = await info.context.loaders.workflows.version(self.outcome.version_id)
        return WorkflowVersionType.of(found)


@strawberry.type(name="RolloutComparison", description="How the runs of both versions fare.")
class RolloutComparisonType:
    rollout: RolloutType
    since: datetime = strawberry.field(description="Runs that were begun from then on are counted.")
    complete: bool = strawberry.field(
        description="These are all since the rollout began; else the newest 50,000 of the workflow."
    )
    stable: RolloutOutcomeType
    candidate: RolloutOutcomeType
    probability: float = strawberry.field(
        description="Of a difference of failures at least as large, were both equally good: Fisher's exact test."
    )
    verdict: comparison.Verdict = strawberry.field(
        description="WORSE or BETTER when the probability is below 0.01."
    )

    @classmethod
    def of(cls, compared: comparison.Comparison) -> "RolloutComparisonType":
        return cls(
            rollout=RolloutType.of(compared.rollout),
            since=compared.since,
            complete=compared.complete,
            stable=RolloutOutcomeType.of(compared.stable),
            candidate=RolloutOutcomeType.of(compared.candidate),
            probability=compared.probability,
            verdict=compared.verdict,
        )


def _cohorts(cohorts: model.Cohorts) -> list[CohortType]:
    return [CohortType(name=name, values=list(values)) for name, values in sorted(cohorts.items())]
