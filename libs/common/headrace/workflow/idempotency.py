"""May a call of an action be made twice, does it leave anything behind, and who does not know whether it was made?"""

from headrace.workflow.definition import ActionDefinition, IdempotencyMode

# RFC 9110, 9.2.1 and 9.2.2.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_IDEMPOTENT = _SAFE | {"PUT", "DELETE"}
# A gateway's word that it had no answer: the call may have been carried out behind it. RFC 9110 has the first two,
# content delivery networks (Cloudflare) the next three, and some proxies the others.
NOT_ANSWERED_BEHIND = frozenset({502, 504, 520, 522, 524, 598, 599})


def may_repeat(action: ActionDefinition) -> bool:
    """Does making the call twice do no more than making it once?"""
    match action.idempotency.mode:
        case IdempotencyMode.METHOD:
            return action.method in _IDEMPOTENT
        case IdempotencyMode.IDEMPOTENT | IdempotencyMode.KEY:
            return True
        case IdempotencyMode.NONE:
            return False


def has_side_effects(action: ActionDefinition) -> bool:
    """Does the call leave something behind that may have to be undone? By its method, unless the action says that it
    is REVERSIBLE: that nothing has to be (a search that is sent as a POST)."""
    return action.method not in _SAFE and action.reversibility != "REVERSIBLE"
