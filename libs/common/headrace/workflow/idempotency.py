"""May a call of an action be made twice?"""

from headrace.workflow.definition import ActionDefinition, IdempotencyMode

# RFC 9110, 9.2.2.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})


def may_repeat(action: ActionDefinition) -> bool:
    """Does making the call twice do no more than making it once?"""
    match action.idempotency.mode:
        case IdempotencyMode.METHOD:
            return action.method in _IDEMPOTENT
        case IdempotencyMode.IDEMPOTENT | IdempotencyMode.KEY:
            return True
        case IdempotencyMode.NONE:
            return False
