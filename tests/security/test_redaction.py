"""P6: secrets are found in every encoding in which they are sent, and what is echoed is redacted when read."""

import base64
import html
import json
import logging
import urllib.parse
from collections.abc import Callable

import httpx
import orjson
import pytest
from headrace.json_types import Json
from headrace.outbound.auth import Credential, secrets_of_text
from headrace.outbound.call import CallFailure, CallResult, OutboundCall
from headrace.outbound.client import OutboundClient
from headrace.outbound.policy import EgressPolicy, Opening
from headrace.outbound.pools import OutboundPools
from headrace.outbound.transport import trusted_transport
from headrace.redaction import MARKER, Redactor, truncate
from headrace.workflow.definition import AuthKind
from hypothesis import given
from hypothesis import strategies as st

from tests.journal_server import Exchange, JournalServer, answering
from tests.security.secret_encodings import ENCODINGS

TENANT = "0190a0a0-0000-7000-8000-000000000001"
SECRETS = [
    "abcdefgh",
    "s3cr3t/k+y=&?#%20 x",
    "quo\"te\\back\nline\ttab<>'",
    "пароль-секрет",
    "emoji\U0001f600\U0001f601key",
    "!@#$%^&*()",
    "-----BEGIN KEY-----\nMIIB+/==\n-----END KEY-----\n",
    "12345678",
]


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_in_each_encoding(secret: str, encoding: str) -> None:
    encoded = ENCODINGS[encoding](secret)
    redactor = Redactor([secret])
    text = redactor.text(f"before {encoded} after")
    assert MARKER in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    # No run of the encoded value that is worth anything is left.
    kept = text.removeprefix("before ").removesuffix(" after")
    assert not any(encoded[at : at + 8] in kept for at in range(max(1, len(encoded) - 7)))
    value: Json = {"a": [{encoded: encoded}]}
    redacted = redactor.value(value)
    assert redacted != value
    assert encoded not in orjson.dumps(redacted).decode()
    assert secret not in str(redacted)


@pytest.mark.parametrize("around", ["{}\n", " {}", "\r\n{} \t"])
@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_a_secret_is_found_without_the_white_space_around_it(encoding: str, around: str) -> None:
    """As headers are sent, as `trim` makes it, and as targets say what they read."""
    encoded = ENCODINGS[encoding]("s3cr3t/k+y=&?#%20 x")
    redactor = Redactor([around.format("s3cr3t/k+y=&?#%20 x")])
    assert redactor.text(f"no such token: <{encoded}>").count(MARKER) == 1
    assert encoded not in redactor.text(f"no such token: <{encoded}>")
    assert Redactor([" short \n "]).text("short") == "short"


@pytest.mark.parametrize(("width", "end"), [(60, "\n"), (64, "\n"), (76, "\r\n")])
@pytest.mark.parametrize("secret", ["a-long-token-" + "x1y2z3" * 20, "short-one-of-20-char", "пароль-секрет"])
def test_a_secret_is_found_in_lines_of_base64(secret: str, width: int, end: str) -> None:
    """As Ruby, Python, Perl, Java and OpenSSL write it, and GitHub answers with files."""
    redactor = Redactor([secret])
    for before in range(0, width * 3 // 4, 5):
        file = b"-" * before + f'key = "{secret}"\n'.encode() + b"-" * 70
        encoded = base64.b64encode(file).decode()
        lines = end.join(encoded[at : at + width] for at in range(0, len(encoded), width)) + end
        for hidden in (
            redactor.text(lines),
            redactor.text(json.dumps({"content": lines})),
            str(redactor.value({"content": lines})),
        ):
            assert MARKER in hidden
            # What is left of it, at most: the characters at its ends that its neighbours share.
            left = hidden.replace("\\r", "").replace("\\n", "").replace("\r", "").replace("\n", "")
            assert len(left) <= len(encoded) - len(secret.encode()) * 4 // 3 + len(MARKER) + 40
            assert base64.b64encode(secret.encode()).decode()[4:12] not in left


def test_lines_that_are_no_base64_stay_as_they_are() -> None:
    text = "-".join(["one", "two"]) + "\n" + "three four\n" * 50
    assert Redactor(["two\nthree four"]).text(text) != text
    assert Redactor(["twothree"]).text(text) == text


@pytest.mark.parametrize("username", ["u", "us", "use", "user", "üser"])
def test_basic_hides_its_password_whatever_stands_before_it(username: str) -> None:
    header = "Basic " + base64.b64encode(f"{username}:hunter22".encode()).decode()
    redacted = Redactor(["hunter22"]).text(header)
    left = redacted.removeprefix("Basic ").replace(MARKER, "")
    assert MARKER in redacted
    assert b"hu" not in base64.b64decode(left[: len(left) // 4 * 4])
    assert len(left) <= len(username.encode()) * 4 / 3 + 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["\\", '\\"', "\\u005c", "%", "%25", "&", "&amp;", "/", "\n", "\\n", "+", " ", "\\/"]
)
def test_no_secret_makes_the_search_explode(unit: str) -> None:
    """A tenant chooses its secrets and, by its own target, the text that is searched."""
    redactor = Redactor([unit * 60])
    for text in (
        unit,
        f"\\{unit}",
        unit * 2,
        json.dumps(unit)[1:-1],
        urllib.parse.quote(unit),
        html.escape(unit),
    ):
        for tail in ("", "x"):
            redactor.text((text * 59 + "!") * 40 + tail)
            redactor.text(text * 20_000 + tail)
    assert redactor.text(unit * 60) == MARKER


def test_text_made_to_be_redacted_without_end_is_replaced_whole() -> None:
    text = "abcdefgh"
    for _ in range(50):
        text = f"ab{text}cdefgh"
    redactor = Redactor(["abcdefgh", f"ab{MARKER}cdefgh"])
    assert redactor.text(text) == MARKER
    assert redactor.value({"a": [text]}) == {"a": [MARKER]}


text_with_specials = st.text(st.sampled_from('ab/+ "\\%é\n[]*'), min_size=8, max_size=20)


@given(st.lists(text_with_specials, min_size=1, max_size=4), st.text(), st.sampled_from(sorted(ENCODINGS)))
def test_redacting_twice_changes_nothing_more(secrets: list[str], noise: str, encoding: str) -> None:
    redactor = Redactor(secrets)
    text = noise.join(ENCODINGS[encoding](secret) for secret in secrets)
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert not any(secret in once for secret in secrets)


@given(
    st.text(),
    st.recursive(
        st.none() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text(), v)
    ),
)
def test_what_holds_no_secret_stays_the_same_object(text: str, value: Json) -> None:
    redactor = Redactor(["a value that is not there"])
    assert redactor.text(text) == text
    assert redactor.value(value) is value or redactor.value(value) == value
    assert Redactor().value(value) is value


def test_short_values_are_not_searched_for() -> None:
    assert Redactor(["1234567", ""]).text("1234567") == "1234567"


def test_values_of_every_type_are_searched() -> None:
    redactor = Redactor(["12345678", "key-secret"])
    value: Json = {"n": 12345678, "f": 12345678.5, "ok": True, "key-secret": [None, "x12345678x"]}
    assert redactor.value(value) == {
        "n": MARKER,
        "f": f"{MARKER}.5",
        "ok": True,
        MARKER: [None, f"x{MARKER}x"],
    }
    assert redactor.value({"key-secret": 1, "key%2Dsecret": 2}) == {MARKER: 1, f"{MARKER}1": 2}
    assert redactor.value({"big": 10**30, "s": "12345678"}) == {"big": 10**30, "s": MARKER}


def test_with_more_knows_both_and_leaves_the_first_as_it_was() -> None:
    first = Redactor(["first-secret"])
    both = first.with_more(["second-secret", "short"])
    assert both.text("first-secret second-secret") == f"{MARKER} {MARKER}"
    assert first.text("second-secret") == "second-secret"
    assert first.with_more(["first-secret"]) is first


def test_truncate_notes_the_true_length() -> None:
    assert truncate("abc", 3) == "abc"
    assert truncate("abcdef", 3) == "abc… [6 characters]"
    assert truncate({"a": 1}, 100) == {"a": 1}
    assert truncate({"a": [1, 2, 3]}, 5) == '{"a":… [13 characters]'
    assert truncate([10**30], 3) == "[10… [33 characters]"


HOSTS = frozenset({"127.0.0.1"})
CANARY = 'canary-/+"s3cr3t'


@pytest.mark.parametrize("status", [200, 422])
@pytest.mark.parametrize(
    "credential",
    [
        Credential(AuthKind.API_KEY, {"key": CANARY}, HOSTS),
        Credential(AuthKind.API_KEY, {"key": CANARY, "in": "query", "name": "k"}, HOSTS),
        Credential(AuthKind.BASIC, {"username": "me", "password": CANARY}, HOSTS),
        Credential(AuthKind.OAUTH2, {"access_token": CANARY}, HOSTS),
        Credential(AuthKind.CUSTOM_HEADER, {"X-Api-Key": CANARY}, HOSTS),
    ],
)
async def test_an_echoed_credential_is_redacted_as_it_is_read(credential: Credential, status: int) -> None:
    async def script(exchange: Exchange) -> None:
        seen = exchange.request
        echo = {"headers": seen.headers, "path": seen.path, CANARY: [CANARY]}
        await exchange.respond(
            status,
            json.dumps(echo).encode(),
            {"Content-Type": "application/json", "X-Echo": seen.headers.get("authorization") or seen.path},
        )

    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
    async with JournalServer(script) as server:
        outcome = await OutboundClient(pools).send(
            OutboundCall("GET", server.url), tenant_id=TENANT, credential=credential
        )
    await pools.aclose()
    output = outcome.output if isinstance(outcome, CallResult) else outcome.response
    shown = orjson.dumps(output).decode() + repr(outcome)
    assert MARKER in shown
    assert "s3cr3t" not in shown
    assert base64.b64encode(b"s3cr3t").decode()[:6] not in shown
    assert isinstance(outcome, CallResult | CallFailure)


@pytest.mark.parametrize("secret", [CANARY, "canary-/s3cr3t-é", "canary-s3cr3t-plain"])
@pytest.mark.parametrize(
    "written",
    [
        lambda s: s.encode(),
        lambda s: json.dumps({"k": s}).encode(),
        lambda s: json.dumps({"k": s}).replace("/", "\\/").encode(),
        lambda s: urllib.parse.quote(s, safe="").encode(),
        lambda s: html.escape(s).encode(),
        lambda s: base64.b64encode(s.encode()),
        lambda s: s.encode("utf-16"),
        lambda s: json.dumps({"k": s}).encode("utf-16-be"),
    ],
)
async def test_what_is_echoed_as_bytes_or_in_another_encoding_is_redacted(
    written: Callable[[str], bytes], secret: str
) -> None:
    """Nothing of it is left in base64, which is another one for each spelling of what it stands for."""
    body = written(secret)
    for data, media in (
        (b"\x89\x00" + body + b"\xff", "image/png"),
        (body, "application/vnd.x"),
        (body, "text/csv"),
    ):
        redactor = Redactor([secret])
        pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
        script = answering(200, data, {"Content-Type": media, "X-Echo": secret.encode().decode("latin-1")})
        async with JournalServer(script) as server:
            call = OutboundCall("GET", server.url)
            outcome = await OutboundClient(pools).send(call, tenant_id=TENANT, redactor=redactor)
        await pools.aclose()
        assert isinstance(outcome, CallResult)
        assert outcome.headers["x-echo"] == MARKER
        if media == "text/csv" and b"\0" in data and not data.startswith(b"\xff\xfe"):
            continue  # UTF-16 without a word of it is no text
        if media == "text/csv":
            assert MARKER in str(outcome.body)
            assert "s3cr3t" not in str(outcome.body)
        else:
            assert isinstance(outcome.body, dict)
            hidden = str(outcome.body["base64"])
            assert MARKER in hidden
            assert len(hidden) < 12  # at most what stands before and behind it


async def test_bytes_without_a_secret_come_as_they_are() -> None:
    data = bytes(range(256)) * 4
    pools = OutboundPools(EgressPolicy((Opening.parse("127.0.0.0/8"),)))
    async with JournalServer(answering(200, data, {"Content-Type": "image/png"})) as server:
        call = OutboundCall("GET", server.url)
        outcome = await OutboundClient(pools).send(call, tenant_id=TENANT, redactor=Redactor([CANARY]))
    await pools.aclose()
    assert isinstance(outcome, CallResult)
    assert outcome.body == {"contentType": "image/png", "base64": base64.b64encode(data).decode()}


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("Bearer canary-token-1", "canary-token-1"),
        ("Basic " + base64.b64encode(b"someone:canary-password").decode(), "canary-password"),
        ('Token token="canary-token-1", nonce="x"', "canary-token-1"),
        ("sid=canary-cookie-1; lang=fi", "canary-cookie-1"),
    ],
)
def test_what_targets_read_out_of_a_header_is_a_secret_too(header: str, read: str) -> None:
    for kind, fields in ((AuthKind.CUSTOM_HEADER, {"X": header}), (AuthKind.API_KEY, {"key": header})):
        redactor = Redactor(Credential(kind, fields, HOSTS).secrets())
        assert redactor.value({"seen": read, "raw": header}) == {"seen": MARKER, "raw": MARKER}


def test_a_header_that_only_looks_like_basic_is_a_secret_as_it_is() -> None:
    redactor = Redactor(Credential(AuthKind.CUSTOM_HEADER, {"X": "Basic not base64!"}, HOSTS).secrets())
    assert redactor.text("it said: not base64!") == f"it said: {MARKER}"


async def test_httpx_logs_no_url(caplog: pytest.LogCaptureFixture) -> None:

    caplog.set_level(logging.INFO)
    async with (
        JournalServer(answering()) as server,
        httpx.AsyncClient(transport=trusted_transport(), trust_env=False) as client,
    ):
        await client.get(f"{server.url}/?key=canary-secret")
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("secret", "read"),
    [
        ("Bearer canary-token-1", "canary-token-1"),
        ("Bearer  canary-token-1\n", "canary-token-1"),
        ("Basic " + base64.b64encode(b"someone:canary-password").decode(), "canary-password"),
    ],
)
def test_a_secret_that_is_made_for_a_header_is_found_without_its_scheme(secret: str, read: str) -> None:
    redactor = Redactor(secrets_of_text(secret))
    assert redactor.text(f"unknown token {read}!") == f"unknown token {MARKER}!"


@pytest.mark.parametrize("text", ["a secret of words", "key=production", "one-word", " "])
def test_words_of_a_secret_are_no_secrets(text: str) -> None:
    assert [*secrets_of_text(text)] == [text]
