"""What is wrong with a hook by itself."""

from collections.abc import Sequence

from headrace.errors import Problem
from headrace.outbound.target import InvalidTarget, parse_target

from headrace_control.hooks.model import HookEvent

MAX_URL = 2_000


def hook_problems(url: str, events: Sequence[HookEvent]) -> list[Problem]:
    """Of its address and of what it is told."""
    problems = []
    try:
        if len(url) > MAX_URL:
            raise InvalidTarget(f"a hook's address has {MAX_URL} characters at most")
        parse_target(url)
    except InvalidTarget as error:
        problems.append(Problem("url", str(error), "Write an address such as https://example.com/hooks."))
    if not events:
        problems.append(Problem("events", "at least one is needed", "Name what the hook is to be told of."))
    return problems
