"""Editing the lines of a database page: the readable reference of the ``page`` kernel.

A page is a writable buffer of 2048 to 32768 bytes. Line 0 is the external header, lines above are
nodes. Functions take the *line* number (tag number) and raise ValueError when the page or the
request does not hold together; a failed call leaves the page as it was.

Source: format specification 2.1 (header), 2.4 (tags), 2.5 (space accounting), 3.1 (nodes).
"""

from __future__ import annotations

import itertools
import struct

Buffer = bytearray | memoryview

_FREE, _UNCOMMITTED, _MIC, _TAGS = 28, 30, 32, 34
_SMALL_MAX = 8192
_MOST_LINES = 0xFFF
FLAG_COMPRESSED = 4


def header_size(size: int) -> int:
    """Bytes of the page header for a page of `size` bytes."""
    return 40 if size <= _SMALL_MAX else 80


def _u16(page: Buffer, at: int) -> int:
    return page[at] | page[at + 1] << 8


def _put16(page: Buffer, at: int, value: int) -> None:
    page[at] = value & 0xFF
    page[at + 1] = value >> 8


def _count(page: Buffer) -> int:
    return _u16(page, _TAGS) & 0xFFF


def _set_count(page: Buffer, count: int) -> None:
    _put16(page, _TAGS, _u16(page, _TAGS) & 0xF000 | count)


def check(page: Buffer) -> None:
    """Raise ValueError unless the tag array and the space accounting hold together (2.5, 2.6)."""
    size = len(page)
    room = size - header_size(size)
    count, free, mic = _count(page), _u16(page, _FREE), _u16(page, _MIC)
    if 4 * count > room or mic > room - 4 * count or free > room:
        raise ValueError("the tag array overlaps the data")
    spans = []
    used = 4 * count
    for line in range(count):
        start, length, _ = _tag(page, line)
        if length and start + length > mic:
            raise ValueError(f"line {line} reaches beyond the used part of the page")
        used += length
        if length:
            spans.append((start, start + length))
    if used + free != room:
        raise ValueError(f"free space is {room - used} bytes but the header says {free}")
    spans.sort()
    for (_, end), (start, _) in itertools.pairwise(spans):
        if start < end:
            raise ValueError("two lines overlap")


def _tag(page: Buffer, line: int) -> tuple[int, int, int]:
    """Return (offset from the header's end, length, flags) of a line; no bounds check of them."""
    size = len(page)
    at = size - 4 * (line + 1)
    length, start = _u16(page, at), _u16(page, at + 2)
    if size <= _SMALL_MAX:
        return start & 0x1FFF, length & 0x1FFF, start >> 13
    start, length = start & 0x7FFF, length & 0x7FFF
    flags = 0
    if line and length >= 2:
        first = 80 + start
        if first + 2 <= size:
            flags = _u16(page, first) >> 13
    return start, length, flags


def _set_tag(page: Buffer, line: int, start: int, length: int, flags: int) -> None:
    size = len(page)
    at = size - 4 * (line + 1)
    _put16(page, at, length)
    if size <= _SMALL_MAX:
        _put16(page, at + 2, start | flags << 13)
        return
    _put16(page, at + 2, start)
    if line and length >= 2:
        first = 80 + start
        _put16(page, first, _u16(page, first) & 0x1FFF | flags << 13)


def locate(page: Buffer, line: int) -> tuple[int, int, int]:
    """Return (offset in the page, length, flags) of a line. Raises ValueError."""
    if not 0 <= line < _count(page):
        raise ValueError(f"line {line} of {_count(page)}")
    if header_size(len(page)) + 4 * _count(page) > len(page):
        raise ValueError("the tag array overlaps the header")
    start, length, flags = _tag(page, line)
    start += header_size(len(page))
    if start + length > len(page) - 4 * _count(page):
        raise ValueError(f"line {line} reaches into the tag array")
    return start, length, flags


def _compact(page: Buffer, skip: int, need: int) -> None:
    """Move all lines together at the front; the bytes of line `skip` are not kept.

    Raises ValueError, the page untouched, if `need` bytes are not free behind them then.
    """
    size, head = len(page), header_size(len(page))
    lines = [(*locate(page, line), line) for line in range(_count(page))]
    kept = sum(length for _, length, _, line in lines if line != skip)
    if head + kept + need + 4 * len(lines) > size:
        raise ValueError("the free space differs from what the header says")
    old = bytes(page)
    end = 0
    for start, length, flags, line in lines:
        if line == skip:
            continue
        page[head + end : head + end + length] = old[start : start + length]
        _set_tag(page, line, end, length, flags)
        end += length
    _put16(page, _MIC, end)


def _room(page: Buffer) -> int:
    return len(page) - header_size(len(page)) - 4 * _count(page) - _u16(page, _MIC)


def _clamp_uncommitted(page: Buffer) -> None:
    if _u16(page, _UNCOMMITTED) > _u16(page, _FREE):
        _put16(page, _UNCOMMITTED, _u16(page, _FREE))


def insert(page: Buffer, line: int, data: bytes, flags: int) -> None:
    """Insert `data` as line `line`; lines from there on move up. Raises ValueError."""
    count, need = _count(page), len(data)
    if not 0 <= line <= count or count >= _MOST_LINES:
        raise ValueError(f"insert as line {line} of {count}")
    free = _u16(page, _FREE)
    if need + 4 > free:
        raise ValueError(f"{need + 4} bytes needed, {free} free")
    if need + 4 > _room(page):
        _compact(page, -1, need + 4)
    size = len(page)
    page[size - 4 * (count + 1) : size - 4 * (line + 1)] = bytes(
        page[size - 4 * count : size - 4 * line]
    )
    _set_count(page, count + 1)
    start = _u16(page, _MIC)
    head = header_size(size)
    page[head + start : head + start + need] = data
    _put16(page, _MIC, start + need)
    _set_tag(page, line, start, need, flags)
    _put16(page, _FREE, free - need - 4)
    _clamp_uncommitted(page)


def replace(page: Buffer, line: int, data: bytes, flags: int) -> None:
    """Give line `line` new bytes and flags. Raises ValueError."""
    start, length, _ = locate(page, line)
    head, need, free = header_size(len(page)), len(data), _u16(page, _FREE)
    start -= head
    if need > free + length:
        raise ValueError(f"{need} bytes needed, {free + length} free")
    if free + length - need > len(page) - head:
        raise ValueError("the free space differs from what the header says")
    if need > length:
        last = start + length == _u16(page, _MIC)
        if need > _room(page) + last * length:
            _compact(page, line, need)
        elif last:
            _put16(page, _MIC, start)
        start = _u16(page, _MIC)
        _put16(page, _MIC, start + need)
    page[head + start : head + start + need] = data
    _set_tag(page, line, start, need, flags)
    _put16(page, _FREE, free + length - need)
    _clamp_uncommitted(page)


def delete(page: Buffer, line: int) -> None:
    """Remove line `line`; lines above move down. Raises ValueError."""
    start, length, _ = locate(page, line)
    size, count = len(page), _count(page)
    start -= header_size(size)
    if _u16(page, _FREE) + length + 4 > size - header_size(size):
        raise ValueError("the free space differs from what the header says")
    page[size - 4 * (count - 1) : size - 4 * line] = bytes(
        page[size - 4 * count : size - 4 * (line + 1)]
    )
    _set_count(page, count - 1)
    if start + length == _u16(page, _MIC):
        _put16(page, _MIC, start)
    _put16(page, _FREE, _u16(page, _FREE) + length + 4)


def set_flags(page: Buffer, line: int, flags: int) -> None:
    """Set the three flag bits of line `line`. Raises ValueError."""
    start, length, _ = locate(page, line)
    _set_tag(page, line, start - header_size(len(page)), length, flags)


def fill(page: Buffer, lines: list[bytes], flags: list[int]) -> None:
    """Replace all lines of the page by these, packed together. Raises ValueError.

    `lines[0]` is the external header; its flags are 0. The header fields that count space are set;
    the free part is zeroed.
    """
    size = len(page)
    head = header_size(size)
    used = sum(map(len, lines))
    count = len(lines)
    free = size - head - used - 4 * count
    if free < 0 or count > _MOST_LINES:
        raise ValueError(f"{count} lines of {used} bytes do not fit")
    page[head:] = bytes(size - head)
    _set_count(page, count)
    end = 0
    for line, (data, flag) in enumerate(zip(lines, flags, strict=True)):
        page[head + end : head + end + len(data)] = data
        _set_tag(page, line, end, len(data), flag)
        end += len(data)
    struct.pack_into("<HHH", page, _FREE, free, min(_u16(page, _UNCOMMITTED), free), end)
