"""Cursors: rows by an index, from any key on, in both directions.

    with table.cursor("i_date") as cursor:
        for row in cursor.range(start=(low,), stop=(high,)):
            ...
        row = cursor.seek("exact key")

Keys of Unicode text need weights of characters; those of the locales and characters that
`hotsplit.ese.format.keys` covers are made here. Where they are not covered, `range` and `seek`
compare the values of all rows instead: slower, and in the order of the table.

Source: format specification 4.3 (seek), 10 (keys), 10.5 (index entries).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self

from hotsplit.errors import HotsplitError, InvalidUse, Jet
from hotsplit.ese.format.catalogschema import IndexDef, TupleLimits, tuple_limits
from hotsplit.ese.format.collation import KeyUnknown
from hotsplit.ese.format.columns import (
    TEXT_TYPES,
    UTF16,
    ColumnDef,
    Value,
    encode_value,
    padded,
)
from hotsplit.ese.format.keys import collation_of, record_key
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.read.labels import Label
from hotsplit.ese.read.remains import Remnant
from hotsplit.ese.read.rows import RowReader, leaf_records
from hotsplit.ese.read.where import within
from hotsplit.report import Finding, Severity

if TYPE_CHECKING:
    from hotsplit.ese.read.table import Table

Key = Sequence[Any]
_SAMPLE = 20  # entries of an index that are held against keys made here


class Cursor:
    """Rows of a table in the order of one of its indexes. Iterating gives all of them.

    A multi-valued or tuple index has several entries for some rows: such a row comes once for each
    entry. Rows are lists of values in the order of `columns`.
    """

    def __init__(
        self, table: Table, index: IndexDef | None, columns: Sequence[str] | None = None
    ) -> None:
        self.index = index
        self._table = table
        self._limits = _limits(index)
        self._tree = table.index_tree(index) if index else table.tree()
        self._records = table.tree()
        self._columns = table.select(columns)
        self._reader = self._reader_of(self._columns)
        self.key_columns: list[ColumnDef] = table.key_columns(index) if index else []

    def _reader_of(self, columns: list[ColumnDef]) -> RowReader:
        table = self._table
        return RowReader(table.name, columns, table.long_values, table.reporter)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to do: a cursor holds no pages."""

    def __iter__(self) -> Iterator[list[Value]]:
        return self.range()

    def __reversed__(self) -> Iterator[list[Value]]:
        return self.range(reverse=True)

    # Searching

    def seek(self, *values: Any) -> list[Value] | None:
        """Return the first row whose key begins with these values, None if there is none."""
        return next(self.range(values, values), None)

    def range(
        self, start: Key = (), stop: Key = (), *, reverse: bool = False
    ) -> Iterator[list[Value]]:
        """Yield rows in the order of the index, from `start` to `stop`, both included.

        start, stop: values of the first columns of the index, fewer than it has if need be; empty
        for no limit. They are limits of the index's order: of a descending column the greatest
        value comes first. A tuple index is searched for a part of the text, of a longer one for
        its beginning. Raises InvalidUse if a value does not fit its column, PageDamaged if a page
        on the way is damaged.
        """
        start, stop = self._part(start), self._part(stop)
        try:
            nodes = self._nodes(start, stop, reverse=reverse)
        except KeyUnknown as error:
            self._note(str(error))
            yield from self._scan(start, stop, reverse=reverse)
            return
        for node in nodes:
            record = self._record(node)
            if record is not None:
                yield self._reader.row(record, self._tree.pages.page_size).values

    def records(
        self, start: Key = (), stop: Key = (), *, reverse: bool = False
    ) -> Iterator[Remnant]:
        """Yield the records of the rows that `range` yields, with the places where they lie."""
        start, stop = self._part(start), self._part(stop)
        try:
            nodes = self._nodes(start, stop, reverse=reverse)
        except KeyUnknown as error:
            self._note(str(error))
            found = self._scan_records(start, stop)
            yield from reversed(list(found)) if reverse else found
            return
        for node in nodes:
            record = self._record(node, placed=True)
            if record is not None:
                yield record

    def _nodes(self, start: Key, stop: Key, *, reverse: bool) -> Iterator[Node]:
        """Return the nodes of the tree between two limits. Raises KeyUnknown, InvalidUse."""
        low, high = self._key(start), self._after(self._key(stop))
        if reverse:
            return itertools.takewhile(lambda node: node.key >= low, self._tree.nodes_before(high))
        nodes = self._tree.nodes_from(low)
        return itertools.takewhile(lambda node: high is None or node.key < high, nodes)

    def _record(self, node: Node, *, placed: bool = False) -> Remnant | None:
        """Return the record that a node is or leads to; None with a finding if there is none."""
        is_own = self.index is None or self.index.is_primary
        key = node.key if is_own else node.data
        if is_own and not placed:
            return Remnant(Label.LIVE, 0, 0, node.key, node.data, self._is_old())
        found = self._records.locate(key)
        if found is None:
            self._note(f"an entry leads to no row: {key[:32].hex()}", Severity.ERROR)
            return None
        page, number, record = found
        return Remnant(Label.LIVE, page.number, number, key, record.data, self._is_old())

    def _is_old(self) -> bool:
        return not self._records.page(self._records.root).flags & PageFlag.NEW_RECORD

    def _note(self, why: str, severity: Severity = Severity.NOTE) -> None:
        name = self.index.name if self.index else "the table's own order"
        self._table.reporter.report(
            Finding("index", severity, f"index {name} of table {self._table.name}: {why}")
        )

    # Keys

    def _key(self, values: Key) -> bytes:
        """Return the start of the key of these values. Raises KeyUnknown, InvalidUse."""
        if not values:
            return b""
        if self.index is None or len(values) > len(self.key_columns):
            raise InvalidUse(f"The index has {len(self.key_columns)} columns")
        columns = self.key_columns[: len(values)]
        stored = [_stored(column, value) for column, value in zip(columns, values, strict=True)]
        if any(_is_unicode(column) for column in columns):
            self._check_order()
        return record_key(columns, self.index, stored)

    @staticmethod
    def _after(key: bytes) -> bytes | None:
        """Return the least key that is greater than all that begin with `key`; None without."""
        stripped = key.rstrip(b"\xff")
        return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None

    def _check_order(self) -> None:
        """Make sure that the index is sorted by the weights known here: some of its keys show it.

        Raises KeyUnknown.
        """
        assert self.index is not None
        collation_of(self.index)
        nodes = itertools.islice(self._tree.nodes_from(b""), _SAMPLE)
        reader = self._reader_of(self.key_columns)
        for node in nodes:
            remnant = self._record(node)
            if remnant is None:
                continue
            values = reader.row(remnant, self._tree.pages.page_size).values
            if self._differs(node.key, values):
                raise KeyUnknown("the index is sorted by other weights than those known here")

    def _differs(self, key: bytes, values: list[Value]) -> bool:
        assert self.index is not None
        if any(isinstance(value, list) for value in values) or self.index.tuple_limits:
            return False
        pairs = zip(self.key_columns, values, strict=True)
        try:
            stored = [_stored(column, value) for column, value in pairs]
            made = record_key(self.key_columns, self.index, stored)
        except (KeyUnknown, HotsplitError):
            return False
        return made != key

    # Without keys

    def _scan(self, start: Key, stop: Key, *, reverse: bool) -> Iterator[list[Value]]:
        """Yield the rows between the limits by comparing values, in the order of the table."""
        count = len(self._columns)
        reader = self._reader_of([*self._columns, *self.key_columns])
        found = (
            values[:count]
            for _, values in reader.live(self._records, keys=False)
            if within(self._entries(values[count:]), start, stop)
        )
        return reversed(list(found)) if reverse else found

    def _scan_records(self, start: Key, stop: Key) -> Iterator[Remnant]:
        reader = self._reader_of(self.key_columns)
        for found in leaf_records(self._records, deleted=False):
            values = reader.row(found, self._tree.pages.page_size).values
            if within(self._entries(values), start, stop):
                yield found

    def _part(self, limit: Key) -> Key:
        """Return a limit with as much of the text as an entry of a tuple index can have."""
        if self._limits is None or not limit or not isinstance(limit[0], str):
            return limit
        return (limit[0][: self._limits.most], *limit[1:])

    def _entries(self, values: list[Value]) -> list[Any]:
        """Return the key values of a row, for a tuple index with the parts of the first."""
        text = values[0] if values else None
        if self._limits is None or text is None:
            return values
        several = text if isinstance(text, list) else [text]
        parts = [part for one in several for part in self._limits.parts(str(one))]
        return [parts, *values[1:]]


def _limits(index: IndexDef | None) -> TupleLimits | None:
    if index is None:
        return None
    try:
        return tuple_limits(index.tuple_limits)
    except ValueError:
        return None


def _is_unicode(column: ColumnDef) -> bool:
    return column.coltyp in TEXT_TYPES and column.code_page == UTF16


def _stored(column: ColumnDef, value: Any) -> bytes | None:
    """Return a value as a record has it. Raises InvalidUse if it does not fit the column."""
    if value is None:
        return None
    if isinstance(value, str) and column.coltyp not in TEXT_TYPES:
        raise InvalidUse(f"{column.name}: no {column.type_name} value: {value!r}")
    try:
        data = encode_value(column, value)
    except ValueError as error:
        raise InvalidUse(str(error), jet=Jet.errInvalidParameter) from error
    return padded(column, data) if column.is_fixed else data
