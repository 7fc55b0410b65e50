"""Tokens of callback addresses: the same values make the same token, and nothing else passes for one."""

import base64
from uuid import UUID

import pytest
from headrace_control.callbacks.tokens import MAX_TOKEN, Token, read_token, write_token
from hypothesis import given
from hypothesis import strategies as st

KEY, OTHER = b"k" * 32, b"o" * 32
TOKEN = Token(UUID(int=1), UUID(int=2), "paid", 1_900_000_000)


def test_a_token_is_read_back_and_always_the_same() -> None:
    text = write_token(KEY, TOKEN)
    assert text == write_token(KEY, TOKEN)
    presented = read_token(text)
    assert presented is not None
    assert presented.token == TOKEN
    assert presented.is_genuine(KEY)
    assert not presented.is_genuine(OTHER)
    assert not presented.is_genuine(None)


@given(st.integers(0, 76), st.integers(1, 255))
def test_no_byte_of_a_token_can_be_changed(place: int, change: int) -> None:
    text = write_token(KEY, TOKEN)
    raw = bytearray(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    raw[place % len(raw)] ^= change
    changed = read_token(base64.urlsafe_b64encode(bytes(raw)).rstrip(b"=").decode())
    assert changed is None or not changed.is_genuine(KEY)


@given(
    st.one_of(
        st.text(max_size=200), st.binary(max_size=150).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_what_is_no_token_is_none_and_never_an_error(text: str) -> None:
    presented = read_token(text)
    assert presented is None or not presented.is_genuine(KEY)


@pytest.mark.parametrize("text", ["", "A" * (MAX_TOKEN + 1), "ä", "a b", "\0"])
def test_texts_of_other_shapes_are_none(text: str) -> None:
    assert read_token(text) is None


def test_the_longest_step_key_fits() -> None:
    assert read_token(write_token(KEY, Token(UUID(int=1), UUID(int=2), "s" * 63, 4_000_000_000))) is not None
