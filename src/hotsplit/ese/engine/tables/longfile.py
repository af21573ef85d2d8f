"""A long value as a file: parts of it are read and written, however long it is.

    with session.transaction(), table.open_long(mark, "Body") as body:
        shutil.copyfileobj(source, body)

Source: format specification 8; 7.5.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet, RecordNotFound
from hotsplit.ese.engine.tables.longvalues import LongValueTree
from hotsplit.ese.engine.tables.rowmaker import INTRINSIC_MOST
from hotsplit.ese.engine.tables.rows import Pieces
from hotsplit.ese.format.columns import ColumnDef, ColumnFlag
from hotsplit.ese.format.longvalue import MOST_BYTES
from hotsplit.ese.format.record import plain_instance
from hotsplit.ese.format.taggedcolumns import Instance

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    from hotsplit.ese.engine.tables.table import Table

_ZEROS = bytes(1 << 16)


class LongFile(io.RawIOBase):
    """See the module; made by `Table.open_long`.

    Nothing is kept in memory: each read sees the value as the session does, each write is a change
    of the row, in the session's transaction or in one of its own. NULL reads as no bytes. A write
    behind the end fills what is between with zeros.
    """

    def __init__(self, table: Table, bookmark: bytes, column: ColumnDef, number: int) -> None:
        super().__init__()
        if not column.is_long:
            raise InvalidUse(f"{column.name} is no long column", jet=Jet.errInvalidColumnType)
        self._table, self._bookmark = table, bookmark
        self._column, self._number = column, number
        self._opened = table.state
        self._compress = bool(column.flags & ColumnFlag.COMPRESSED)
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    # Place

    @property
    def size(self) -> int:
        """Bytes of the value."""
        with self._table.reading():
            found = self._found()
            if found is None or not found.separated:
                return 0 if found is None else len(plain_instance(found))
            return self._table.long_values.size(self._table.session, found.data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the value; return it. Raises ValueError in front of its begin."""
        self._check_open()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at}.get(whence)
        place = (self.size if base is None else base) + offset
        if place < 0:
            raise ValueError(f"There is no place {place} in a value")
        self._at = place
        return place

    def tell(self) -> int:
        """Return the place in the value."""
        return self._at

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("The long value is closed")

    # Reading

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read into a buffer; return how many bytes. Raises RecordNotFound, DataDamaged."""
        self._check_open()
        view = memoryview(buffer).cast("B")
        with self._table.reading():
            data = self._part(len(view))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _part(self, size: int) -> bytes:
        found = self._found()
        if found is None:
            return b""
        if found.separated:
            return self._table.long_values.read(self._table.session, found.data, size, self._at)
        return plain_instance(found)[self._at : self._at + size]

    def _found(self) -> Instance | None:
        """Return the value as it stands in the record, None for NULL."""
        table = self._table
        record = table.state.tree.get(table.session, self._bookmark)
        if record is None:
            raise RecordNotFound(f"Table {table.name} has no such row")
        found = table.state.rows.split(record).stored(self._column_now()) or []
        return found[self._number] if self._number < len(found) else None

    def _column_now(self) -> ColumnDef:
        """Return the column. Raises InvalidUse (-1507) if it was dropped, or its making undone."""
        states = self._opened.standing, self._table.state
        column, now = (state.rows.with_tag(self._column.tag) for state in states)
        if column is None or now is None:
            raise InvalidUse(f"Column {self._column.name} is no more", jet=Jet.errColumnNotFound)
        return now

    # Writing

    def _values(self) -> LongValueTree:
        state = self._table.state
        return state.database.long_values_of(self._table.session, state)

    def write(self, data: ReadableBuffer) -> int:
        """Write bytes over what is there, or behind it; return how many.

        Raises InvalidUse (-1506: too long), WriteConflict and what `Table.update` raises.
        """
        self._check_open()
        content = bytes(data)
        self._check_size(self._at + len(content))
        if content:
            self._change(lambda old: self._written(old, content))
            self._at += len(content)
        return len(content)

    def truncate(self, size: int | None = None) -> int:
        """Make the value as long as `size` bytes, by default up to here; return that."""
        self._check_open()
        wanted = self._at if size is None else size
        self._check_size(wanted)
        self._change(lambda old: self._resized(old, wanted))
        return wanted

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= min(self._column.size or MOST_BYTES, MOST_BYTES):
            raise InvalidUse(
                f"No value of {self._column.name} has {size} bytes", jet=Jet.errColumnTooBig
            )

    def _change(self, change: Callable[[Instance], Instance]) -> None:
        """Give the row another value instead of the one that it has."""

        def apply(pieces: Pieces) -> None:
            found = list(pieces.stored(self._column_now()) or ())
            if self._number == len(found):
                found.append(Instance(b""))
            elif self._number > len(found):
                raise InvalidUse(
                    f"There is no value {self._number} of {self._column.name}",
                    jet=Jet.errBadItagSequence,
                )
            found[self._number] = change(found[self._number])
            pieces.tagged[self._column.tag] = found

        self._table.change_long(self._bookmark, apply)

    def _written(self, old: Instance, data: bytes) -> Instance:
        end = self._at + len(data)
        if not old.separated and end <= INTRINSIC_MOST:
            whole = plain_instance(old).ljust(self._at, b"\0")
            return Instance(whole[: self._at] + data + whole[end:])
        made = self._apart(old)
        self._fill(made, self._at)
        self._put(made, self._at, data)
        return made

    def _resized(self, old: Instance, size: int) -> Instance:
        session, values = self._table.session, self._values()
        if size <= INTRINSIC_MOST:
            kept = values.read(session, old.data, size) if old.separated else plain_instance(old)
            return Instance(kept[:size].ljust(size, b"\0"))
        made = self._apart(old)
        if size < values.size(session, made.data):
            values.truncate(session, made.data, size, compress=self._compress)
        else:
            self._fill(made, size)
        return made

    def _apart(self, old: Instance) -> Instance:
        """Return a value that lies apart from the record and is this row's alone."""
        session, values = self._table.session, self._values()
        if old.separated:
            return Instance(values.own(session, old.data), separated=True)
        whole = plain_instance(old)
        return Instance(values.write(session, whole, compress=self._compress), separated=True)

    def _fill(self, made: Instance, size: int) -> None:
        """Lengthen a value with zeros."""
        end = self._values().size(self._table.session, made.data)
        for at in range(end, size, len(_ZEROS)):
            self._put(made, at, _ZEROS[: size - at])

    def _put(self, made: Instance, at: int, data: bytes) -> None:
        session = self._table.session
        self._values().put(session, made.data, at, data, compress=self._compress)
