"""Long values that lie apart from their records: written, read, shared, dropped.

Source: format specification 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.errors import DataDamaged, InvalidUse, Jet
from hotsplit.ese.engine.rows import LongReader
from hotsplit.ese.format.compression import compress_xpress, decompress
from hotsplit.ese.format.longvalue import (
    LongValueRoot,
    chunk_key,
    chunk_size,
    pack_lid,
    parse_lid,
    root_key,
    split_key,
)

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tree import Tree


_LAST_LID = 0x7FFFFEFF
_FIRST_WIDE_LID = 0x8000000080000001
_WIDE_SINCE = 70  # revision of databases since which new trees have ids of 64 bits (8.1)


class LongValueTree:
    """The long values of one table. chunk: bytes of a full chunk.

    The last id used is kept in memory once it was looked up.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.chunk = chunk_size(tree.database.context.settings.page_size)
        self._last = 0
        wide = tree.database.header.update_major >= _WIDE_SINCE
        self._first = _FIRST_WIDE_LID if wide else 1

    def _next_lid(self) -> int:
        if not self._last:
            key = self.tree.last_key()
            self._last = split_key(key)[0] if key else self._first - 1
        if self._last == _LAST_LID:
            raise InvalidUse("No long value can be added", jet=Jet.errOutOfLongValueIDs)
        self._last += 1
        return self._last

    def write(self, session: Session, data: bytes, *, compress: bool) -> bytes:
        """Store a value with one reference; return its id as a record holds it."""
        lid = self._next_lid()
        root = LongValueRoot(1, len(data))
        self.tree.insert(session, root_key(lid), root.pack())
        for offset in range(0, len(data), self.chunk):
            part = data[offset : offset + self.chunk]
            packed = compress_xpress(part) if compress else None
            self.tree.insert(session, chunk_key(lid, offset), packed or part)
        return pack_lid(lid)

    def share(self, session: Session, lid: bytes) -> None:
        """Add a reference."""
        self.tree.add(session, root_key(parse_lid(lid)), 1, 0)

    def drop(self, session: Session, lid: bytes) -> None:
        """Take a reference away; the last one takes the value with it."""
        number = parse_lid(lid)
        key = root_key(number)
        root = self._root(session, number)
        if root.references > 1:
            self.tree.add(session, key, -1, 0)
            return
        for offset in range(0, root.size, self.chunk):
            self.tree.delete(session, chunk_key(number, offset))
        self.tree.delete(session, key)

    def _root(self, session: Session, lid: int) -> LongValueRoot:
        data = self.tree.get(session, root_key(lid))
        if data is None:
            raise DataDamaged(f"long value {lid:#x} does not exist", jet=Jet.errLVCorrupted)
        return LongValueRoot.unpack(data)

    def read(self, session: Session, lid: bytes, most: int | None = None) -> bytes:
        """Return a value, or its first `most` bytes. Raises DataDamaged (-1526)."""
        number = parse_lid(lid)
        size = self._root(session, number).size
        wanted = size if most is None else min(size, most)
        parts = []
        for offset in range(0, wanted, self.chunk):
            data = self.tree.get(session, chunk_key(number, offset))
            expected = min(self.chunk, size - offset)
            if data is None:
                raise DataDamaged(
                    f"long value {number:#x} lacks a part at {offset}", jet=Jet.errLVCorrupted
                )
            parts.append(decompress(data, expected) if len(data) < expected else data)
        return b"".join(parts)[:wanted]


class SessionReader(LongReader):
    """Long values of a table as a session sees them."""

    def __init__(self, values: LongValueTree, session: Session) -> None:
        self._values, self._session = values, session

    def read(self, lid: bytes, most: int | None = None) -> bytes:
        """See `LongReader`."""
        return self._values.read(self._session, lid, most)
