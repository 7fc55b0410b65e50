"""Which secrets a call may carry."""

from headrace.secret_bounds import kept_names, why_kept
from headrace.workflow.definition import PinnedAction
from headrace.workflow.expressions import Templates
from headrace.workflow.state import Failure
from headrace.workflow.uses import call_values

from headrace_runner.steps.protocol import StepContext

NOT_FOR_APP = "SECRET_NOT_FOR_APP"


def kept_from(
    context: StepContext, templates: Templates, pinned: PinnedAction, own_url: str | None
) -> Failure | None:
    """Why no call of this action is to be built of what the step says, if so: it names a secret that is not for the
    action's app, or one that the run was not given. What the expressions name is known without their values, and in a
    run a secret stands nowhere else. Raises `ExpressionError`.
    """
    run = context.run
    if not run.version.document.secrets:
        return None
    kept = kept_names(run.secret_apps, pinned, own_url)
    # Nothing stands for one: an expression with a `default` would send that in its place.
    lacking = run.version.document.secrets.keys() - run.secrets.keys()
    if not kept and not lacking:
        return None
    named = templates.references(call_values(context.step), context.secret_scope).env
    if refused := named & kept:
        why = why_kept(min(refused), run.secret_apps, pinned.definition.app)
        return Failure(NOT_FOR_APP, f"{context.place}: {why}")
    if absent := named & lacking:
        words = f"`env.{min(absent)}` is a secret that is not there any more, or does not open"
        return Failure("SECRET_MISSING", f"{context.place}: {words}")
    return None
