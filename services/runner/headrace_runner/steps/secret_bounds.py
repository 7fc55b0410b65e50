"""Which secrets a call may carry."""

from headrace.json_types import Json
from headrace.secret_bounds import kept_names, why_kept
from headrace.workflow.definition import PinnedAction
from headrace.workflow.expressions import Templates
from headrace.workflow.state import Failure

from headrace_runner.steps.protocol import StepContext

NOT_FOR_APP = "SECRET_NOT_FOR_APP"


def kept_from(
    context: StepContext, templates: Templates, written: Json, pinned: PinnedAction, own_url: str | None
) -> Failure | None:
    """Why no call of this action is to be built of what is `written`, if so: it names a secret that is not for the
    action's app. What the expressions name is known without their values, and in a run a secret stands nowhere else.
    Raises `ExpressionError`.
    """
    bounds = context.run.secret_apps
    kept = kept_names(bounds, pinned, own_url)
    if not kept:
        return None
    named = templates.references(written, context.secret_scope).env & kept
    if not named:
        return None
    return Failure(NOT_FOR_APP, f"{context.place}: {why_kept(min(named), bounds, pinned.definition.app)}")
