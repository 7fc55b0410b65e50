"""Content codings are undone to a limit, and wrong ones are told."""

import functools
import gzip
import zlib

import brotli
import pytest
from headrace.outbound.decoding import CodingFailure, DecodedTooLarge, codings_of, decode
from hypothesis import given
from hypothesis import strategies as st

LIMIT = 1 << 18


def raw_deflate(data: bytes) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


ENCODERS = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
}
# At its best brotli takes ten seconds over a bomb; what it makes at its fastest is a bomb as well.
BOMB_MAKERS = {"br": functools.partial(brotli.compress, quality=1)}


@given(st.sampled_from(sorted(ENCODERS)), st.binary(), st.integers(1, 300))
async def test_what_was_encoded_is_decoded(coding: str, data: bytes, times: int) -> None:
    assert await decode(ENCODERS[coding](data * times), [coding], 1 << 20) == data * times


@pytest.mark.parametrize("data", [b"", b"x", b"hello " * 1000, bytes(LIMIT)])
async def test_deflate_without_its_frame(data: bytes) -> None:
    assert await decode(raw_deflate(data), ["deflate"], LIMIT) == data


async def test_codings_are_undone_from_the_last() -> None:
    assert (
        await decode(brotli.compress(gzip.compress(b"x")), codings_of(" GZIP , identity, br"), LIMIT) == b"x"
    )


async def test_gzip_members_follow_each_other_and_padding_is_passed_over() -> None:
    members = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    assert await decode(members, ["gzip"], LIMIT) == b"one two"
    assert await decode(members + bytes(100), ["gzip"], LIMIT) == b"one two"


@pytest.mark.parametrize("coding", sorted(ENCODERS))
async def test_the_limit_holds_while_decoding(coding: str) -> None:
    exact = ENCODERS[coding](bytes(LIMIT))
    assert len(await decode(exact, [coding], LIMIT)) == LIMIT
    with pytest.raises(DecodedTooLarge):
        await decode(ENCODERS[coding](bytes(LIMIT + 1)), [coding], LIMIT)
    with pytest.raises(DecodedTooLarge):
        await decode(BOMB_MAKERS.get(coding, ENCODERS[coding])(bytes(200_000_000)), [coding], LIMIT)


async def test_a_bomb_in_a_bomb() -> None:
    with pytest.raises(DecodedTooLarge):
        await decode(gzip.compress(gzip.compress(bytes(100_000_000))), ["gzip", "gzip"], LIMIT)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
@pytest.mark.parametrize("data", [b"plain text, not coded", b"\x1f\x8b\x08garbage", b"\x00", b"{}"])
async def test_what_is_not_in_its_coding_is_told(coding: str, data: bytes) -> None:
    with pytest.raises(CodingFailure):
        await decode(data, [coding], LIMIT)


@pytest.mark.parametrize("coding", sorted(ENCODERS))
async def test_a_cut_body_is_told(coding: str) -> None:
    whole = ENCODERS[coding](b"some text that is long enough " * 50)
    with pytest.raises(CodingFailure):
        await decode(whole[:-5], [coding], LIMIT)


@pytest.mark.parametrize("codings", [["zstd"], ["compress"], ["gzip", "unknown"], ["gzip"] * 4])
async def test_unknown_and_stacked_codings_are_refused(codings: list[str]) -> None:
    with pytest.raises(CodingFailure):
        await decode(gzip.compress(b"x"), codings, LIMIT)
