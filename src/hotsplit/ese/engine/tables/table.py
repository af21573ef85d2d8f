"""A table as one session uses it: rows in, rows out.

    table = session.open_table(database, "Messages")
    with session.transaction():
        mark = table.insert({"Subject": "Minutes", "Body": body})
        table.update(mark, {"Subject": "Minutes, corrected"})

Bookmarks are the rows' primary keys. Outside a transaction each call is one of its own.

Source: format specification 7, 8, 10.5, 14.4.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from hotsplit.errors import InvalidUse, Jet, RecordNotFound
from hotsplit.ese.engine.tables.cursor import Cursor
from hotsplit.ese.engine.tables.inserting import (
    FIRST_BATCH,
    NewRow,
    insert_batch,
    insert_row,
    next_batch,
    store,
)
from hotsplit.ese.engine.tables.longfile import LongFile
from hotsplit.ese.engine.tables.longvalues import LongValueTree, SessionReader
from hotsplit.ese.engine.tables.reading import Reading
from hotsplit.ese.engine.tables.rowmaker import INTRINSIC_MOST
from hotsplit.ese.engine.tables.rows import LongReader, Pieces, lids, no_long_values
from hotsplit.ese.engine.tables.scan import batches
from hotsplit.ese.format.columns import ColumnDef, ColumnFlag, Value
from hotsplit.ese.format.taggedcolumns import Instance
from hotsplit.ese.read.arrow import arrow_table
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.batches import BATCH_ROWS

if TYPE_CHECKING:
    import pyarrow as pa

    from hotsplit.ese.engine.scopes import Savepoint
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import SecondaryIndex, TableState

Row = dict[str, Value]
_LID = 4
_ESCROW_MOST = 1 << 31
_NO_LONG_VALUES = LongReader()


class Table:
    """See the module."""

    def __init__(self, session: Session, state: TableState) -> None:
        self.session = session
        self.name = state.name
        self._state = state

    def __repr__(self) -> str:
        return f"Table({self.name!r})"

    @property
    def state(self) -> TableState:
        """The table as the session sees it. Raises ObjectNotFound if it is no more."""
        if self._state.is_current:
            return self._state
        self._state = self._state.oldest
        return self._state.seen_by(self.session)

    @property
    def writable(self) -> TableState:
        """The table as it is now. Raises ObjectNotFound, Unsupported, WriteConflict (-1302)."""
        return self._state.writable_by(self.session)

    def _changing(self) -> Savepoint:
        """Hold the lock for a change; all of it happens or nothing."""
        return self.session.savepoint(self._state)

    def reading(self) -> Reading:
        """Return a context that holds the lock for a read, in the session's view."""
        return Reading(self.session, self._state)

    @property
    def long_values(self) -> LongValueTree:
        """What rows refer to. Raises DataDamaged (-1526) if it is nowhere."""
        values = self.state.long_values
        if values is None:
            raise no_long_values()
        return values

    @property
    def reader(self) -> LongReader:
        """Gives the long values of the table."""
        return self._reader(self.state)

    def _reader(self, state: TableState) -> LongReader:
        values = state.long_values
        return _NO_LONG_VALUES if values is None else SessionReader(values, self.session)

    # Changes

    def insert(self, values: Mapping[str, Value]) -> bytes:
        """Insert a row; return its bookmark.

        Raises InvalidUse (unknown column, NULL where it must not be, too big), KeyDuplicate,
        WriteConflict.
        """
        with self._changing():
            return insert_row(self, values)

    @overload
    def insert_many(self, rows: Iterable[Mapping[str, Value]]) -> int: ...

    @overload
    def insert_many(self, rows: Iterable[Sequence[Value]], columns: Sequence[str]) -> int: ...

    def insert_many(self, rows: Iterable[Any], columns: Sequence[str] | None = None) -> int:
        """Insert rows, all or none of them; return how many. Raises as `insert`.

        columns: names, in the order of the values in each row; without them each row is a mapping.
        Rows are taken and inserted many at a time, those in the order of their keys; in between
        other sessions go on. Without a transaction it is one of its own.
        """
        names = None if columns is None else tuple(columns)
        count, size, rest = 0, FIRST_BATCH, iter(rows)
        with self.session.statement() as since:
            while batch := list(itertools.islice(rest, size)):
                with self._changing():
                    self.session.context.safe_point()
                    size = next_batch(len(batch), insert_batch(self, batch, names, since))
                count += len(batch)
        return count

    def new_row(self, values: Mapping[str, Value]) -> NewRow:
        """Return a row of any kind as it will be stored; its long values are. The lock is held."""
        pieces = Pieces()
        for name, value in values.items():
            self._set(pieces, name, value)
        return self._new_row(pieces, values)

    def _new_row(self, pieces: Pieces, values: Mapping[str, Value]) -> NewRow:
        self._count(pieces, values)
        self._check_not_null(pieces)
        record = self._fit(pieces)
        key = self._primary_key(pieces)
        entries = [index.keys.keys(pieces, self.reader) for index in self.state.secondary]
        return NewRow(key, record, entries)

    def update(self, bookmark: bytes, values: Mapping[str, Value]) -> bytes:
        """Change columns of a row; return its bookmark, which a change of the key changes.

        Raises RecordNotFound, InvalidUse (-1511) for a version column, and as `insert`.
        """
        version = self.state.version_column
        if version is not None and version.name in values:
            raise InvalidUse(f"{version.name} counts by itself", jet=Jet.errInvalidColumnType)
        with self._changing():

            def change(pieces: Pieces) -> None:
                for name, value in values.items():
                    self._set(pieces, name, value)
                self._note_number(values)

            return self._update(bookmark, change)

    def change_long(self, bookmark: bytes, change: Callable[[Pieces], None]) -> None:
        """Change a row by way of its pieces, long values among them; the key stays as it is."""
        with self._changing():
            if self._update(bookmark, change) != bookmark:
                raise InvalidUse("The row would get another key", jet=Jet.errColumnNotUpdatable)

    def _update(self, bookmark: bytes, change: Callable[[Pieces], None]) -> bytes:
        record = self._record(bookmark)
        old = self.state.rows.split(record)
        new = self.state.rows.split(record)
        self.state.rows.purge(new)
        before = self._entries(old)
        change(new)
        self._count_version(new)
        self._check_not_null(new)
        data = self._fit(new)
        key = bookmark
        if self.state.primary is not None:
            key = self._primary_key(new)
        if key != bookmark:
            self.state.tree.delete(self.session, bookmark)
            self.state.tree.insert(self.session, key, data)
        else:  # also where only long values change: the row is this transaction's from now on
            self.state.tree.replace(self.session, key, data)
        self._change_entries(before, self._entries(new), bookmark, key)
        self._drop_unused(old, new)
        return key

    def copy(self, bookmark: bytes, values: Mapping[str, Value]) -> bytes:
        """Insert a row like another one but for these values; return its bookmark.

        Both refer to the same long values; a value is stored anew once one of them changes it. An
        escrow column has what the other row has, the number and the version are those of a new
        row, unless `values` says otherwise. Raises RecordNotFound, and as `insert`.
        """
        with self._changing():
            pieces = self.state.rows.split(self._record(bookmark))
            self.state.rows.purge(pieces)
            if self.state.version_column is not None:
                pieces.fixed.pop(self.state.version_column.id, None)
            for name, value in values.items():
                self._set(pieces, name, value)
            for lid in lids(pieces.tagged.values()):
                self.long_values.share(self.session, lid)
            return store(self, self._new_row(pieces, values))

    def open_long(self, bookmark: bytes, column: str, number: int = 0) -> LongFile:
        """Return a long value as a file, of which parts are read and written.

        number: which of several values, from 0 on; one more than there are adds a value. Text is
        bytes in the column's code page. Raises InvalidUse (-1507, -1511) for other columns.
        """
        return LongFile(self, bookmark, self.state.column(column), number)

    def delete(self, bookmark: bytes) -> None:
        """Delete a row. Raises RecordNotFound, WriteConflict."""
        with self._changing():
            pieces = self.state.rows.split(self._record(bookmark))
            self._change_entries(self._entries(pieces), [], bookmark, bookmark)
            self.state.tree.delete(self.session, bookmark)
            self._drop_unused(pieces, Pieces())

    def add(self, bookmark: bytes, column: str, value: int) -> None:
        """Add to an escrow column; transactions that do so do not exclude each other.

        Raises RecordNotFound, WriteConflict, InvalidUse (-1048: no such column, -1504: it is NULL).
        """
        found = self.state.column(column)
        if not found.flags & ColumnFlag.ESCROW:
            raise InvalidUse(f"{column} is no escrow column", jet=Jet.errColumnNotUpdatable)
        if not isinstance(value, int) or not -_ESCROW_MOST <= value < _ESCROW_MOST:
            raise InvalidUse(f"{column}: {value!r} cannot be added", jet=Jet.errInvalidColumnType)
        with self._changing():
            record = self.state.tree.addable(self.session, bookmark)
            if record[0] < found.id:
                raise InvalidUse("The record has no such column", jet=Jet.errColumnNotUpdatable)
            if self.state.rows.is_null(record, found):
                raise InvalidUse(f"{column} is NULL", jet=Jet.errNullInvalid)
            self.state.tree.add(self.session, bookmark, value, found.offset)

    # What an update is made of

    def _set(self, pieces: Pieces, name: str, value: Value) -> None:
        column = self.state.column(name)
        try:
            pieces.set(column, value)
        except ValueError as error:
            raise InvalidUse(str(error), jet=Jet.errInvalidColumnType) from error
        found = pieces.stored(column) or ()
        if column.size and any(len(i.data) > column.size for i in found):
            raise InvalidUse(f"A value of {name} is too long", jet=Jet.errColumnTooBig)

    def _count(self, pieces: Pieces, values: Mapping[str, Value]) -> None:
        """Give a new row its counters."""
        counter = self.state.counter
        if counter is not None:
            if values.get(counter.name) is None:
                pieces.set(counter, self.state.next_autoincrement(self.session))
            self._note_number(values)
        version = self.state.version_column
        if version is not None and pieces.stored(version) is None:
            pieces.set(version, 0)
        for column in self.state.escrow:
            pieces.fixed.setdefault(column.id, column.default_data)

    def _note_number(self, values: Mapping[str, Value]) -> None:
        """No new row gets a number that was given to one."""
        counter = self.state.counter
        given = None if counter is None else values.get(counter.name)
        if isinstance(given, int):
            self.state.note_autoincrement(self.session, given)

    def _count_version(self, pieces: Pieces) -> None:
        """Count a change of a row."""
        column = self.state.version_column
        if column is not None:
            found = pieces.stored(column)
            before = int.from_bytes(found[0].data, "little") if found else 0
            pieces.fixed[column.id] = (before + 1 & 0xFFFFFFFF).to_bytes(4, "little")

    def _check_not_null(self, pieces: Pieces) -> None:
        for column in self.state.not_null:
            if pieces.stored(column) is None:
                raise InvalidUse(f"{column.name} must not be NULL", jet=Jet.errNullInvalid)

    def _primary_key(self, pieces: Pieces) -> bytes:
        if self.state.primary is None:
            return self.state.next_hidden_key()
        keys = self.state.primary.keys(pieces, self.reader)
        if not keys:
            raise InvalidUse("The primary key is NULL", jet=Jet.errNullKeyDisallowed)
        return keys[0]

    def _fit(self, pieces: Pieces) -> bytes:
        """Make the record; long values that it cannot hold are put apart, the longest first."""
        for fid, found in pieces.tagged.items():
            for i, one in enumerate(found or ()):
                if not one.separated and len(one.data) > INTRINSIC_MOST:
                    self._separate(pieces, fid, i)
        record, problem = self._join(pieces)
        if problem and self._join(self._smallest(pieces))[1]:
            raise InvalidUse(problem, jet=Jet.errRecordTooBig)
        while problem:
            longest = self._longest(pieces)
            if longest is None:
                raise InvalidUse(problem, jet=Jet.errRecordTooBig)
            self._separate(pieces, *longest)
            record, problem = self._join(pieces)
        return record

    def _join(self, pieces: Pieces) -> tuple[bytes, str]:
        """Return (record, ""), or why it cannot be one."""
        try:
            record = self.state.rows.join(pieces)
        except ValueError as error:
            return b"", str(error)
        fits = len(record) <= self.state.most
        return record, "" if fits else f"A record of {len(record)} bytes is too big"

    def _smallest(self, pieces: Pieces) -> Pieces:
        """Return what the record would be with all long values apart, without doing so."""
        long_ids = {c.tag for c in self.state.rows.columns if c.is_long}
        apart = Instance(bytes(_LID), separated=True)
        tagged = {
            fid: [apart if len(one.data) > _LID else one for one in found]
            if found and fid in long_ids
            else found
            for fid, found in pieces.tagged.items()
        }
        return Pieces(pieces.fixed, pieces.variable, tagged)

    def _longest(self, pieces: Pieces) -> tuple[int, int] | None:
        """Return (column's tag, number) of the longest long value that is in the record."""
        long_ids = {c.tag for c in self.state.rows.columns if c.is_long}
        found = [
            (len(one.data), fid, i)
            for fid, values in pieces.tagged.items()
            if fid in long_ids
            for i, one in enumerate(values or ())
            if not one.separated and len(one.data) > _LID
        ]
        return max(found)[1:] if found else None

    def _separate(self, pieces: Pieces, fid: int, number: int) -> None:
        column = next((c for c in self.state.rows.columns if c.tag == fid), None)
        if column is None or not column.is_long:
            return
        values = pieces.tagged[fid]
        assert values is not None
        data = values[number].data
        tree = self.state.database.long_values_of(self.session, self.state)
        compress = bool(column.flags & ColumnFlag.COMPRESSED)
        lid = tree.write(self.session, data, compress=compress)
        values[number] = Instance(lid, separated=True)

    def _drop_unused(self, old: Pieces, new: Pieces) -> None:
        """Drop long values that the row does not use any more."""
        kept = set(lids(new.tagged.values()))
        for lid in lids(old.tagged.values()):
            if lid not in kept:
                self.long_values.drop(self.session, lid)

    def _entries(self, pieces: Pieces) -> list[tuple[SecondaryIndex, list[bytes]]]:
        reader = self.reader
        return [(index, index.keys.keys(pieces, reader)) for index in self.state.secondary]

    def _change_entries(
        self,
        before: list[tuple[SecondaryIndex, list[bytes]]],
        after: list[tuple[SecondaryIndex, list[bytes]]],
        old_mark: bytes,
        new_mark: bytes,
    ) -> None:
        """Make the indexes follow a change of a row."""
        wanted = {index.tree: keys for index, keys in after}
        for index, keys in before:
            new_keys = wanted.get(index.tree, [])
            same = old_mark == new_mark
            for key in keys:
                if not (same and key in new_keys):
                    index.tree.delete(self.session, key, old_mark)
            for key in new_keys:
                if not (same and key in keys):
                    index.tree.insert(self.session, key, new_mark)

    # Reading

    def select(self, names: Sequence[str] | None) -> list[ColumnDef]:
        """Return columns by name, all for None. Raises InvalidUse (-1507)."""
        if names is None:
            return self.state.rows.columns
        return [self.state.column(name) for name in names]

    def batches(
        self, columns: Sequence[str] | None = None, *, size: int = BATCH_ROWS, keys: bool = False
    ) -> Iterator[Batch]:
        """Yield all rows in batches of columns, in primary order, in one view: see `rows`.

        columns: names of those wanted; all by default. size: most rows of a batch. keys: with
        bookmarks. Raises InvalidUse (-1507), DataDamaged, PageDamaged.
        """
        return batches(self, self.select(columns), size, keys=keys)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows as one Arrow table, in primary order, in one view.

        The types are those of `hotsplit.ese.read.arrow`. Raises FeatureMissing without pyarrow,
        and as `batches`.
        """
        return arrow_table(list(self.batches(columns)), self.select(columns))

    def _record(self, bookmark: bytes) -> bytes:
        record = self.state.tree.get(self.session, bookmark)
        if record is None:
            raise RecordNotFound(f"Table {self.name} has no such row")
        return record

    def bookmark(self, *key: Value) -> bytes:
        """Return the bookmark of a primary key."""
        if self.state.primary is None:
            raise InvalidUse(f"Table {self.name} has no primary index")
        return self.state.primary.search_key(key)

    def get(self, *key: Value) -> Row | None:
        """Return the row of a primary key, None if there is none."""
        return self.row(self.bookmark(*key))

    def row(self, bookmark: bytes) -> Row | None:
        """Return the row of a bookmark, None if there is none."""
        with self.reading():
            state = self.state
            record = state.tree.get(self.session, bookmark)
            return None if record is None else self._decode(state, record)

    def decode(self, record: bytes) -> Row:
        """Return the values of a record by column name; NULL is None."""
        return self._decode(self.state, record)

    def _decode(self, state: TableState, record: bytes) -> Row:
        values = state.rows.values(record, self._reader(state))
        return dict(zip(state.rows.names, values, strict=True))

    def cursor(self, index: str | None = None) -> Cursor:
        """Return a cursor over the rows in the order of an index, the primary one by default."""
        found = None if index is None else self.state.index(index)
        return Cursor(self, found)

    def rows(self, index: str | None = None) -> Iterator[Row]:
        """Yield all rows in the order of an index, in one view.

        In a transaction that is its own, with what it changes meanwhile: rows that it puts ahead
        are met, too.
        """
        with self.viewed() as table:
            cursor = table.cursor(index)
            while cursor.move(1):
                yield cursor.row()

    @contextlib.contextmanager
    def viewed(self) -> Iterator[Table]:
        """Give the table as it is now: see `Session.view`."""
        with self.session.view() as session:
            yield Table(session, self._state)
