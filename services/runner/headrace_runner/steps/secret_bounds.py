"""Which secrets a call may carry."""

from headrace.json_types import Json
from headrace.outbound.target import parse_target
from headrace.workflow.definition import PinnedAction
from headrace.workflow.expressions import Templates
from headrace.workflow.state import Failure

from headrace_runner.steps.protocol import StepContext


def kept_from(
    context: StepContext, templates: Templates, written: Json, pinned: PinnedAction, own_url: str | None
) -> Failure | None:
    """Why no call of this action is to be built of what is `written`, if so: it names a secret that is not for the
    action's app. What the expressions name is known without their values, and in a run a secret stands nowhere else.

    Where the call goes by the base URL that its version pinned, that has to be at the app's host of today, too; a
    connection's `own_url` is whoever manages connections' to say. Raises `ExpressionError`.
    """
    app = pinned.definition.app
    bounds = context.run.secret_apps
    kept = {name for name, apps in bounds.items() if not _may_go(apps.get(app), pinned.base_url, own_url)}
    if not kept:
        return None
    named = templates.references(written, context.secret_scope).env & kept
    if not named:
        return None
    words = f"{context.place}: `env.{min(named)}` is a secret that may not be sent to {app}"
    if app in bounds[min(named)]:
        words += " at the host where it was when the version was published; publish anew"
    return Failure("SECRET_NOT_FOR_APP", words)


def _may_go(app_url: str | None, pinned_url: str, own_url: str | None) -> bool:
    if app_url is None:
        return False
    return own_url is not None or parse_target(app_url).origin == parse_target(pinned_url).origin
