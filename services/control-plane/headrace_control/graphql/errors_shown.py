"""Why something failed, as GraphQL shows it: of a run, a step, a message, a schedule."""

import strawberry
from headrace.json_types import JsonObject


@strawberry.type(name="RunError", description="Why something failed, without secrets or data.")
class ErrorType:
    code: str = strawberry.field(description="Stable; programs decide by it.")
    message: str

    @classmethod
    def of(cls, error: JsonObject | None) -> "ErrorType | None":
        if error is None:
            return None
        return cls(code=str(error.get("code", "UNKNOWN")), message=str(error.get("message", "")))
