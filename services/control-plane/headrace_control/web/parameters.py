"""Parameters of a query, read as nobody on the way could read them otherwise."""

from headrace.errors import InvalidInput, Problem
from starlette.requests import Request


def single(request: Request, name: str) -> str | None:
    """A parameter of the query; two of it are none: who stands in between may have looked at the other one."""
    given = request.query_params.getlist(name)
    if len(given) > 1:
        raise InvalidInput([Problem(name, "given more than once", "give it once")])
    if given and "\0" in given[0]:
        raise InvalidInput([Problem(name, "this holds a NUL character", "leave it out")])
    return given[0] if given else None
