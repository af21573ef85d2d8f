"""Values of one column in the layout of Arrow: the readable reference of a part of ``batch``.

Source: Apache Arrow columnar format 1.4 (layout of arrays); format specification 7.2 (types).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

RAW, BIT, NUMBER, ANSI, UTF16, BINARY, GUID = range(7)
"""How stored bytes become data. RAW: text of a rare code page, always pending."""

_SIZES = {BIT: (1,), NUMBER: (1, 2, 4, 8), GUID: (16,)}

Buffers = tuple[int, bytes | None, bytes | None, bytes, bytes | None, bytes | None]
"""Number of elements, validity (None: no nulls), offsets, data; validity and offsets of lists."""


class NoTextError(Exception):
    """The bytes are not text."""


class Column:
    """One column: elements in final form, and where rows end in them if rows are lists."""

    def __init__(
        self,
        kind: int,
        id_: int,
        offset: int,
        size: int,
        derived: bool,
        listed: bool,
        fallback: bytes | None,
    ) -> None:
        self.kind, self.id, self.offset, self.size = kind, id_, offset, size
        self.derived, self.listed, self.fallback = derived, listed, fallback
        sized = kind in _SIZES
        if not 1 <= id_ <= 0xFFFF or not RAW <= kind <= GUID or not 0 <= size <= 0x7FFF:
            raise ValueError(f"column {id_} of {size} bytes")
        if sized and size not in _SIZES[kind]:
            raise ValueError(f"column {id_} of {size} bytes")
        if sized and fallback is not None and len(fallback) != size:
            raise ValueError(f"column {id_}: a default of {len(fallback)} bytes")
        self.is_sized = sized
        self.clear()

    def clear(self) -> None:
        self.elements: list[bytes | None] = []
        self.waiting: set[int] = set()  # elements that someone else must fill
        self.lists: list[int | None] = []  # end of each row in elements; None for null
        self.ends: list[int] = []

    @property
    def rows(self) -> int:
        return len(self.ends) if self.listed else len(self.elements)

    def make_lists(self) -> None:
        if not self.listed:
            self.ends = list(range(1, len(self.elements) + 1))
            self.lists = [
                None if element is None and i not in self.waiting else i + 1
                for i, element in enumerate(self.elements)
            ]
            self.listed = True

    def end_row(self) -> None:
        if self.listed:
            self.lists.append(len(self.elements))
            self.ends.append(len(self.elements))

    def add_null_row(self) -> None:
        if self.listed:
            self.lists.append(None)
            self.ends.append(len(self.elements))
        else:
            self.elements.append(None)

    def pad(self, row: int) -> None:
        while self.rows < row:
            if self.fallback is None:
                self.add_null_row()
            else:
                self.elements.append(self.fallback)
                self.end_row()

    def cut(self, row: int) -> None:
        if self.rows <= row:
            return
        if self.listed:
            del self.elements[self.ends[row - 1] if row else 0 :], self.ends[row:], self.lists[row:]
        else:
            del self.elements[row:]
        self.waiting = {i for i in self.waiting if i < len(self.elements)}

    def convert(self, data: bytes) -> bytes:
        """Return stored bytes in final form."""
        if self.kind == RAW:
            raise NoTextError
        if self.kind == ANSI:
            return _from_ansi(data).encode()
        if self.kind == GUID:
            return data[3::-1] + data[5:3:-1] + data[7:5:-1] + data[8:]
        if self.kind != UTF16:
            return data
        try:
            return data.decode("utf-16-le").encode()
        except UnicodeDecodeError:
            raise NoTextError from None

    def buffers(self, rows: int) -> Buffers | None:
        self.pad(rows)
        if not self.listed and rows and all(element is None for element in self.elements):
            return None
        return (
            len(self.elements),
            _validity(self.elements),
            None if self.is_sized else _offsets(self._sizes()),
            self._data(),
            _validity(self.lists) if self.listed else None,
            struct.pack(f"<{len(self.ends) + 1}I", 0, *self.ends) if self.listed else None,
        )

    def _sizes(self) -> list[int]:
        return [len(element or b"") for element in self.elements]

    def _data(self) -> bytes:
        if self.kind == BIT:
            return bits([element is not None and element != b"\0" for element in self.elements])
        nothing = bytes(self.size) if self.is_sized else b""
        return b"".join(nothing if element is None else element for element in self.elements)


def _from_ansi(data: bytes) -> str:
    return "".join(
        chr(b) if b in b"\x81\x8d\x8f\x90\x9d" else bytes([b]).decode("cp1252") for b in data
    )


def bits(flags: Sequence[bool]) -> bytes:
    out = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        out[i // 8] |= flag << i % 8
    return bytes(out)


def _validity(values: Sequence[object]) -> bytes | None:
    flags = [value is not None for value in values]
    return None if all(flags) else bits(flags)


def _offsets(sizes: Sequence[int]) -> bytes:
    ends, end = [0], 0
    for size in sizes:
        end += size
        ends.append(end)
    return struct.pack(f"<{len(ends)}I", *ends)
