"""Pages: which call follows an answer, and where the pages end."""

from typing import Any

import pytest
from headrace.outbound.call import CallResult, OutboundCall
from headrace.workflow.pagination import NextCursor, NextLink, NextNumber, Pagination
from headrace_runner import pagination
from headrace_runner.pagination import Pages, PagesFailed, next_link

URL = "https://shop.example/api/orders?state=open"
LINK = Pagination("$.body.items", NextLink("$.body.next"))
CURSOR = Pagination("$.body.items", NextCursor("$.body.cursor", "after"))
NUMBER = Pagination("$.body.items", NextNumber("page"), 3)


def pages(rule: Pagination, url: str = URL) -> Pages:
    return Pages(rule, OutboundCall("GET", url, (("X-Own", "1"),)))


def page(headers: dict[str, Any] | None = None, **body: Any) -> CallResult:
    return CallResult(200, {**(headers or {})}, {"items": [1], **body})


def refused(taken: Pages, answer: CallResult) -> str:
    with pytest.raises(PagesFailed) as caught:
        taken.take(answer, None)
    return caught.value.failure.code


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://shop.example/api/orders?p=2", "https://shop.example/api/orders?p=2"),
        ("HTTPS://SHOP.example:443/api/orders?p=2#x", "https://shop.example/api/orders?p=2"),
        ("?p=2", "https://shop.example/api/orders?p=2"),
        ("/other", "https://shop.example/other"),
    ],
)
def test_a_link_is_followed_from_where_it_stands(link: str, url: str) -> None:
    taken = pages(LINK)
    call = taken.take(page(next=link), None)
    assert call is not None
    assert (call.url, call.headers) == (url, (("X-Own", "1"),))
    assert taken.take(page(next=None), None) is None
    assert taken.body == {"items": [1, 1], "pages": 2, "truncated": False}


@pytest.mark.parametrize(
    "link",
    [
        "https://other.example/api",
        "http://shop.example/api",
        "https://shop.example:8443/api",
        "//other.example/api",
        "https://shop.example.other.example/",
    ],
)
def test_a_link_to_another_place_is_refused(link: str) -> None:
    assert refused(pages(LINK), page(next=link)) == "PAGINATION_OTHER_HOST"


@pytest.mark.parametrize(
    "link", ["ftp://shop.example/", "https://shop.example@other.example/", "/x?t=[***]", {"href": "/x"}]
)
def test_a_link_that_can_not_be_read_is_refused(link: Any) -> None:
    assert refused(pages(LINK), page(next=link)) == "PAGINATION_UNREADABLE"


def test_the_credentials_own_parameter_is_not_taken_from_a_link() -> None:
    call = pages(LINK).take(page(next="/x?key=[***]&p=2"), "key")
    assert call is not None
    assert call.url == "https://shop.example/x?p=2"


def test_a_link_that_was_there_before_ends_the_pages() -> None:
    assert refused(pages(LINK), page(next=URL)) == "PAGINATION_LOOP"
    taken = pages(LINK)
    taken.take(page(next="?p=2"), None)
    taken.take(page(next="?p=3"), None)
    assert refused(taken, page(next="?p=2")) == "PAGINATION_LOOP"


def test_a_cursor_is_written_into_the_query() -> None:
    taken = pages(CURSOR)
    assert taken.first.url == URL
    second = taken.take(page(cursor="a b&c=/"), None)
    assert second is not None
    assert second.url == f"{URL}&after=a%20b%26c%3D%2F"
    third = taken.take(page(cursor=17, items=[]), None)
    assert third is not None
    assert third.url == f"{URL}&after=17"
    assert refused(taken, page(cursor="17")) == "PAGINATION_LOOP"
    assert refused(taken, page(cursor=17.0)) == "PAGINATION_LOOP"


@pytest.mark.parametrize("end", [{"cursor": None}, {"cursor": ""}, {"cursor": False}, {}])
def test_no_cursor_is_the_end(end: dict[str, Any]) -> None:
    assert pages(CURSOR).take(page(**end), None) is None


def test_numbers_go_on_until_a_page_is_empty_or_the_cap_is_reached() -> None:
    taken = pages(NUMBER, f"{URL}&page=9")
    urls = [taken.first.url]
    for _ in range(2):
        call = taken.take(page(), None)
        assert call is not None
        urls.append(call.url)
    assert urls == [f"{URL}&page={number}" for number in (1, 2, 3)]
    assert taken.take(page(), None) is None
    assert taken.body == {"items": [1, 1, 1], "pages": 3, "truncated": True}

    taken = pages(NUMBER)
    taken.take(page(), None)
    assert taken.take(page(items=[]), None) is None
    assert taken.body == {"items": [1], "pages": 2, "truncated": False}


@pytest.mark.parametrize("items", [None, {}, "[]", 0])
def test_a_page_without_a_list_is_refused(items: Any) -> None:
    assert refused(pages(NUMBER), page(items=items)) == "PAGINATION_UNREADABLE"


def test_what_pages_hold_together_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = pages(NUMBER)
    taken.take(page(items=["x" * 600_000]), None)
    assert refused(taken, page(items=["x" * 600_000])) == "OUTPUT_TOO_LARGE"
    monkeypatch.setattr(pagination, "MAX_ITEMS", 2)
    taken = pages(NUMBER)
    taken.take(page(items=[1, 2]), None)
    assert refused(taken, page(items=[3])) == "OUTPUT_TOO_LARGE"


@pytest.mark.parametrize(
    ("header", "link"),
    [
        ('<https://a.example/?p=2>; rel="next"', "https://a.example/?p=2"),
        ("<?p=1>;rel=prev, <?p=3>;rel=next", "?p=3"),
        ('</x,y>; title="a, <b>; rel=next"; rel="last", </n>; rel="start  NEXT"', "/n"),
        ("</a>; rel=prev; rel=next", None),
        ('</a>; anchor="#part"; rel=next', None),
        ("</a>", None),
        ("no link; rel=next", None),
        ('</a>; rel="next', None),
        ("", None),
    ],
)
def test_the_link_header_is_read_as_rfc_8288_says(header: str, link: str | None) -> None:
    assert next_link(header) == link
    if link is not None:
        rule = Pagination("$.body.items", NextLink("header"))
        call = pages(rule, "https://a.example/").take(page({"link": header}), None)
        assert call is not None
