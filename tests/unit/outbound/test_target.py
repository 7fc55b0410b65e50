"""URLs are read by one rule: hosts become canonical, paths stay as they were written."""

import pytest
from headrace.outbound.target import InvalidTarget, Target, join_target, parse_target


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "0X7F000001",
        "2130706433",
        "017700000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
    ],
)
def test_every_spelling_of_an_ipv4_host_is_one_host(host: str) -> None:
    assert parse_target(f"http://{host}/").host == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "canonical"),
    [
        ("EXAMPLE.com", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[::ffff:127.0.0.1]", "::ffff:7f00:1"),
        ("my_service-1.local", "my_service-1.local"),
        ("0", "0.0.0.0"),
    ],
)
def test_hosts_become_canonical(host: str, canonical: str) -> None:
    assert parse_target(f"http://{host}/").host == canonical


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/relative",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "http://",
        "http:///path",
        "http://user@example.com/",
        "http://user:secret@example.com/",
        "http://@example.com/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:８０/",
        "http://example.com:80:80/",
        "http://exa mple.com/",
        "http://example.com\\@evil.example/",
        "http://example..com/",
        "http://-example.com/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[127.0.0.1]/",
        "http://256.0.0.1/",
        "http://1.2.3.4.5/",
        "http://0x100000000/",
        "http://08.0.0.1/",
        "http://example.0x/a",
        "http://example.com/\r\nX: y",
        "http://example.com/\0",
        "http://example.com/\ud800",
        "http://" + "a" * 64 + ".example/",
        "http://example.com/" + "a" * 20_000,
        "http://%ff.example/",
    ],
)
def test_what_is_not_a_plain_http_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidTarget) as caught:
        parse_target(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://h.example", "/"),
        ("http://h.example?a=1", "/?a=1"),
        ("http://h.example/a/%2e%2e/b", "/a/%2e%2e/b"),
        ("http://h.example/a/../b//c", "/a/../b//c"),
        ("http://h.example/%C3%A9?q=%20+", "/%C3%A9?q=%20+"),
        ("http://h.example/é b", "/%C3%A9%20b"),
        ("http://h.example/a#fragment", "/a"),
        ("http://h.example/a?b=http://u@x/", "/a?b=http://u@x/"),
    ],
)
def test_the_path_stays_as_it_was_written(url: str, path: str) -> None:
    assert parse_target(url).path == path


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://h.example:80/", "h.example"),
        ("https://h.example:443/", "h.example"),
        ("https://h.example:80/", "h.example:80"),
        ("http://[::1]:8080/", "[::1]:8080"),
        ("HTTP://H.example:/", "h.example"),
    ],
)
def test_authority_names_the_port_only_when_it_must(url: str, authority: str) -> None:
    assert parse_target(url).authority == authority


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/x?y=1", Target("https", "a.example", 8443, "/x?y=1")),
        ("x", Target("https", "a.example", 8443, "/one/x")),
        ("//b.example/x", Target("https", "b.example", 443, "/x")),
        ("http://127.1:99/x", Target("http", "127.0.0.1", 99, "/x")),
        ("?q", Target("https", "a.example", 8443, "/one/two?q")),
    ],
)
def test_redirects_resolve_against_where_they_came_from(location: str, target: Target) -> None:
    assert join_target(Target("https", "a.example", 8443, "/one/two"), location) == target


@pytest.mark.parametrize(
    "location", ["gopher://b/", "http://u:p@b.example/", "//[x", "/a\r\nb", "http://[::1"]
)
def test_redirects_to_what_is_no_target_are_refused(location: str) -> None:
    with pytest.raises(InvalidTarget):
        join_target(Target("https", "a.example", 443, "/"), location)
