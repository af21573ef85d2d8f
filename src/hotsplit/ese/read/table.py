"""One table: its definition, its rows, its indexes.

Source: format specification 6.8 (derived tables), 7 (records), 8 (long values), 10.5 and 10.6
(index entries).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from hotsplit.errors import ObjectNotFound
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import IndexDef, KeySegment, TableDef
from hotsplit.ese.format.columns import ColumnDef, Value, encode_value
from hotsplit.ese.format.keys import record_key
from hotsplit.ese.format.longvalue import chunk_size
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.batches import BATCH_ROWS, BatchReader
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.cursor import Cursor, Key
from hotsplit.ese.read.labels import State
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.pages import CachedPages, PageSet, PageSource
from hotsplit.ese.read.parts import LeafRange, leaf_ranges
from hotsplit.ese.read.remains import Carver, PageMap, Remnant, orphans
from hotsplit.ese.read.rows import LabelledRow, RowReader, stream_value
from hotsplit.ese.read.selection import Selection, select
from hotsplit.ese.read.where import Condition, meets, parse_condition
from hotsplit.report import Reporter

if TYPE_CHECKING:
    import pyarrow as pa


class Row(NamedTuple):
    """One live record: bookmark (primary key) and values in the order of the columns asked for."""

    key: bytes
    values: list[Value]


Where = Sequence[Condition | str] | Condition
"""Conditions, or one condition; a text may stand for each."""


class IndexEntry(NamedTuple):
    """One live entry of a secondary index: normalised key and the bookmark of its record."""

    key: bytes
    bookmark: bytes


class Table:
    """One table: its definition and its rows.

    `columns` lists all columns that a row can have, those of the template table first.
    """

    def __init__(
        self,
        pages: CachedPages,
        table: TableDef,
        template: TableDef | None,
        reporter: Reporter,
        page_map: PageMap | None = None,
    ) -> None:
        self.definition = table
        self.name = table.name
        inherited = template.columns if template else []
        self.columns = [replace(c, derived=True) for c in inherited] + table.columns
        self.indexes = table.indexes
        self._pages = pages
        self.reporter = reporter
        self._page_map = page_map or PageMap(pages.source)
        self._long_values: LongValues | None = None
        self._chunk = table.chunk_size or chunk_size(pages.page_size)

    def __repr__(self) -> str:
        return f"Table({self.name!r}, {len(self.columns)} columns)"

    def through(self, source: PageSource, reporter: Reporter) -> Table:
        """Return the table read through another source of the same pages.

        reporter: for what is found then. What is known of the table and of the leaves of the whole
        file is not read again.
        """
        other = copy.copy(self)
        other._pages = CachedPages(source)
        other.reporter, other._long_values = reporter, None
        return other

    # Names

    def column(self, name: str) -> ColumnDef:
        """Return a column by name: exactly, else without regard to case. Raises ObjectNotFound."""
        found = self._by_name.get(name)
        if found is None:
            found = find_name(self.columns, name, f"column of table {self.name}")
        return found

    @cached_property
    def _by_name(self) -> dict[str, ColumnDef]:
        return {column.name: column for column in reversed(self.columns)}

    def index(self, name: str) -> IndexDef:
        """Return an index by name, as `column` does."""
        found: IndexDef = find_name(self.indexes, name, f"index of table {self.name}")
        return found

    def select(self, names: Sequence[str] | None) -> list[ColumnDef]:
        """Return columns by name, of one name that one, all for None. Raises ObjectNotFound."""
        if isinstance(names, str):
            names = [names]
        return self.columns if names is None else [self.column(name) for name in names]

    def key_columns(self, index: IndexDef) -> list[ColumnDef]:
        """Return the columns of the segments of an index. Raises ObjectNotFound."""
        by_id = {(column.derived, column.id): column for column in self.columns}
        found = []
        for segment in index.key:
            inherited = bool(segment.flags & KeySegment.TEMPLATE)
            derived = inherited and not self.definition.is_template
            column = by_id.get((derived, segment.column_id))
            if column is None:
                raise ObjectNotFound(f"index {index.name} has a column that does not exist")
            found.append(column)
        return found

    # Rows

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Value]]:
        """Yield each live row as a dict by column name, in primary order.

        columns: names of those wanted; all by default. NULL is None. A value that cannot be
        decoded is None too and there is a finding; a damaged page is reported and left out.
        Raises HotsplitError if the tree's root cannot be read.
        """
        names = [c.name for c in self.select(columns)]
        for values in self.values(columns):
            yield dict(zip(names, values, strict=True))

    def values(
        self, columns: Sequence[str] | None = None, *, part: LeafRange | None = None
    ) -> Iterator[list[Value]]:
        """Yield each live row as a list of values; else like `rows`.

        part: only the rows of these leaves. Raises OutOfOrder where they do not follow each other.
        """
        for _, values in self._reader(columns).live(self.tree(), keys=False, part=part):
            yield values

    def records(self, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """Yield each live row with its bookmark; else like `rows`."""
        for key, values in self._reader(columns).live(self.tree(), keys=True):
            yield Row(key or b"", values)

    def labelled(
        self,
        columns: Sequence[str] | None = None,
        *,
        include: Collection[State] = (),
        where: Where = (),
        index: str | None = None,
        start: Key = (),
        stop: Key = (),
        reverse: bool = False,
    ) -> Iterator[LabelledRow]:
        """Yield live rows and, as far as included, remains of rows, each with its label.

        Live and deleted rows come in primary order, then orphaned, then carved ones. Orphans and
        carved rows need the pages of the whole file; a source that cannot give them has none.
        where, index, start, stop, reverse: as in `scan`; of an order that is asked for only live
        rows know, the others follow them, as far as their values lie between the limits.
        """
        tests = self._conditions(where)
        asked = Selection(self.select(columns), include, tests, index, start, stop, reverse)
        return select(self, asked)

    def remains(self, visited: PageSet, include: Collection[State]) -> Iterator[Remnant]:
        """Yield the orphaned and carved records; `visited` are the leaves of the tree."""
        if not {State.ORPHANED, State.CARVED} & set(include):
            return
        pages = self._page_map.leaves(self.definition.objid)
        if State.ORPHANED in include:
            yield from orphans(self._pages.source, pages, visited)
        if State.CARVED in include:
            yield from Carver(self.columns, self._key_maker()).carve(self._pages.source, pages)

    def _key_maker(self) -> Callable[[bytes], bytes | None]:
        """Return what makes the primary key of a record, None where that is not possible."""
        index = self.definition.primary
        if index is None:
            return lambda _: None
        columns = self.key_columns(index)
        plan, large = RecordPlan(columns), is_large(self._pages.page_size)

        def make(record: bytes) -> bytes | None:
            values, pending = plan.decode(record, large)
            if pending:
                return None
            pairs = zip(columns, values, strict=True)
            try:
                stored = [None if v is None else encode_value(c, _single(v)) for c, v in pairs]
                return record_key(columns, index, stored)
            except ValueError:
                return None

        return make

    def batches(
        self,
        columns: Sequence[str] | None = None,
        *,
        size: int = BATCH_ROWS,
        most_bytes: int | None = None,
        keys: bool = False,
        reverse: bool = False,
        include: Collection[State] = (),
        part: LeafRange | None = None,
    ) -> Iterator[Batch]:
        """Yield the rows in batches of columns, in primary order or against it.

        columns: names of those wanted; all by default. size, most_bytes: most rows of a batch, and
        bytes of its values unless a single row has more. keys: with bookmarks. include: remains of
        rows too, as in `labelled`; `Batch.places` tells them apart. part: only rows of these
        leaves, see `values`. Damage is dealt with as in `rows`. Raises HotsplitError if the root
        cannot be read.
        """
        tree = self.tree()
        reader = BatchReader(
            tree.name,
            tree.pages.page_size,
            self.select(columns),
            long_values=self.long_values,
            reporter=self.reporter,
            size=size,
            most_bytes=most_bytes,
            keys=keys,
            deleted=State.DELETED in include,
        )
        yield from reader.sweep(tree, reverse=reverse, part=part)
        if part is None:
            yield from reader.remains(self.remains(reader.visited, include))

    def parts(self, count: int) -> list[LeafRange]:
        """Return the leaves in at most `count` parts for several readers; see `leaf_ranges`.

        Damage is not reported: readers do. Raises HotsplitError if the root cannot be read.
        """
        return leaf_ranges(self.through(self._pages.source, Reporter()).tree(), count)

    def to_arrow(
        self, columns: Sequence[str] | None = None, *, include: Collection[State] = ()
    ) -> pa.Table:
        """Return the rows as one Arrow table, in primary order; arguments as in `batches`.

        The types are those of `hotsplit.ese.read.arrow`. Raises FeatureMissing without pyarrow.
        """
        from hotsplit.ese.read.arrow import arrow_table

        return arrow_table(list(self.batches(columns, include=include)), self.select(columns))

    def stream(self, key: bytes, column: str) -> Iterator[bytes]:
        """Yield the bytes of a value, as stored, piece by piece: for values larger than memory.

        key: the bookmark of the row. Of several values the first comes. Nothing comes for NULL.
        Raises ObjectNotFound if there is no such row, DataDamaged.
        """
        node = next(self.tree().nodes_from(key), None)
        if node is None or node.key != key:
            raise ObjectNotFound(f"table {self.name} has no row with key {key.hex()}")
        large = is_large(self._pages.page_size)
        return stream_value(node.data, self.column(column), self.long_values, large)

    def count(self) -> int:
        """Return the number of live rows."""
        return sum(batch.rows for batch in self.batches([]))

    def reader(self, columns: list[ColumnDef]) -> RowReader:
        """Return what decodes records of this table."""
        return RowReader(self.name, columns, self.long_values, self.reporter)

    def _reader(self, columns: Sequence[str] | None) -> RowReader:
        return self.reader(self.select(columns))

    # Indexes and conditions

    def cursor(self, index: str | None = None, columns: Sequence[str] | None = None) -> Cursor:
        """Return a cursor over the rows by an index, the primary one by default.

        columns: as in `rows`. Raises ObjectNotFound.
        """
        if index is not None:
            return Cursor(self, self.index(index), columns)
        return Cursor(self, self.definition.primary, columns)

    def scan(
        self,
        columns: Sequence[str] | None = None,
        *,
        where: Where = (),
        index: str | None = None,
        start: Key = (),
        stop: Key = (),
        reverse: bool = False,
    ) -> Iterator[dict[str, Value]]:
        """Yield live rows as dicts: those that meet all conditions, and of them what is asked.

        where: conditions, or their text: see `hotsplit.ese.read.where`; one may stand alone. Other
        columns, and long values above all, are read of rows that meet them only. index, start,
        stop: rows in the order of an index, from key to key; see `Cursor.range`. reverse: from the
        end.
        Raises ObjectNotFound, InvalidUse.
        """
        wanted = self.select(columns)
        names = [column.name for column in wanted]
        tests = self._conditions(where)
        if index is None and not start and not stop and not reverse:
            asked = [test.column for test in tests]
            rows = self._reader(names).where(self.tree(), asked, tests)
        else:
            more = [*names, *(test.column.name for test in tests)]
            found = self.cursor(index, more).range(start, stop, reverse=reverse)
            rows = (row[: len(names)] for row in found if meets(row[len(names) :], tests))
        for values in rows:
            yield dict(zip(names, values, strict=True))

    def _conditions(self, where: Where) -> list[Condition]:
        """Return conditions; one that stands alone is no sequence of its parts."""
        texts = [where] if isinstance(where, str | Condition) else where
        return [parse_condition(one, self.column) if isinstance(one, str) else one for one in texts]

    # Trees

    def tree(self) -> BTree:
        """Return the tree of the records."""
        return self._tree(self.definition.root, f"table {self.name}", self.definition.objid)

    def _tree(self, root: int, name: str, objid: int) -> BTree:
        return BTree(self._pages, root, name=name, reporter=self.reporter, objid=objid)

    def long_values(self) -> LongValues:
        """Return the long values of this table. Raises ObjectNotFound if it has none."""
        if self._long_values is None:
            table = self.definition
            if not table.long_value_root:
                raise ObjectNotFound(f"table {self.name} has no long values")
            name = f"long values of table {self.name}"
            tree = self._tree(table.long_value_root, name, table.long_value_objid)
            self._long_values = LongValues(tree, self._chunk)
        return self._long_values

    def index_tree(self, index: IndexDef) -> BTree:
        """Return the tree of an index; that of the records for the primary one."""
        if index.is_primary:
            return self.tree()
        return self._tree(index.root, f"index {index.name} of table {self.name}", index.objid)

    def entries(self, index: IndexDef) -> Iterator[IndexEntry]:
        """Yield the live entries of an index in key order.

        For the primary index the entries are the records: key and bookmark are the same.
        """
        if index.is_primary:
            for row in self.records([]):
                yield IndexEntry(row.key, row.key)
            return
        for node in self.index_tree(index).nodes():
            yield IndexEntry(node.key, node.data)


def _single(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def find_name(things: Sequence[Any], name: str, what: str) -> Any:
    """Return the thing of that `.name`: exactly, else without regard to case.

    Raises ObjectNotFound with the nearest names as hint.
    """
    folded = name.casefold()
    exact = next((thing for thing in things if thing.name == name), None)
    found = exact or next((thing for thing in things if thing.name.casefold() == folded), None)
    if found is not None:
        return found
    raise ObjectNotFound(f"no {what} is named {name!r}", hint=near_hint(name, things))


def near_hint(name: str, things: Sequence[Any]) -> str:
    """Say which of the names are near to `name`; empty if none is."""
    import difflib

    by_fold = {thing.name.casefold(): thing.name for thing in things}
    near = difflib.get_close_matches(name.casefold(), by_fold, n=3, cutoff=0.5)
    return f"Did you mean {' or '.join(by_fold[fold] for fold in near)}?" if near else ""
