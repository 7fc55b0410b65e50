"""The pages of one attempt: which call comes next after an answer, and what all of them come to. No I/O."""

import re
from dataclasses import replace

from headrace.errors import HeadraceError
from headrace.json_types import Json, JsonObject
from headrace.outbound.call import CallResult, OutboundCall
from headrace.outbound.target import InvalidTarget, join_target, parse_target, with_query, without_query
from headrace.redaction import MARKER
from headrace.workflow.extraction import compile_path
from headrace.workflow.pagination import HEADER, NextCursor, NextLink, NextNumber, Pagination
from headrace.workflow.state import Failure

from headrace_runner.history import MAX_OUTPUT_BYTES
from headrace_runner.scalars import Unwritable, scalar_text
from headrace_runner.stored import stored_size

MAX_ITEMS = 100_000

_TARGET = re.compile(r"[\s,]*<([^>]*)>")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;,"<]*)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?')


class PagesFailed(HeadraceError):
    """A page that can not be taken, by PAGINATION_UNREADABLE, _OTHER_HOST or _LOOP, or OUTPUT_TOO_LARGE."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


class Pages:
    """What was taken so far. `first` is the first page's call, `count` how many pages were taken."""

    def __init__(self, rule: Pagination, call: OutboundCall) -> None:
        self._rule, self._items = rule, compile_path(rule.items)
        self._from = None
        match rule.next:
            case NextNumber(parameter, first):
                call = _with(call, parameter, str(first))
            case NextLink(at) | NextCursor(at) if at != HEADER:
                self._from = compile_path(at)
        self.first = self._call = call
        self._target = parse_target(call.url)
        # Pages are kept apart by how they are asked for.
        self._seen = {self._target.url} if isinstance(rule.next, NextLink) else set()
        self._found: list[Json] = []
        self._bytes = 0
        self.count, self.truncated = 0, False

    @property
    def body(self) -> JsonObject:
        return {"items": self._found, "pages": self.count, "truncated": self.truncated}

    def take(self, answer: CallResult, own_parameter: str | None) -> OutboundCall | None:
        """The next page's call; None when this page is the last one to be asked for. Raises `PagesFailed`.

        `own_parameter` is the query parameter that the credential is written into: it is not taken from a link.
        """
        self.count += 1
        found = self._items.find(answer.output)
        if not isinstance(found, list):
            raise self._failed("UNREADABLE", f"there is no list at {self._rule.items}")
        self._keep(found)
        match self._rule.next:
            case NextNumber(parameter, first):
                following = _with(self._call, parameter, str(first + self.count)) if found else None
            case NextCursor(_, parameter):
                following = self._by_cursor(self._next_in(answer), parameter)
            case NextLink():
                following = self._by_link(self._next_in(answer), own_parameter)
        if following is not None and self.count == self._rule.max_pages:
            self.truncated = True
            return None
        self._call = following or self._call
        return following

    def _keep(self, found: list[Json]) -> None:
        self._bytes += stored_size(found)
        if self._bytes > MAX_OUTPUT_BYTES or len(self._found) + len(found) > MAX_ITEMS:
            most = f"{MAX_OUTPUT_BYTES} bytes and {MAX_ITEMS} items"
            message = f"the pages together hold more than a step's output may, {most}"
            raise PagesFailed("OUTPUT_TOO_LARGE", f"page {self.count}: {message}")
        self._found += found

    def _next_in(self, answer: CallResult) -> str | None:
        """The link or cursor, as text; None for none: nothing there, null, false or an empty text."""
        if self._from is None:
            header = answer.headers.get("link")
            return next_link(header) if isinstance(header, str) else None
        value = self._from.find(answer.output)
        if value is False:
            return None
        try:
            return scalar_text(value, self._from.text) or None
        except Unwritable as error:
            raise self._failed("UNREADABLE", str(error)) from None

    def _by_cursor(self, cursor: str | None, parameter: str) -> OutboundCall | None:
        if cursor is None:
            return None
        if MARKER in cursor:
            raise self._failed("UNREADABLE", "the cursor holds a secret, which is not kept")
        self._once(cursor, "cursor")
        return _with(self._call, parameter, cursor)

    def _by_link(self, link: str | None, own_parameter: str | None) -> OutboundCall | None:
        if link is None:
            return None
        link = link.partition("#")[0]
        if own_parameter is not None:
            link = without_query(link, own_parameter)
        if MARKER in link:
            raise self._failed("UNREADABLE", "the next link holds a secret, which is not kept")
        try:
            target = join_target(parse_target(self._call.url), link)
        except InvalidTarget:
            raise self._failed("UNREADABLE", "the next link is no http or https URL") from None
        if target.origin != self._target.origin:
            message = "the next link leads to another scheme, host or port than the first page's"
            raise self._failed("OTHER_HOST", message)
        self._once(target.url, "next link")
        return replace(self._call, url=target.url)

    def _once(self, asked: str, what: str) -> None:
        if asked in self._seen:
            raise self._failed("LOOP", f"the {what} has been there before: the pages never end")
        self._seen.add(asked)

    def _failed(self, why: str, message: str) -> PagesFailed:
        return PagesFailed(f"PAGINATION_{why}", f"page {self.count}: {message}")


def next_link(header: str) -> str | None:
    """The target of the first link with `rel=next` in a `Link` header (RFC 8288, section 3); None for none.

    A link with an `anchor` is about another resource, and is passed over.
    """
    at = 0
    while found := _TARGET.match(header, at):
        at = found.end()
        relations: list[str] | None = None
        anchored = False
        while given := _PARAMETER.match(header, at):
            at = given.end()
            name = given[1].lower()
            anchored = anchored or name == "anchor"
            if name == "rel" and relations is None:  # of several, the first counts
                relations = (given[2] or given[3] or "").lower().split()
        if "next" in (relations or ()) and not anchored:
            return found[1].strip() or None
    return None


def _with(call: OutboundCall, parameter: str, value: str) -> OutboundCall:
    return replace(call, url=with_query(call.url, parameter, value))
