"""XPRESS9: a Huffman-coded LZ77 with recently used distances kept at hand.

Decoding only, and in plain Python only: no engine is known to choose it for column data, so speed
does not matter and a small safe reader does. Every error is a ValueError.

Source: format specification 9.5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

_BLOCK = struct.Struct("<8I")
_MAGIC = 0x4E86D72A
_SHORT_SYMBOLS, _LONG_SYMBOLS, _SMALL_SYMBOLS = 704, 256, 33
_LONGEST_CODE = 27


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of `data`."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


class _Bits:
    """A bit stream, least significant bit of each byte first, with a hard end."""

    def __init__(self, data: bytes, bits: int) -> None:
        self._value = int.from_bytes(data, "little")
        self._left = bits

    def get(self, count: int) -> int:
        if count > self._left:
            raise ValueError("XPRESS9 data ends too early")
        self._left -= count
        value = self._value & ((1 << count) - 1)
        self._value >>= count
        return value


class _Huffman:
    """Canonical code: ordered by length, then symbol; read from the most significant bit on."""

    def __init__(self, lengths: list[int]) -> None:
        used = sorted((length, symbol) for symbol, length in enumerate(lengths) if length)
        self._only = used[0][1] if len(used) == 1 else None
        self._codes: dict[tuple[int, int], int] = {}
        code = last = 0
        for length, symbol in used:
            code <<= length - last
            if length > _LONGEST_CODE or code >> length:
                raise ValueError("XPRESS9 code lengths are impossible")
            self._codes[length, code] = symbol
            code, last = code + 1, length

    def read(self, bits: _Bits) -> int:
        if self._only is not None:
            return self._only
        code = 0
        for length in range(1, _LONGEST_CODE + 1):
            code = code << 1 | bits.get(1)
            symbol = self._codes.get((length, code))
            if symbol is not None:
                return symbol
        raise ValueError("XPRESS9 data holds an unknown code")


def _read_lengths(bits: _Bits, size: int) -> list[int]:
    kind = bits.get(3)
    if kind == 0:
        most = size.bit_length() - 1
        short = (2 << most) - size
        return [most] * short + [most + 1] * (size - short)
    if kind != 1:
        raise ValueError("XPRESS9 code table of unknown kind")
    small = _Huffman(_read_small(bits))
    lengths: list[int] = []
    recent = 8  # the latest length that was not zero
    while len(lengths) < size:
        symbol = small.read(bits)
        if symbol <= _LONGEST_CODE:
            lengths.append(symbol)
            recent = symbol or recent
        elif symbol == 28:
            lengths.append(0)
            lengths += [0] * (-len(lengths) % 16)
        elif symbol == 29:
            lengths += [0] * _zero_run(bits, size)
        elif symbol == 30:
            lengths.append(recent)
        else:
            if len(lengths) < 16:
                raise ValueError("XPRESS9 code table refers before its start")
            recent = lengths[-16] + (symbol == 32)
            lengths.append(recent)
    if len(lengths) > size:
        raise ValueError("XPRESS9 code table is too long")
    return lengths


def _read_small(bits: _Bits) -> list[int]:
    lengths, previous = [], 4
    for _ in range(_SMALL_SYMBOLS):
        if bits.get(1):
            value = bits.get(3)
            previous = value + 1 if value >= previous else value
        lengths.append(previous)
    return lengths


def _zero_run(bits: _Bits, size: int) -> int:
    more = bits.get(2)
    count, go_on = more + 5, more == 3
    while go_on and count <= size:
        more = bits.get(3)
        count, go_on = count + more, more == 7
    return count


class _Flags(NamedTuple):
    """What a block's flag word says about its matches."""

    entries: int
    least_pointer: int
    least_recent: int

    @classmethod
    def unpack(cls, flags: int) -> _Flags:
        return cls((flags >> 16 & 3) * 2, 3 + (flags >> 18 & 1), 2 + (flags >> 19 & 1))


class _Decoder:
    def __init__(self, limit: int) -> None:
        self.out = bytearray()
        self._limit = limit
        self._recent: list[int] = []

    def block(self, data: bytes, size: int, bit_count: int, flags: _Flags) -> None:
        """Decode one block of `size` bytes."""
        end = len(self.out) + size
        if end > self._limit:
            raise ValueError(f"XPRESS9 value makes more than {self._limit} bytes")
        bits = _Bits(data, bit_count)
        after_match = 0
        if flags.entries:
            after_match = bits.get(1)
            self._recent = [_power(bits, bits.get(5)) for _ in range(flags.entries)]
        short = _Huffman(_read_lengths(bits, _SHORT_SYMBOLS))
        long = _Huffman(_read_lengths(bits, _LONG_SYMBOLS))
        while len(self.out) < end:
            symbol = short.read(bits)
            if symbol < 256:
                self.out.append(symbol)
                after_match = 0
                continue
            length = _length(bits, symbol - 256 & 15, lambda: long.read(bits))
            distance, least = self._distance(bits, symbol - 256 >> 4, after_match, flags)
            after_match = 1
            self._copy(distance, length + least, end)

    def _distance(self, bits: _Bits, code: int, after_match: int, flags: _Flags) -> tuple[int, int]:
        recent = self._recent
        if code < flags.entries:
            at = code + after_match
            if at >= len(recent):
                raise ValueError("XPRESS9 refers to a distance that it has not")
            distance = recent.pop(at)
            recent.insert(0, distance)
            return distance, flags.least_recent
        distance = _power(bits, code - flags.entries)
        if flags.entries:
            recent.insert(0, distance)
            recent.pop()
        return distance, flags.least_pointer

    def _copy(self, distance: int, length: int, end: int) -> None:
        start = len(self.out) - distance
        if start < 0 or len(self.out) + length > end:
            raise ValueError("XPRESS9 match reaches outside the data")
        for at in range(start, start + length):
            self.out.append(self.out[at])


def _power(bits: _Bits, exponent: int) -> int:
    return (1 << exponent) + bits.get(exponent)


def _length(bits: _Bits, length: int, read_long: Callable[[], int]) -> int:
    if length < 15:
        return length
    more = read_long()
    if more < 232:
        return 15 + more
    return 15 + _power(bits, more - 232) + 231


def decode(data: bytes, limit: int) -> bytes:
    """Return the plain value of `data` (CRC and blocks, without the scheme byte).

    At most `limit` bytes are made. Raises ValueError.
    """
    if len(data) < 4:
        raise ValueError("XPRESS9 value is shorter than its header")
    expected = int.from_bytes(data[:4], "little")
    decoder = _Decoder(limit)
    at = 4
    while at < len(data):
        if len(data) - at < _BLOCK.size:
            raise ValueError("XPRESS9 block header is cut off")
        magic, size, bits, flags, _, _, _, crc = _BLOCK.unpack_from(data, at)
        if magic != _MAGIC or crc32c(data[at : at + 28]) != crc:
            raise ValueError("XPRESS9 block header is damaged")
        end = at + (bits + 7) // 8
        if bits < 8 * _BLOCK.size or end > len(data):
            raise ValueError("XPRESS9 block does not fit the value")
        body = data[at + _BLOCK.size : end]
        decoder.block(body, size, bits - 8 * _BLOCK.size, _Flags.unpack(flags))
        at = end
    if crc32c(bytes(decoder.out)) != expected:
        raise ValueError("XPRESS9 value does not match its CRC")
    return bytes(decoder.out)
