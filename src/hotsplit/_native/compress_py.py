"""Streams of compressed column data: the readable reference of the ``compress`` kernel.

Only the streams themselves, without the header that says which scheme and which size. Every decoder
is told how many bytes to make and makes no more. ValueError means that the stream is damaged.

Source: format specification 9.1 (7-bit), 9.2 (XPRESS, the plain LZ77 of MS-XCA).
"""

from __future__ import annotations

_MIN_MATCH = 3
_WINDOW = 8192
_HASH_BITS = 13
_NONE = -1


def seven_bit_decode(stream: bytes, count: int, wide: bool) -> bytes:
    """Return `count` characters of 7 bits each as bytes, or as UTF-16LE units if `wide`."""
    if count < 0 or count * 7 > len(stream) * 8:
        raise ValueError("7-bit data is too short")
    step = 2 if wide else 1
    out = bytearray(count * step)
    bits = held = at = 0
    for i in range(count):
        if held < 7:
            bits |= stream[at] << held
            held += 8
            at += 1
        out[i * step] = bits & 0x7F
        bits >>= 7
        held -= 7
    return bytes(out)


def seven_bit_encode(data: bytes) -> bytes:
    """Pack bytes that are all below 0x80 into 7 bits each, least significant bit first."""
    out = bytearray((len(data) * 7 + 7) // 8)
    bits = held = at = 0
    for value in data:
        if value > 0x7F:
            raise ValueError("not 7-bit data")
        bits |= value << held
        held += 7
        if held >= 8:
            out[at] = bits & 0xFF
            bits >>= 8
            held -= 8
            at += 1
    if held:
        out[at] = bits
    return bytes(out)


def xpress_decode(stream: bytes, size: int) -> bytes:
    """Return the `size` bytes that a plain XPRESS stream stands for.

    Bytes behind the last item are ignored: encoders leave unused flag words there.
    """
    try:
        return _xpress_decode(stream, size)
    except IndexError:
        raise ValueError("XPRESS data ends too early") from None


def _xpress_decode(stream: bytes, size: int) -> bytes:
    out = bytearray()
    at = flag_count = flags = 0
    half = _NONE  # position of a byte whose high nibble still holds a length
    while len(out) < size:
        if not flag_count:
            _need(stream, at, 4)
            flags = int.from_bytes(stream[at : at + 4], "little")
            flag_count, at = 32, at + 4
        flag_count -= 1
        if not flags >> flag_count & 1:
            out.append(stream[at])
            at += 1
            continue
        _need(stream, at, 2)
        word = stream[at] | stream[at + 1] << 8
        at += 2
        length, half, at = _match_length(stream, at, word & 7, half)
        _copy(out, (word >> 3) + 1, length, size)
    return bytes(out)


def _need(stream: bytes, at: int, count: int) -> None:
    if at + count > len(stream):
        raise ValueError("XPRESS data ends too early")


def _match_length(stream: bytes, at: int, length: int, half: int) -> tuple[int, int, int]:
    """Return (match length, pending half byte, next position)."""
    if length < 7:
        return length + _MIN_MATCH, half, at
    if half == _NONE:
        length, half, at = stream[at] & 15, at, at + 1
    else:
        length, half = stream[half] >> 4, _NONE
    if length < 15:
        return length + 7 + _MIN_MATCH, half, at
    length, at = stream[at], at + 1
    if length < 255:
        return length + 15 + 7 + _MIN_MATCH, half, at
    _need(stream, at, 2)
    length, at = stream[at] | stream[at + 1] << 8, at + 2
    if length < 15 + 7:
        raise ValueError("XPRESS match has an impossible length")
    return length + _MIN_MATCH, half, at


def _copy(out: bytearray, distance: int, length: int, size: int) -> None:
    start = len(out) - distance
    if start < 0:
        raise ValueError("XPRESS match reaches before the data")
    if len(out) + length > size:
        raise ValueError("XPRESS data is larger than stated")
    piece = bytes(out[start : start + length])
    while len(piece) < length:  # the match overlaps what it makes
        piece += piece
    out += piece[:length]


def xpress_encode(data: bytes) -> bytes:
    """Return a plain XPRESS stream of `data` (greedy, one candidate a position)."""
    out = bytearray(4)
    flags_at, flags, flag_count = 0, 0, 0
    half = _NONE
    latest = [_NONE] * (1 << _HASH_BITS)
    at, end = 0, len(data)
    while at < end:
        if flag_count == 32:
            out[flags_at : flags_at + 4] = flags.to_bytes(4, "little")
            flags_at, flags, flag_count = len(out), 0, 0
            out += bytes(4)
        length = 0
        if at + _MIN_MATCH <= end:
            slot = _hash(data, at)
            candidate, latest[slot] = latest[slot], at
            if candidate != _NONE and at - candidate <= _WINDOW:
                length = _common(data, candidate, at)
        flag_count += 1
        if length < _MIN_MATCH:
            flags <<= 1
            out.append(data[at])
            at += 1
            continue
        flags = flags << 1 | 1
        half = _put_match(out, at - candidate, length, half)
        at += length
    if flag_count == 32:  # the engine's decoder reads the next flags before it looks for the end
        out += b"\xff" * 4
    rest = 32 - flag_count
    flags = flags << rest | (1 << rest) - 1
    out[flags_at : flags_at + 4] = flags.to_bytes(4, "little")
    return bytes(out)


def _hash(data: bytes, at: int) -> int:
    return (data[at] << 5 ^ data[at + 1] << 3 ^ data[at + 2]) & ((1 << _HASH_BITS) - 1)


def _common(data: bytes, a: int, b: int) -> int:
    """Number of equal bytes from `a` and `b` on, `b` being the later one."""
    length, limit = 0, min(len(data) - b, 0xFFFF)
    while length < limit and data[a + length] == data[b + length]:
        length += 1
    return length


def _put_match(out: bytearray, distance: int, length: int, half: int) -> int:
    """Append one match; return the position of the half byte that is still open."""
    out += (distance - 1 << 3 | min(length - _MIN_MATCH, 7)).to_bytes(2, "little")
    rest = length - _MIN_MATCH - 7
    if rest < 0:
        return half
    nibble = min(rest, 15)
    if half == _NONE:
        half = len(out)
        out.append(nibble)
    else:
        out[half] |= nibble << 4
        half = _NONE
    if nibble == 15:
        rest -= 15
        if rest < 255:
            out.append(rest)
        else:
            out.append(255)
            out += (length - _MIN_MATCH).to_bytes(2, "little")
    return half
