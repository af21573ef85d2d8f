"""Space: the header in the root page of a tree, and extents of pages.

Source: format specification 5.2 (space header, both forms), 5.3 and 5.4 (extents).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntFlag
from typing import NamedTuple

_HEADER = struct.Struct("<IIII")
_ENTRY = struct.Struct("<II")
_FIELD_SPACE, _FIELD_AUTOINCREMENT = 1, 2
_MAP_BITS = 32
_POOL_MARK = 0x80


class SpaceFlag(IntFlag):
    """Flags of the space header."""

    MULTIPLE = 1
    NON_UNIQUE = 2
    V2 = 4


class SpaceHeader(NamedTuple):
    """What the root page of a tree says about its pages.

    pages: of the primary extent, or (flag V2) of the latest extent. parent: root page of the tree
    that gave the space, 0 for the database itself. owned: multiple extents, the root page of the
    owned-extent tree (the available-extent tree is the next page); single extent, a map of free
    pages. autoincrement: highest value handed out, in roots that keep it.
    """

    pages: int
    parent: int
    flags: int
    owned: int
    autoincrement: int | None = None

    @classmethod
    def unpack(cls, data: bytes) -> SpaceHeader:
        """Read the external header of a root page, either form. Raises ValueError."""
        if len(data) == _HEADER.size:
            return cls(*_HEADER.unpack(data))
        fields = data[0] if data else 0
        size = 1 + 16 * bool(fields & _FIELD_SPACE) + 8 * bool(fields & _FIELD_AUTOINCREMENT)
        if not fields & _FIELD_SPACE or len(data) < size:
            raise ValueError(f"a space header of {len(data)} bytes")
        mark = None
        if fields & _FIELD_AUTOINCREMENT:
            mark = int.from_bytes(data[17:25], "little")
        pages, parent, flags, owned = _HEADER.unpack_from(data, 1)
        return cls(pages, parent, flags, owned, mark)

    def pack(self) -> bytes:
        """Return the bytes: 16, or the form with fields if there is an autoincrement mark."""
        head = _HEADER.pack(self.pages, self.parent, self.flags, self.owned)
        if self.autoincrement is None:
            return head
        fields = _FIELD_SPACE | _FIELD_AUTOINCREMENT
        return bytes([fields]) + head + self.autoincrement.to_bytes(8, "little")

    @property
    def is_multiple(self) -> bool:
        """True if the extents are in trees of their own."""
        return bool(self.flags & SpaceFlag.MULTIPLE)

    def free_pages(self, root: int) -> Iterator[int]:
        """Yield the free pages of a single-extent tree whose root page is `root`.

        How many it has is the file's word, which may be wrong: see `free_count`.
        """
        count = self._behind_root
        yield from (root + 1 + k for k in range(min(count, _MAP_BITS)) if self.owned >> k & 1)
        yield from range(root + 1 + _MAP_BITS, root + 1 + count)

    @property
    def free_count(self) -> int:
        """How many free pages a single-extent tree has."""
        count = self._behind_root
        mapped = self.owned & (1 << min(count, _MAP_BITS)) - 1
        return mapped.bit_count() + max(0, count - _MAP_BITS)

    @property
    def _behind_root(self) -> int:
        if self.is_multiple:
            raise ValueError("the free pages are in the available-extent tree")
        return max(0, self.pages - 1)


class Extent(NamedTuple):
    """Pages `first` to `last`. pool: 0 general, 1 continuous, 2 shelved."""

    last: int
    pages: int
    pool: int = 0

    @property
    def first(self) -> int:
        """The lowest page number."""
        return self.last - self.pages + 1

    @classmethod
    def unpack(cls, key: bytes, data: bytes) -> Extent:
        """Read a node of a space tree. Raises ValueError."""
        pool = 0
        if len(key) == 5 and key[0] & _POOL_MARK:
            pool, key = key[0] & ~_POOL_MARK, key[1:]
        if len(key) != 4 or len(data) != 4:
            raise ValueError("a node of a space tree has the wrong size")
        extent = cls(int.from_bytes(key, "big"), int.from_bytes(data, "little"), pool)
        if extent.first < 1:
            raise ValueError(f"an extent of {extent.pages} pages that ends at {extent.last}")
        return extent

    def pack(self) -> tuple[bytes, bytes]:
        """Return (key, data) of the node."""
        mark = bytes([_POOL_MARK | self.pool]) if self.pool else b""
        return mark + self.last.to_bytes(4, "big"), self.pages.to_bytes(4, "little")


def split_buffer(external: bytes) -> list[Extent]:
    """Return the ranges that a space tree keeps for its own splits (0 to 2 of them)."""
    found = []
    for at in (0, _ENTRY.size):
        if len(external) >= at + _ENTRY.size:
            last, count = _ENTRY.unpack_from(external, at)
            if 0 < count <= last:
                found.append(Extent(last, count))
    return found
