"""What the browser brings back from a provider, and where it is sent on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from fastapi import Request
from headrace.errors import HeadraceError
from starlette.responses import RedirectResponse

from headrace_control.web.parameters import single

_LONGEST_CODE = 4096
NO_STORE: Mapping[str, str] = {"cache-control": "no-store", "referrer-policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """`code` is None too when it is longer than any provider's."""

    state: str | None = field(repr=False)
    code: str | None = field(repr=False)
    error: str | None
    issuer: str | None

    @classmethod
    def of(cls, request: Request) -> "ProviderAnswer":
        state, code, error, issuer = (single(request, name) for name in ("state", "code", "error", "iss"))
        return cls(state, code if code and len(code) <= _LONGEST_CODE else None, error, issuer)


@dataclass(frozen=True, slots=True)
class Ended:
    """Where the client waits, and for what: a code, or the failure that it is told."""

    redirect: str
    state: str = field(repr=False)
    code: str = field(default="", repr=False)
    failure: HeadraceError | None = None

    def response(self) -> RedirectResponse:
        """303 to the client's address, in the words of RFC 6749, 4.1.2; those for what failed are our own."""
        query = {"state": self.state}
        if self.failure is None:
            query["code"] = self.code
        else:
            query |= {"error": self.failure.code, "error_description": self.failure.message}
        return RedirectResponse(with_query(self.redirect, query), 303, headers=NO_STORE)


def with_query(address: str, query: Mapping[str, str]) -> str:
    """`address`, which may have a query of its own, with this one."""
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"
