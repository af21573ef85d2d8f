"""Compressed column data: which scheme, which size, and back.

Source: format specification 9. The first byte of a value names the scheme in its bits 3 to 7.
"""

from __future__ import annotations

import struct
from enum import IntEnum

from hotsplit import _native
from hotsplit.errors import DataDamaged, Jet

_kernel = _native.load("compress")
_SIZE = struct.Struct("<H")
_SIZED_HEADER = 3
_XPRESS_LEAST, _XPRESS_MOST = 8, 0xFFFF


class Scheme(IntEnum):
    """Compression schemes by number."""

    SEVEN_BIT_ASCII = 1
    SEVEN_BIT_UNICODE = 2
    XPRESS = 3
    SCRUB = 4
    XPRESS9 = 5
    XPRESS10 = 6
    LZ4 = 7


def _damaged(why: str) -> DataDamaged:
    return DataDamaged(why, jet=Jet.errDecompressionFailed)


def decompress(data: bytes, limit: int) -> bytes:
    """Return the plain value of compressed `data`, at most `limit` bytes.

    Raises DataDamaged (-1620) if the data is damaged, makes more than `limit` bytes, or is of a
    scheme that cannot be undone (SCRUB stands for erased data; XPRESS10 is a closed codec).
    """
    if not data:
        raise _damaged("compressed value without data")
    scheme = data[0] >> 3
    try:
        if scheme in (Scheme.SEVEN_BIT_ASCII, Scheme.SEVEN_BIT_UNICODE):
            plain = _seven_bit(data, limit)
        elif scheme == Scheme.XPRESS:
            plain = _xpress(data, limit)
        elif scheme == Scheme.LZ4:
            plain = _lz4(data, limit)
        elif scheme == Scheme.XPRESS9:
            from hotsplit.ese.format import xpress9  # rare: kept out of every start

            plain = xpress9.decode(data[1:], limit)
        else:
            raise _damaged(_without_decoder(scheme))
    except ValueError as error:
        raise _damaged(str(error)) from error
    if len(plain) > limit:
        raise _damaged(f"compressed value makes {len(plain)} bytes where {limit} is the most")
    return plain


def _without_decoder(scheme: int) -> str:
    if scheme == Scheme.SCRUB:
        return "the value was erased (scrubbed)"
    if scheme == Scheme.XPRESS10:
        return "XPRESS10 compression is not supported: its format is not published"
    return f"unknown compression scheme {scheme}"


def _seven_bit(data: bytes, limit: int) -> bytes:
    wide = data[0] >> 3 == Scheme.SEVEN_BIT_UNICODE
    bits = (len(data) - 2) * 8 + (data[0] & 7) + 1
    count = max(0, bits // 7)
    if count * (2 if wide else 1) > limit:
        raise ValueError(f"7-bit value makes more than {limit} bytes")
    plain: bytes = _kernel.seven_bit_decode(data[1:], count, wide)
    return plain


def _stated_size(data: bytes, limit: int) -> int:
    if len(data) < _SIZED_HEADER:
        raise ValueError("compressed value is shorter than its header")
    size: int = _SIZE.unpack_from(data, 1)[0]
    if size > limit:
        raise ValueError(f"compressed value states {size} bytes where {limit} is the most")
    return size


def _xpress(data: bytes, limit: int) -> bytes:
    size = _stated_size(data, limit)
    stream = data[_SIZED_HEADER:]
    if len(stream) == size:  # stored as it is
        return stream
    plain: bytes = _kernel.xpress_decode(stream, size)
    return plain


def _lz4(data: bytes, limit: int) -> bytes:
    import lz4.block

    size = _stated_size(data, limit)
    try:
        plain = lz4.block.decompress(data[_SIZED_HEADER:], uncompressed_size=size)
    except lz4.block.LZ4BlockError as error:
        raise ValueError(f"LZ4 data is damaged: {error}") from error
    if len(plain) != size:
        raise ValueError(f"LZ4 data makes {len(plain)} bytes and states {size}")
    return bytes(plain)


def compress_xpress(data: bytes) -> bytes | None:
    """Return `data` as an XPRESS value, or None where that would not make it smaller."""
    if not _XPRESS_LEAST <= len(data) <= _XPRESS_MOST:
        return None
    stream: bytes = _kernel.xpress_encode(data)
    if len(stream) + _SIZED_HEADER >= len(data):
        return None
    return bytes([Scheme.XPRESS << 3]) + _SIZE.pack(len(data)) + stream


def compress_seven_bit(data: bytes, *, text: bool) -> bytes | None:
    """Return `data` as a 7-bit value, or None where it has other characters or is empty.

    text: the column is LongText, whose UTF-16LE units are tried first.
    """
    scheme, chars = Scheme.SEVEN_BIT_ASCII, data
    if text and len(data) % 2 == 0 and not any(data[1::2]):
        scheme, chars = Scheme.SEVEN_BIT_UNICODE, data[::2]
    if not chars or max(chars) > 0x7F:
        return None
    head = scheme << 3 | (7 * len(chars) - 1) % 8
    stream: bytes = _kernel.seven_bit_encode(chars)
    return bytes([head]) + stream
