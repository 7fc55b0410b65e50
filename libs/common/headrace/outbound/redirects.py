"""What is sent where, after a redirect."""

from dataclasses import replace

from headrace.outbound.call import OutboundCall
from headrace.outbound.failures import CallCode, CallRefused
from headrace.outbound.reply import Reply
from headrace.outbound.target import InvalidTarget, Target, join_target

MAX_REDIRECTS = 5
_BODY_HEADERS = frozenset({"content-type", "content-language", "content-encoding", "content-location"})
# Headers that describe the answer wanted. Any other may hold what another origin must not learn.
_HARMLESS = frozenset({"accept", "accept-encoding", "accept-language", "user-agent"})


def redirected(call: OutboundCall, base: Target, reply: Reply) -> tuple[OutboundCall, Target]:
    """The call that follows a redirect, by RFC 9110 section 15.4, and its target. Raises `CallRefused`.

    303 becomes GET, and so does POST at 301 and 302; 307 and 308 repeat the request. At another origin
    (scheme, host or port) only harmless headers go along, and a body never does.
    """
    [location, *more] = reply.all("location")
    if more:
        raise CallRefused(CallCode.REDIRECT_REFUSED, "the target redirects to several places at once")
    try:
        target = join_target(base, location)
    except InvalidTarget as error:
        raise CallRefused(CallCode.REDIRECT_REFUSED, str(error)) from None
    status = reply.status
    if (status == 303 and call.method != "HEAD") or (status in (301, 302) and call.method == "POST"):
        kept = tuple(h for h in call.headers if h[0].lower() not in _BODY_HEADERS)
        call = replace(call, method="GET", body=b"", headers=kept)
    if target.origin != base.origin:
        if call.body:
            raise CallRefused(CallCode.REDIRECT_REFUSED, "the target redirects a body to another origin")
        call = replace(call, headers=tuple(h for h in call.headers if h[0].lower() in _HARMLESS))
    return replace(call, url=target.url), target
