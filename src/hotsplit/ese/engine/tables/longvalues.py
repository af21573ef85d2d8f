"""Long values that lie apart from their records: written, read, shared, dropped.

Source: format specification 8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.errors import DataDamaged, InvalidUse, Jet
from hotsplit.ese.engine.tables.rows import LongReader
from hotsplit.ese.format.compression import compress_xpress, decompress
from hotsplit.ese.format.longvalue import (
    MOST_BYTES,
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
    from hotsplit.ese.engine.trees.tree import Tree


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
            part = _packed(data[offset : offset + self.chunk], compress=compress)
            self.tree.insert(session, chunk_key(lid, offset), part)
        return pack_lid(lid)

    # Parts of a value

    def own(self, session: Session, lid: bytes) -> bytes:
        """Return the id of a value that no other record uses: the same, or that of a copy.

        The reference to a value that was copied stays.
        """
        number = parse_lid(lid)
        root = self._root(session, number)
        if root.references == 1:
            return lid
        copy = self._next_lid()
        self.tree.insert(session, root_key(copy), root._replace(references=1).pack())
        for offset in range(0, root.size, self.chunk):
            part = self._stored(session, number, offset)
            self.tree.insert(session, chunk_key(copy, offset), part)
        return pack_lid(copy)

    def put(
        self, session: Session, lid: bytes, offset: int, data: bytes, *, compress: bool
    ) -> None:
        """Write bytes at `offset`, which lies not behind the end; what was there is overwritten.

        Raises InvalidUse (-1506) if the value gets too long, WriteConflict.
        """
        number = parse_lid(lid)
        size = self._root(session, number).size
        end = offset + len(data)
        self._resize(session, number, max(size, end))
        for start in range(offset - offset % self.chunk, end, self.chunk):
            old = self._chunk(session, number, start, size) if start < size else b""
            low, high = max(offset, start), min(end, start + self.chunk)
            new = old[: low - start] + data[low - offset : high - offset] + old[high - start :]
            key, packed = chunk_key(number, start), _packed(new, compress=compress)
            if old:
                self.tree.replace(session, key, packed)
            else:
                self.tree.insert(session, key, packed)

    def truncate(self, session: Session, lid: bytes, size: int, *, compress: bool) -> None:
        """Cut a value off at `size` bytes. Raises WriteConflict."""
        number = parse_lid(lid)
        before = self._root(session, number).size
        self._resize(session, number, size)
        cut = size - size % self.chunk
        if cut < size:
            kept = self._chunk(session, number, cut, before)[: size - cut]
            packed = _packed(kept, compress=compress)
            self.tree.replace(session, chunk_key(number, cut), packed)
            cut += self.chunk
        for offset in range(cut, before, self.chunk):
            self.tree.delete(session, chunk_key(number, offset))

    def _resize(self, session: Session, lid: int, size: int) -> None:
        """Note a value's size; from now on nobody else can change it, or refer to it."""
        if size > MOST_BYTES:
            raise InvalidUse("A long value gets too long", jet=Jet.errColumnTooBig)
        root = self._root(session, lid)
        packed = root._replace(size=size).pack()
        self.tree.replace(session, root_key(lid), packed)

    # References

    def share(self, session: Session, lid: bytes) -> None:
        """Add a reference."""
        self.tree.add(session, root_key(parse_lid(lid)), 1, 0)

    def drop(self, session: Session, lid: bytes) -> None:
        """Take a reference away; the last one takes the value with it.

        Who sees other references leaves the value; if those go at the same time, the cleaner takes
        it (`remove_unused`).
        """
        number = parse_lid(lid)
        key = root_key(number)
        root = self._root(session, number)
        if root.references > 1:
            self.tree.add(session, key, -1, 0)
            return
        self._delete(session, number, root.size)

    def _root(self, session: Session, lid: int) -> LongValueRoot:
        data = self.tree.get(session, root_key(lid))
        if data is None:
            raise DataDamaged(f"long value {lid:#x} does not exist", jet=Jet.errLVCorrupted)
        return LongValueRoot.unpack(data)

    def size(self, session: Session, lid: bytes) -> int:
        """Return the bytes of a value. Raises DataDamaged (-1526)."""
        return self._root(session, parse_lid(lid)).size

    def read(self, session: Session, lid: bytes, most: int | None = None, offset: int = 0) -> bytes:
        """Return a value from `offset` on, at most `most` bytes. Raises DataDamaged (-1526)."""
        number = parse_lid(lid)
        size = self._root(session, number).size
        end = size if most is None else min(size, offset + most)
        first = offset - offset % self.chunk
        parts = [self._chunk(session, number, at, size) for at in range(first, end, self.chunk)]
        return b"".join(parts)[offset - first : max(0, end - first)]

    def _chunk(self, session: Session, lid: int, offset: int, size: int) -> bytes:
        """Return the chunk at `offset` of a value of `size` bytes."""
        data = self._stored(session, lid, offset)
        expected = min(self.chunk, size - offset)
        return decompress(data, expected) if len(data) < expected else data

    def _stored(self, session: Session, lid: int, offset: int) -> bytes:
        data = self.tree.get(session, chunk_key(lid, offset))
        if data is None:
            raise DataDamaged(
                f"long value {lid:#x} lacks a part at {offset}", jet=Jet.errLVCorrupted
            )
        return data

    def remove_unused(self, session: Session, key: bytes) -> None:
        """Remove the value of a root key if no record uses it any more."""
        data = None if self.tree.versions.get((key, b"")) else self.tree.get(session, key)
        if data is not None and LongValueRoot.unpack(data).references == 0:
            self._delete(session, split_key(key)[0], LongValueRoot.unpack(data).size)

    def _delete(self, session: Session, lid: int, size: int) -> None:
        for offset in range(0, size, self.chunk):
            self.tree.delete(session, chunk_key(lid, offset))
        self.tree.delete(session, root_key(lid))


def _packed(part: bytes, *, compress: bool) -> bytes:
    """Return a chunk as it is stored: compressed where that is wanted and worth it."""
    return (compress_xpress(part) if compress else None) or part


class SessionReader(LongReader):
    """Long values of a table as a session sees them."""

    def __init__(self, values: LongValueTree, session: Session) -> None:
        self._values, self._session = values, session

    def read(self, lid: bytes, most: int | None = None) -> bytes:
        """See `LongReader`."""
        return self._values.read(self._session, lid, most)
