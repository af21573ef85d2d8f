"""The compress kernel: round trips, and the compiled one equal to its reference."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotsplit._native import compress_py

KERNELS: list[ModuleType] = [compress_py]
try:
    from hotsplit._native import compress

    KERNELS.append(compress)
except ImportError:
    compress = None  # type: ignore[assignment]

kernels = pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__.rsplit(".", 1)[-1])
native = pytest.mark.skipif(compress is None, reason="the compiled kernel is not built")

# Data that compresses: few symbols, repeated pieces, and long runs.
texts = st.one_of(
    st.binary(max_size=400),
    st.lists(
        st.sampled_from([b"abc", b"a", b"\0" * 40, b"hello world", b"x" * 300]), max_size=60
    ).map(b"".join),
)


@kernels
@given(data=texts)
def test_xpress_round_trip(kernel: ModuleType, data: bytes) -> None:
    assert kernel.xpress_decode(kernel.xpress_encode(data), len(data)) == data


@kernels
@given(data=st.binary(max_size=300).map(lambda d: bytes(b & 0x7F for b in d)))
def test_seven_bit_round_trip(kernel: ModuleType, data: bytes) -> None:
    packed = kernel.seven_bit_encode(data)
    assert len(packed) == -(-len(data) * 7 // 8)
    assert kernel.seven_bit_decode(packed, len(data), False) == data
    assert kernel.seven_bit_decode(packed, len(data), True).decode("utf-16-le").encode() == data


@kernels
def test_published_streams(kernel: ModuleType) -> None:
    # MS-XCA 3.1 examples
    letters = b"abcdefghijklmnopqrstuvwxyz"
    assert kernel.xpress_decode(bytes.fromhex("3f000000") + letters, 26) == letters
    abc = bytes.fromhex("ffffff1f61626317000fff2601")
    assert kernel.xpress_decode(abc, 300) == b"abc" * 100
    assert kernel.xpress_encode(b"abc" * 100) == abc
    # After 32 items there is a word of flags more: the engine's decoder fails without it (-1620).
    literals = bytes(range(32))
    assert kernel.xpress_encode(literals) == bytes(4) + literals + b"\xff" * 4


@kernels
@pytest.mark.parametrize("length", [3, 9, 10, 24, 25, 264, 279, 280, 281, 65000])
def test_match_length_forms(kernel: ModuleType, length: int) -> None:
    data = b"a" * (length + 1) + b"b" + b"a" * length
    assert kernel.xpress_decode(kernel.xpress_encode(data), len(data)) == data


@kernels
def test_character_above_seven_bits_is_refused(kernel: ModuleType) -> None:
    with pytest.raises(ValueError, match="7-bit"):
        kernel.seven_bit_encode(b"a\x80")


@kernels
def test_seven_bit_bound(kernel: ModuleType) -> None:
    with pytest.raises(ValueError, match="short"):
        kernel.seven_bit_decode(b"\0" * 7, 9, False)


def outcome(kernel: ModuleType, stream: bytes, size: int) -> bytes | str:
    try:
        result: bytes = kernel.xpress_decode(stream, size)
    except ValueError as error:
        return str(error)
    return result


@native
@given(stream=st.binary(max_size=80), size=st.integers(0, 500))
def test_kernel_and_reference_agree_on_any_stream(stream: bytes, size: int) -> None:
    assert outcome(compress, stream, size) == outcome(compress_py, stream, size)


@native
@given(data=texts)
def test_kernel_and_reference_encode_alike(data: bytes) -> None:
    assert compress.xpress_encode(data) == compress_py.xpress_encode(data)


@native
@given(data=texts, at=st.integers(0, 10_000), value=st.integers(0, 255), size=st.integers(0, 3000))
def test_kernel_and_reference_agree_on_damage(data: bytes, at: int, value: int, size: int) -> None:
    stream = bytearray(compress_py.xpress_encode(data))
    stream[at % len(stream)] = value
    assert outcome(compress, bytes(stream), size) == outcome(compress_py, bytes(stream), size)
