"""What a runner tells of a dry run, as it is kept and shown: nothing that Postgres or GraphQL could not hold."""

from datetime import datetime
from typing import Annotated, Any, Self

from headrace.outbound.normalise import NotJson, normalise
from headrace.workflow.request_diff import Change
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


def _storable(value: Any) -> Any:
    try:
        return normalise(value)
    except NotJson as error:
        raise ValueError(str(error)) from None


MAX_STEPS = 2_000
MAX_PROBLEMS = 10_000

Value = Annotated[Any, AfterValidator(_storable)]
Text = Annotated[str, AfterValidator(_storable)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel)


class Failure(_Part):
    code: Text
    message: Text


class Step(_Part):
    path: Text
    type: Text
    status: Text
    answered_by: Text | None = None
    requests: list[Value] = []
    output: Value = None
    error: Failure | None = None
    asks: Value = None


class DryRunProblem(_Part):
    path: Text
    code: Text
    message: Text
    mend: Text


class RequestChange(_Part):
    path: Text
    number: int = Field(ge=1, lt=2**31)
    change: Change
    moved: bool
    differences: list[Value] = []


class DryRunReport(_Part):
    """How a walk went; `failure` alone when there was none."""

    status: Text
    result: Value = None
    error: Failure | None = None
    ended_at: datetime | None = None
    steps: Annotated[list[Step], Field(max_length=MAX_STEPS)] = []
    not_shown: int = Field(default=0, ge=0, lt=2**31)
    problems: Annotated[list[DryRunProblem], Field(max_length=MAX_PROBLEMS)] = []
    changes: Annotated[list[RequestChange], Field(max_length=MAX_STEPS)] | None = None
    failure: Failure | None = None

    @model_validator(mode="after")
    def _walked_or_failed(self) -> Self:
        if self.failure is None and self.ended_at is None:
            raise ValueError("neither `endedAt` nor `failure`")
        return self

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude={"failure"})
