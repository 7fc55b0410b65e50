"""The way through the browser and back: of a log-in, and of an authorization."""

import asyncio
import contextlib
import webbrowser
from collections.abc import Mapping

from headrace.errors import (
    Conflict,
    Forbidden,
    HeadraceError,
    ProviderRefused,
    Unauthenticated,
    Unavailable,
)

from headrace_cli.login.listener import Listener
from headrace_cli.output import Output, safe

# As long as the deployment waits for the browser.
_PATIENCE_SECONDS = 600.0


async def brought_back(
    output: Output, listener: Listener, address: str, what: str, *, no_browser: bool
) -> Mapping[str, str]:
    """What the browser brings from `address`. Raises what the deployment tells by way of it."""
    output.say(f"{what} at:\n{safe(address)}")
    if not no_browser:
        with contextlib.suppress(webbrowser.Error):
            await asyncio.to_thread(webbrowser.open, address)
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            answer = await listener.answer
    except TimeoutError:
        raise Unavailable("nobody came back from the browser within ten minutes") from None
    if "code" not in answer:
        raise _failure(answer)
    return answer


def _failure(answer: Mapping[str, str]) -> HeadraceError:
    code = answer.get("error", "")
    words = "".join(c for c in answer.get("error_description", "")[:300] if c.isprintable())
    match code:
        case Forbidden.code:
            return Forbidden(words)
        case Unauthenticated.code:
            return Unauthenticated(words)
        case Unavailable.code:
            return Unavailable(words)
        case Conflict.code:
            return Conflict(words)
        case ProviderRefused.code:
            return ProviderRefused(words, "")
        case _:
            return HeadraceError(words or "the browser brought no code")
