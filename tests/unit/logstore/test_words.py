"""What is written is found: the same rule splits messages and searches."""

import unicodedata

import pytest
from headrace.errors import InvalidInput
from headrace.logstore.words import (
    MAX_SEARCH,
    MAX_WORD,
    MAX_WORDS,
    MAX_WORDS_WANTED,
    words_of,
    words_wanted,
)
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

TEXT = st.text(st.one_of(st.characters(), st.sampled_from(" .@_-+:/注é\u0301ßİ")), max_size=200)


@settings(deadline=None)
@given(TEXT)
def test_a_message_is_found_by_its_own_text(text: str) -> None:
    try:
        wanted = words_wanted(text)
    except InvalidInput:
        assume(False)
    assert set(wanted) <= set(words_of(text))


@settings(deadline=None)
@given(TEXT, st.sampled_from(["NFC", "NFD"]))
def test_case_and_composition_do_not_matter(text: str, form: str) -> None:
    assert words_of(unicodedata.normalize(form, text)) == words_of(text)
    assert set(words_of(text.casefold())) == set(words_of(text))


@settings(deadline=None)
@given(TEXT)
@example("0@.0")
@example("a" * (MAX_WORD - 1) + ".b")
def test_a_word_finds_itself_again(text: str) -> None:
    for word in words_of(text):
        assert words_of(word)[0] == word


@settings(deadline=None)
@given(st.text(max_size=20_000))
def test_words_are_bounded_and_storable(text: str) -> None:
    words = words_of(text)
    assert len(words) <= MAX_WORDS
    assert len(set(words)) == len(words)
    for word in words:
        assert 0 < len(word) <= MAX_WORD
        assert ":" not in word
        assert "\x00" not in word
        word.encode()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("order-17", {"order-17", "order", "17"}),
        ("HTTP_503", {"http_503", "http", "503"}),
        (
            "ann.lee@example.com",
            {"ann.lee@example.com", "ann.lee", "example.com", "ann", "lee", "example", "com"},
        ),
        ("https://a.b/c?d=e#f", {"https", "a.b", "a", "b", "c", "d", "e", "f"}),
        ("...end.", {"end"}),
        ("-- __ ..", set()),
        ("注文 번호", {"注", "文", "번호"}),
    ],
)
def test_ids_and_addresses_are_found_whole_and_by_part(text: str, words: set[str]) -> None:
    assert set(words_of(text)) == words


def test_a_search_is_bounded() -> None:
    most = " ".join(f"w{n}" for n in range(MAX_WORDS_WANTED))
    assert len(words_wanted(most)) == MAX_WORDS_WANTED
    for text in (most + " more", "a " * MAX_SEARCH, "?!"):
        with pytest.raises(InvalidInput):
            words_wanted(text)
    assert words_wanted(" ") == []
