"""Where secrets may be sent: one rule, for the calls of a run and for those that versions stand published with."""

from collections.abc import Mapping

from headrace.outbound.target import parse_target
from headrace.workflow.definition import PinnedAction

# By the secret's name in `env`, of those that are for some apps alone: the base URL of each of these, by its name.
Bounds = Mapping[str, Mapping[str, str]]


def kept_names(bounds: Bounds, pinned: PinnedAction, own_url: str | None) -> frozenset[str]:
    """The secrets that no call of this action may carry.

    Where the call goes by the base URL that its version pinned, that has to be at the app's host of today, too; a
    connection's `own_url` is whoever manages connections' to say.
    """
    app = pinned.definition.app
    return frozenset(
        name for name, apps in bounds.items() if not _may_go(apps.get(app), pinned.base_url, own_url)
    )


def why_kept(name: str, bounds: Bounds, app: str) -> str:
    """Of a secret that is kept from a call to this app."""
    words = f"`env.{name}` is a secret that may not be sent to {app}"
    if app in bounds[name]:
        words += " at the host where it was when the version was published; publish anew"
    return words


def _may_go(app_url: str | None, pinned_url: str, own_url: str | None) -> bool:
    if app_url is None:
        return False
    return own_url is not None or parse_target(app_url).origin == parse_target(pinned_url).origin
