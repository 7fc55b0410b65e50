"""E-mail addresses of members: one spelling each."""

import pytest
from headrace_control.members.emails import read_email


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("kim@example.com", "kim@example.com"),
        (" Kim.O'Neil+x@Mail.Example.COM\n", "kim.o'neil+x@mail.example.com"),
    ],
)
def test_an_address_is_in_lower_case(text: str, email: str) -> None:
    assert read_email(text) == email


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kim",
        "kim@localhost",
        "kim@@example.com",
        "k m@example.com",
        "kim@example.com,lee@example.com",
        "kim@e.\n",
        "kim@exa\u0307mple.com",
        "\u212aim@example.com",  # KELVIN SIGN: `k` in lower case
        "kim@\u0131nc.com",
        "k" * 65 + "@example.com",
        "k@" + "e" * 252 + ".com",
    ],
)
def test_what_is_no_address_or_has_a_twin_is_refused(text: str) -> None:
    assert read_email(text) is None
