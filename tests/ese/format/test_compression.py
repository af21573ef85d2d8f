"""Compressed values: schemes, bounds, and streams of other encoders."""

from __future__ import annotations

import lz4.block
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.compression import compress_seven_bit, compress_xpress, decompress
from hotsplit.ese.format.xpress9 import crc32c


def test_published_values() -> None:
    assert decompress(bytes.fromhex("0ac8329bfd06"), 100) == b"Hello"
    assert decompress(bytes.fromhex("0f41e19058341e91"), 100) == b"ABCDEFGH"
    assert crc32c(b"123456789") == 0xE3069283


@given(data=st.lists(st.sampled_from([b"abc", b"\0" * 9, b"xyz12"]), min_size=9).map(b"".join))
def test_xpress_round_trip(data: bytes) -> None:
    packed = compress_xpress(data)
    assert packed is not None
    assert len(packed) < len(data)
    assert decompress(packed, len(data)) == data


@given(text=st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=200))
def test_seven_bit_round_trip(text: str) -> None:
    for data, is_text in ((text.encode(), False), (text.encode("utf-16-le"), True)):
        packed = compress_seven_bit(data, text=is_text)
        assert packed is not None
        assert decompress(packed, 400) == data


def test_what_cannot_be_smaller_is_not_compressed() -> None:
    assert compress_xpress(bytes(range(200))) is None
    assert compress_xpress(b"aaaa") is None
    assert compress_seven_bit(b"\x80", text=False) is None
    assert compress_seven_bit(b"", text=True) is None


@given(data=st.binary(min_size=1, max_size=3000))
def test_lz4(data: bytes) -> None:
    block = lz4.block.compress(data, store_size=False)
    value = b"\x38" + len(data).to_bytes(2, "little") + block
    assert decompress(value, 3000) == data


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "without data"),
        (b"\x20\0\0", "erased"),
        (b"\x30" + bytes(20), "XPRESS10"),
        (b"\xf8", "unknown"),
        (b"\x18\x05", "header"),
        (b"\x18\x05\0\xff\xff\xff\xff", "early|before"),
        (b"\x38\x05\0\xff", "LZ4"),
        (b"\x28" + bytes(40), "XPRESS9"),
    ],
)
def test_damage(value: bytes, why: str) -> None:
    with pytest.raises(DataDamaged, match=why) as caught:
        decompress(value, 1000)
    assert caught.value.jet == Jet.errDecompressionFailed


@given(value=st.binary(max_size=200), limit=st.integers(0, 500))
def test_any_bytes_end_in_bounded_output_or_our_error(value: bytes, limit: int) -> None:
    try:
        assert len(decompress(value, limit)) <= limit
    except DataDamaged as error:
        assert error.jet == Jet.errDecompressionFailed


class BitWriter:
    def __init__(self) -> None:
        self.bits: list[int] = []

    def put(self, value: int, count: int) -> None:
        self.bits += [value >> i & 1 for i in range(count)]

    def data(self) -> bytes:
        value = sum(bit << i for i, bit in enumerate(self.bits))
        return value.to_bytes((len(self.bits) + 7) // 8, "little")


def xpress9_literals(data: bytes) -> bytes:
    """An independent little encoder: flat code tables, literals only, no recent distances."""
    out = BitWriter()
    for size in (704, 256):
        out.put(0, 3)  # flat table: the first symbols one bit shorter
        assert size
    for byte in data:  # 704 symbols: 320 codes of 9 bits first
        out.bits += [byte >> i & 1 for i in range(8, -1, -1)]
    body = out.data()
    bits = len(out.bits) + 256
    words = [0x4E86D72A, len(data), bits, 0, 0, 1, 0]
    head = b"".join(w.to_bytes(4, "little") for w in words)
    head += crc32c(head).to_bytes(4, "little")
    return b"\x28" + crc32c(data).to_bytes(4, "little") + head + body


@given(data=st.binary(max_size=60))
def test_xpress9_of_an_independent_encoder(data: bytes) -> None:
    assert decompress(xpress9_literals(data), 60) == data


@given(data=st.binary(min_size=20, max_size=40), at=st.integers(5), value=st.integers(1, 255))
def test_xpress9_damage_is_noticed(data: bytes, at: int, value: int) -> None:
    stream = bytearray(xpress9_literals(data))
    stream[5 + at % (len(stream) - 5)] ^= value
    try:
        assert decompress(bytes(stream), 100) == data  # the flip hit unused bits
    except DataDamaged as error:
        assert error.jet == Jet.errDecompressionFailed
