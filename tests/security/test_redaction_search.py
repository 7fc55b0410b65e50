"""P6: searching many texts for many secrets at once finds what looking for each in each, in every layer, would find.

The reference is that plain search: slow, and short enough to be read.
"""

import base64
import html
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from urllib.parse import quote_plus
from uuid import UUID

import orjson
import pytest
from headrace.json_types import Json
from headrace.redaction import MARKER, Redactor
from headrace.secret_layers import MOST_WORK, SearchBudget, TooMuchToSearch
from headrace.workflow.sensitive import leaves_of
from headrace_runner.sensitive import MOST_SEALED, Sensitive, opened
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.security.secret_encodings import COSTLY, ENCODINGS

RUN, KEY = UUID(int=1), bytes(32)

# -- the reference -------------------------------------------------------------------------------------------------

# Characters, each with where it begins and ends in the text as it was given.
Characters = list[tuple[str, int, int]]
HEX = "[0-9a-fA-F]"
MORE = f"%[89abAB]{HEX}"
JSON_ESCAPE = re.compile(rf"\\u[dD][89abAB]{HEX}{{2}}\\u[dD][c-fC-F]{HEX}{{2}}|\\u{HEX}{{4}}|\\[\"\\/bfnrt]")
PERCENT_ESCAPE = re.compile(
    f"%[0-7]{HEX}|%[cCdD]{HEX}{MORE}|%[eE]{HEX}(?:{MORE}){{2}}|%[fF][0-7](?:{MORE}){{3}}"
)
BREAK = re.compile("(?<=[A-Za-z0-9+/_-]{40})\r?\n(?=[A-Za-z0-9+/_-])")
HTML_ESCAPE = re.compile(f"&(?:#[0-9]{{1,7}}|#[xX]{HEX}{{1,6}}|amp|lt|gt|quot|apos);")


def decoded(layer: Characters, escape: re.Pattern[str], stands_for: Callable[[str], str]) -> Characters:
    text = "".join(character for character, _, _ in layer)
    inner: Characters = []
    done = 0
    for match in escape.finditer(text):
        start, end = match.span()
        inner += layer[done:start]
        first, last = layer[start][1], layer[end - 1][2]
        made = stands_for(match[0])
        inner += [(one, min(first + n, last), last) for n, one in enumerate(made)]
        done = end
    return [*inner, *layer[done:]]


def of_json(layer: Characters) -> Characters:
    return decoded(layer, JSON_ESCAPE, lambda escape: str(json.loads(f'"{escape}"')))


def of_percents(layer: Characters) -> Characters:
    return decoded(
        layer, PERCENT_ESCAPE, lambda e: bytes.fromhex(e.replace("%", "")).decode("utf-8", "replace")
    )


def of_html(layer: Characters) -> Characters:
    return decoded(layer, HTML_ESCAPE, html.unescape)


def layers(layer: Characters, depth: int = 0) -> Iterator[Characters]:
    yield layer
    if depth < 4:
        for decode in (of_json, of_percents, of_html) if depth < 2 else (of_json,):
            if (inner := decode(layer)) != layer:
                yield from layers(inner, depth + 1)


def forms(secret: str) -> Iterator[tuple[str, bool]]:
    """What is looked for; whether it is cut out of base64."""
    data = secret.encode()
    yield secret, False
    yield data.hex(), False
    yield data.hex().upper(), False
    for written in (
        secret,
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
    ):
        for shift, first in enumerate((0, 2, 3)):
            made = bytes(shift) + written.encode()
            inner = base64.b64encode(made).decode()[first : len(made) * 8 // 6]
            yield inner, True
            yield inner.replace("+", "-").replace("/", "_"), True


def sought(secrets: Sequence[str]) -> Iterator[str]:
    return (one for secret in secrets for one in (secret, secret.strip()) if len(one) >= 8)


def hidden_in(text: str, secrets: Sequence[str]) -> set[int]:
    """The characters of `text` that are of a secret."""
    given_text = [(character, n, n + 1) for n, character in enumerate(text)]
    spaced = [(" " if one == "+" else one, start, end) for one, start, end in given_text]
    found: set[int] = set()
    whole = [*layers(given_text), spaced, of_percents(spaced)]
    for layer in [*whole, *(decoded(layer, BREAK, lambda _: "") for layer in whole)]:
        inner = "".join(character for character, _, _ in layer)
        for wanted, loose in (form for secret in sought(secrets) for form in forms(secret)):
            start = inner.find(wanted)
            while start >= 0:
                first, end = start, start + len(wanted)
                if loose:
                    first -= bool(re.match("[A-Za-z0-9+/_-]", inner[first - 1 : first])) if first else 0
                    end += bool(re.match("[A-Za-z0-9+/_-]", inner[end : end + 1]))
                    padding = re.match("={0,2}", inner[end:])
                    end += len(padding[0]) if padding else 0
                found.update(range(layer[first][1], layer[end][1] if end < len(layer) else len(text)))
                start = inner.find(wanted, end)
    return found


def plainly_redacted(text: str, secrets: Sequence[str]) -> str:
    for _ in range(10):
        found = hidden_in(text, secrets)
        if not found:
            return text
        shown = [
            MARKER if n in found and n - 1 not in found else "" if n in found else one
            for n, one in enumerate(text)
        ]
        text = "".join(shown)
    return MARKER


# -- what is compared ----------------------------------------------------------------------------------------------

characters = st.sampled_from('abAB01+/-_= %&;#\\"\n\0é€😀')
beginnings = st.text(characters, min_size=8, max_size=10)


@st.composite
def secrets_alike(draw: st.DrawFn, most: int) -> list[str]:
    """Some begin like others, or are in others, or overlap them."""
    known = draw(st.lists(beginnings, min_size=1, max_size=3))
    for _ in range(draw(st.integers(0, most))):
        one, other = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        known.append(
            draw(st.sampled_from([one + draw(characters), one[4:] + other, other[:8] + one, one.swapcase()]))
        )
    return [secret for secret in known if len(secret) >= 8]


def in_lines(text: str, width: int = 44, end: str = "\n") -> str:
    return end.join(text[at : at + width] for at in range(0, len(text), width))


@st.composite
def texts_with(draw: st.DrawFn, secrets: list[str]) -> str:
    pieces: list[str] = []
    for _ in range(draw(st.integers(0, 4))):
        piece = draw(st.sampled_from(secrets) | st.text(characters, max_size=6))
        for encoding in draw(st.lists(st.sampled_from(sorted(ENCODINGS)), max_size=3)):
            piece = ENCODINGS[encoding](piece)[:300]
        if draw(st.sampled_from([False, False, False, True])):
            piece = in_lines("x" * draw(st.integers(35, 60)) + piece)
        cut = draw(st.sampled_from([0, 0, 0, 1, 3]))
        pieces.append(piece[cut:] if draw(st.booleans()) else piece[: len(piece) - cut])
    return "".join(pieces)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    secrets = draw(secrets_alike(draw(st.sampled_from([2, 12]))))
    return secrets, draw(st.lists(texts_with(secrets), max_size=6))


@settings(max_examples=300, deadline=None)
@given(cases())
def test_what_is_hidden_is_what_a_plain_search_hides(case: tuple[list[str], list[str]]) -> None:
    secrets, texts = case
    redactor = Redactor(secrets)
    plain = [plainly_redacted(text, secrets) for text in texts]
    assert [redactor.text(text) for text in texts] == plain
    assert redactor.value([*texts]) == plain
    assert redactor.anything((*texts,)) == (*plain,)
    assert redactor.with_more(["another of eight"]).value([*texts]) == [
        plainly_redacted(text, [*secrets, "another of eight"]) for text in texts
    ]


def test_nothing_is_found_across_two_texts() -> None:
    """They are searched as one, with a NUL in between, which a secret may have too."""
    secrets = ["abcdefgh\0abcdefgh", "abcdefghabcdefgh"]
    texts: Json = ["abcdefgh", "abcdefgh\0abcdefg", "abcdefgh", {"abcdefgh": "abcdefgh"}]
    assert Redactor(secrets).value(texts) is texts
    assert Redactor(secrets).value(["abcdefgh", "abcdefgh\0abcdefgh"]) == ["abcdefgh", MARKER]


@settings(max_examples=100)
@given(cases())
def test_what_is_sensitive_is_what_a_plain_search_finds(case: tuple[list[str], list[str]]) -> None:
    secrets, texts = case
    known = Sensitive(RUN, RUN, KEY)
    known.learn(leaves_of([*secrets], "known"))
    shown = [MARKER if plainly_redacted(text, secrets) != text else text for text in texts]
    assert known.hidden([*texts]) == shown
    sealed: Any = known.sealed("row", [*texts])
    assert [isinstance(part, dict) for part in sealed] == [one == MARKER for one in shown]
    assert opened(RUN, {RUN: KEY}, "row", sealed)[0] == texts


@given(st.text(st.sampled_from('%&;#\\uxX041cCeEfFdD89aAbBnt/"+ampltqos'), max_size=60), st.integers(0, 3))
def test_runs_of_escapes_mean_what_each_escape_means(text: str, shift: int) -> None:
    """Escapes that stand side by side are undone at once; a secret tells what they stand for."""
    meant = ["".join(one for one, _, _ in layer) for layer in layers([(one, 0, 0) for one in text])]
    for layer in meant:
        secret = layer[shift:]
        if len(secret) >= 8 and not re.search("[\ud800-\udfff]", secret):
            assert MARKER in Redactor([secret]).text(text)


# -- what takes too long is hidden as a whole ----------------------------------------------------------------------


@pytest.mark.parametrize("known", [["a-secret-of-eight"], [f"secret {n:04}" for n in range(100)]])
def test_what_takes_too_long_is_hidden_as_a_whole(known: list[str]) -> None:
    redactor, value = Redactor(known), {"status": 200, "body": [COSTLY, "short"]}
    assert redactor.text(COSTLY) == MARKER
    assert redactor.value(value) == MARKER
    assert redactor.anything(COSTLY) == redactor.anything((COSTLY,)) == MARKER
    with pytest.raises(TooMuchToSearch):
        redactor.replacements([COSTLY])
    sensitive = Sensitive(RUN, RUN, KEY)
    sensitive.learn(leaves_of([*known], "known"))
    assert sensitive.hidden(value) == MARKER
    sealed = sensitive.sealed("row", value)
    assert COSTLY[:100] not in orjson.dumps(sealed).decode()
    assert opened(RUN, {RUN: KEY}, "row", sealed)[0] == value


def test_an_output_of_very_many_sensitive_parts_is_sealed_as_one() -> None:
    sensitive = Sensitive(RUN, RUN, KEY)
    sensitive.learn([("pin", "7391")])
    for more, names in ((0, ["pins"]), (1, ["$sealed"])):
        crowd: Json = {"pins": ["7391"] * (MOST_SEALED + more)}
        sealed: Any = sensitive.sealed("row", crowd)
        assert list(sealed) == names
        assert opened(RUN, {RUN: KEY}, "row", sealed)[0] == crowd


@pytest.mark.parametrize("number", [-1_048_575, -1_000_000, 12_345_678, 10_000_000, -1.234567])
def test_a_number_as_long_as_a_secret_is_searched(number: Json) -> None:
    known = Redactor([str(number)[:8]])
    assert known.value([number]) == [MARKER + str(number)[8:]]
    assert known.anything((number,)) == (MARKER + str(number)[8:],)


def test_an_output_is_searched_anew_once_more_is_known() -> None:
    sensitive, output = Sensitive(RUN, RUN, KEY), ["the first secret", "the second secret"]
    for known, sealed in (("first secret", [True, False]), ("second secret", [True, True])):
        sensitive.learn([("known", known)])
        for row in ("", "row"):
            parts: Any = sensitive.sealed(row, [*output] if row else output)
            assert [isinstance(part, dict) for part in parts] == sealed


@pytest.mark.parametrize(
    "value",
    [
        ["<a href='/x?a=1&amp;b=%20c'>Fish &amp; chips</a>, and some plain text that follows\n" * 3_000] * 4,
        [
            {"id": n, "name": f"order {n}", "url": f"https://shop.example/%20?n={n}&b=c+d"}
            for n in range(10_000)
        ],
        "Привет, мир! " * 20_000,
        json.dumps('Привет, "мир"! ' * 3_000),
    ],
    ids=["web pages", "orders", "another script", "JSON in a text"],
)
def test_large_values_as_they_are_met_are_searched(value: Json) -> None:
    redactor = Redactor([f"secret {n:04}" for n in range(100)])
    assert len(orjson.dumps(value)) > 200_000
    assert redactor.value(value) is value


def test_a_budget_ends() -> None:
    budget = SearchBudget()
    budget.spend(MOST_WORK)
    with pytest.raises(TooMuchToSearch):
        budget.spend(1)
