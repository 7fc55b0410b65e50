"""Signatures of messages between servers: the specification's own example, and what is none."""

import pytest
from headrace.signed_messages import is_id, is_secret, is_signed, new_secret, seconds_of, sign

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_it_signs_as_libraries_of_the_specification_do() -> None:
    assert sign(SECRET, *MESSAGE) == SIGNATURE
    assert is_signed([SECRET], SIGNATURE, *MESSAGE)


def test_one_of_several_signatures_and_secrets_is_enough() -> None:
    other = new_secret()
    assert other != new_secret()
    assert is_signed([other, SECRET], f"v1a,x {sign(new_secret(), *MESSAGE)} {SIGNATURE}", *MESSAGE)
    assert not is_signed([other], SIGNATURE, *MESSAGE)
    assert not is_signed([], SIGNATURE, *MESSAGE)


@pytest.mark.parametrize(
    "header", ["", " ", "v1", SIGNATURE[3:], SIGNATURE[:-1], f"v2{SIGNATURE[2:]}", "v1,é"]
)
def test_whatever_is_no_signature(header: str) -> None:
    assert not is_signed([SECRET], header, *MESSAGE)


def test_so_many_signatures_are_looked_at() -> None:
    assert is_signed([SECRET], "x " * 9 + SIGNATURE, *MESSAGE)
    assert not is_signed([SECRET], "x " * 10 + SIGNATURE, *MESSAGE)


def test_every_part_is_signed() -> None:
    id_, seconds, body = MESSAGE
    for changed in ((id_ + "x", seconds, body), (id_, seconds + 1, body), (id_, seconds, body + b" ")):
        assert not is_signed([SECRET], SIGNATURE, *changed)


def test_what_headers_and_secrets_may_hold() -> None:
    assert [seconds_of(text) for text in ("1614265330", "", "-1", "1.5", "٣", "9" * 13)] == [
        1614265330,
        *[None] * 5,
    ]
    # With a dot, a part of the id could be taken for the timestamp, and the timestamp for the body.
    assert [is_id(text) for text in ("msg_1", "a-b", "", "a.b", "a b", "a\n", "x" * 129)] == [
        True,
        True,
        *[False] * 5,
    ]
    assert is_secret(SECRET)
    assert not any(
        is_secret(text) for text in ("", SECRET[6:], "whsec_", "whsec_c2hvcnQ=", "whsec_*", "whsec_é")
    )
    with pytest.raises(ValueError, match="whsec_"):
        sign("x", *MESSAGE)
