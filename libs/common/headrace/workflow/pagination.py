"""The pagination of an action: which pages a call has, read from an action's definition and written back."""

from dataclasses import dataclass
from typing import TypeAlias

from headrace.errors import InvalidInput
from headrace.json_types import JsonObject
from headrace.workflow.extraction import MAX_PATH_LENGTH, compile_path
from headrace.workflow.reading import Fields

KEYS = ("items", "maxPages", "nextLink", "cursor", "page")
WAYS = ("nextLink", "cursor", "page")
HEADER = "header"
MAX_PAGES = 100
MAX_PARAMETER = 128
MAX_FIRST = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NextLink:
    """The next page's URL: `at` is a JSONPath into a page, or `header` for the `Link` header (RFC 8288)."""

    at: str


@dataclass(frozen=True, slots=True)
class NextCursor:
    """A word of each page, found at the JSONPath `at`, that asks for the next one as a query parameter."""

    at: str
    parameter: str


@dataclass(frozen=True, slots=True)
class NextNumber:
    """Pages are counted from `first` in a query parameter; one without items is the last."""

    parameter: str
    first: int = 1


@dataclass(frozen=True, slots=True)
class Pagination:
    """One attempt asks for page after page, at most `max_pages` (1 to 100).

    `items` is a JSONPath of names and indexes to each page's list, in `{status, headers, body}`.
    """

    items: str
    next: NextLink | NextCursor | NextNumber
    max_pages: int = 20


_Next: TypeAlias = NextLink | NextCursor | NextNumber


def read_pagination(owner: Fields, name: str = "pagination") -> Pagination | None:
    """The pagination under `name`; None when there is none, or, with problems, when it is wrong."""
    fields = owner.inner(name, KEYS)
    if fields is None:
        return None
    fields.required("items", "Write the path of a page's list, such as `$.body.items`.")
    items = _path(fields, "items")
    most = fields.integer("maxPages", 1, MAX_PAGES)
    written = [way for way in WAYS if fields.has(way)]
    if len(written) != 1:
        message = "one of nextLink, cursor and page is needed, and no more"
        fields.reading.add(fields.path, message, "Write the one that the API has.", "BAD_PAGINATION")
        return None
    following = _next(fields)
    if items is None or following is None:
        return None
    return Pagination(items, following) if most is None else Pagination(items, following, most)


def dump_pagination(pagination: Pagination) -> JsonObject:
    data: JsonObject = {"items": pagination.items, "maxPages": pagination.max_pages}
    match pagination.next:
        case NextLink(at):
            data["nextLink"] = at
        case NextCursor(at, parameter):
            data["cursor"] = {"from": at, "parameter": parameter}
        case NextNumber(parameter, first):
            data["page"] = {"parameter": parameter, "first": first}
    return data


def _next(fields: Fields) -> _Next | None:
    if fields.has("nextLink"):
        link = HEADER if fields.any("nextLink") == HEADER else _path(fields, "nextLink")
        return NextLink(link) if link is not None else None
    if fields.has("cursor"):
        cursor = fields.inner("cursor", ("from", "parameter"))
        if cursor is None:
            return None
        cursor.required("from", "Write the path of the cursor, such as `$.body.cursor`.")
        at, parameter = _path(cursor, "from"), _parameter(cursor)
        return NextCursor(at, parameter) if at is not None and parameter is not None else None
    page = fields.inner("page", ("parameter", "first"))
    if page is None:
        return None
    parameter, first = _parameter(page), page.integer("first", 0, MAX_FIRST)
    if parameter is None:
        return None
    return NextNumber(parameter) if first is None else NextNumber(parameter, first)


def _parameter(fields: Fields) -> str | None:
    fields.required("parameter", "Write the name of the query parameter.")
    name = fields.text("parameter", MAX_PARAMETER)
    if name is not None and not name.isprintable():
        fields.wrong("parameter", "a parameter's name may not hold control characters", "Take them out.")
        return None
    return name


def _path(fields: Fields, name: str) -> str | None:
    """A JSONPath that finds one value."""
    text = fields.text(name, MAX_PATH_LENGTH)
    if text is None:
        return None
    try:
        path = compile_path(text, fields.at(name))
    except InvalidInput as error:
        for problem in error.problems:
            fields.reading.add(problem.path, problem.message, problem.mend, problem.code)
        return None
    if path.single:
        return text
    mend = "Use names and indexes only, as in `$.body.items`."
    fields.wrong(name, "this path does not lead to one value", mend, "BAD_JSONPATH")
    return None
