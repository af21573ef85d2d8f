"""The rows of the catalog as they are stored, table by table.

Source: format specification 6.1 to 6.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.columnblock import ColumnBlock, table_of
from hotsplit.ese.check.rowplan import LastIds
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, RowType, catalog_key
from hotsplit.ese.format.columns import ColumnDef, decode_text
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.catalog import column_of
from hotsplit.ese.read.pages import CachedPages, PageSet
from hotsplit.report import Reporter

_PLACES = {column.name: i for i, column in enumerate(CATALOG_COLUMNS)}
_TABLE, _TYPE = _PLACES["ObjidTable"], _PLACES["Type"]
_CODE_PAGE = 1252
_SEPARATED = object()
_DENSE = 1 << 27


def picker(*names: str) -> Callable[[list[Any]], tuple[Any, ...]]:
    """Return what picks columns by name out of the values of a row."""
    return itemgetter(*(_PLACES[name] for name in names))


@dataclass(slots=True)
class CatalogRow:
    """One row: where it is, its key, its values in the order of the catalog's columns.

    damaged: names of columns whose value cannot be decoded (all of them: the whole row).
    """

    page: int
    node: int
    key: bytes
    values: list[Any]
    damaged: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Any:
        """Return the value of a column by name; None for null."""
        return self.values[_PLACES[name]]

    def number(self, name: str) -> int:
        """Return an integer column, without its sign if it is one of 32 bits; 0 for null."""
        return (self.values[_PLACES[name]] or 0) & 0xFFFFFFFF

    @property
    def text(self) -> str:
        """The name that the row gives."""
        return as_text(self["Name"])

    @property
    def type(self) -> int:
        """What the row describes; 0 if it does not say."""
        return self.values[_TYPE] or 0


class TableRows:
    """All rows of one table, in the order of the catalog.

    rows: those that were taken one by one; parts: these and the blocks of columns between them.
    """

    def __init__(self, objid: int) -> None:
        self.objid = objid
        self.rows: list[CatalogRow] = []
        self.parts: list[CatalogRow | ColumnBlock] = []
        self._by_type: dict[int, list[CatalogRow]] = {}

    def add(self, row: CatalogRow) -> None:
        """Take the next row."""
        self.rows.append(row)
        self.parts.append(row)
        self._by_type.setdefault(row.type, []).append(row)

    @property
    def blocks(self) -> list[ColumnBlock]:
        """The blocks of columns."""
        return [part for part in self.parts if isinstance(part, ColumnBlock)]

    def of_type(self, row_type: RowType) -> list[CatalogRow]:
        """Return those of `rows` that are of one type."""
        return self._by_type.get(row_type, [])

    def numbers(self, row_type: RowType, name: str) -> Iterator[int]:
        """Yield an integer column of `rows` of one type; see `CatalogRow.number`."""
        place = _PLACES[name]
        return ((row.values[place] or 0) & 0xFFFFFFFF for row in self.of_type(row_type))

    @property
    def last_ids(self) -> LastIds:
        """The highest column ids, deleted columns included."""
        ids = list(self.numbers(RowType.COLUMN, "Id"))
        types = self.numbers(RowType.COLUMN, "ColtypOrPgnoFDP")
        deleted = [fid for fid, coltyp in zip(ids, types, strict=True) if not coltyp]
        return LastIds.of([*ids, *(block.ids[-1] for block in self.blocks)], deleted)


class IdSet(PageSet):
    """Object ids or page numbers that the catalog names: a bit each.

    Odd ones of damaged catalogs are kept by themselves, so its size is bounded.
    """

    def add(self, pgno: int) -> None:
        """Enter a number."""
        if pgno < _DENSE:
            super().add(pgno)
        else:
            self.add_bad(pgno)


def as_text(value: str | bytes | None) -> str:
    """Return a name of the catalog as text."""
    if isinstance(value, bytes):
        value = str(decode_text(value, _CODE_PAGE))
    return value or ""


class CatalogRows:
    """The rows of the catalog, or of its shadow. Damaged pages are left out: the walk says so."""

    def __init__(self, pages: CachedPages, root: int, objid: int) -> None:
        self._plan = RecordPlan(CATALOG_COLUMNS)
        self._large = is_large(pages.page_size)
        self._tree = BTree(pages, root, name="catalog", reporter=Reporter(limit=0), objid=objid)

    def rows(self) -> Iterator[CatalogRow]:
        """Yield all live rows. Raises a HotsplitError if the root page cannot be read."""
        for page in self._tree.leaves():
            yield from self._rows_of(page)

    def _rows_of(self, page: Page) -> Iterator[CatalogRow]:
        try:
            decoded = self._plan.decode_page(bytes(page.data), True)
        except ValueError:
            return
        number = page.number
        for node, key, values, pending in decoded:
            if values is not None:
                yield self._row(number, node, key or b"", values, pending)

    def _row(
        self, page: int, node: int, key: bytes, values: list[Any], pending: list[int]
    ) -> CatalogRow:
        if not pending:
            return CatalogRow(page, node, key, values)
        damaged = []
        for place in pending:
            values[place] = self._intrinsic(place, values[place])
            if values[place] is _SEPARATED:
                values[place] = None
                damaged.append(CATALOG_COLUMNS[place].name)
        return CatalogRow(page, node, key, values, tuple(damaged))

    def _intrinsic(self, place: int, piece: tuple[int, bytes]) -> Any:
        try:
            found = self._plan.instances(place, piece)
        except ValueError:
            return _SEPARATED
        if not found:
            return None
        return _SEPARATED if found[0].separated else found[0].data

    def tables(self) -> Iterator[TableRows]:
        """Yield the rows of one table after the other. Raises as `rows` does."""
        return self._tables(self._tree.leaves())

    def expanded(self, group: TableRows) -> TableRows:
        """Return a group with rows in the place of its blocks."""
        whole = TableRows(group.objid)
        for row in self._rows_of_group(group):
            whole.add(row)
        return whole

    def define(self, group: TableRows, fid: int) -> ColumnDef | None:
        """Return a column that one of the blocks of a group has, None if none has it."""
        block = next((block for block in group.blocks if block.has(fid)), None)
        if block is None:
            return None
        key = catalog_key(group.objid, RowType.COLUMN) + catalog_key(fid)
        row = self._sought(key) or self._looked_for(block, key)
        try:
            return None if row is None else column_of(row.values)
        except (ValueError, TypeError):
            return None

    def _sought(self, key: bytes) -> CatalogRow | None:
        """Return the row of a key, None if the way to it is damaged."""
        try:
            node = next(self._tree.nodes_from(key), None)
        except HotsplitError:
            return None
        if node is None or node.key != key:
            return None
        values, pending = self._plan.decode(node.data, self._large)
        return self._row(0, 0, key, values, pending)

    def _looked_for(self, block: ColumnBlock, key: bytes) -> CatalogRow | None:
        rows = (row for pgno in block.pages for row in self._rows_of(self._tree.leaf(pgno)))
        return next((row for row in rows if row.key == key), None)

    def _rows_of_group(self, group: TableRows) -> Iterator[CatalogRow]:
        for part in group.parts:
            if isinstance(part, CatalogRow):
                yield part
                continue
            for number in part.pages:
                yield from self._rows_of(self._tree.leaf(number))

    def _tables(self, pages: Iterator[Page]) -> Iterator[TableRows]:
        group: TableRows | None = None
        for page in pages:
            if group is not None and table_of(page) == group.objid:
                group.parts.append(self._block(group, page))
                continue
            for row in self._rows_of(page):
                if group is None or group.objid != _objid_of(row):
                    if group is not None:
                        yield from self._settled(group)
                    group = TableRows(_objid_of(row))
                group.add(row)
        if group is not None:
            yield from self._settled(group)

    def _block(self, group: TableRows, page: Page) -> ColumnBlock:
        """Return a block with one more page: the last part of a group, or a new one."""
        last = group.parts[-1]
        if isinstance(last, ColumnBlock):
            group.parts.pop()
        else:
            last = ColumnBlock(group.objid, self._tree.objid, page.size)
        last.take(page)
        return last

    def _settled(self, group: TableRows) -> Iterator[TableRows]:
        """Yield a group whose blocks can be read, else what its rows make without any."""
        if all(block.finish() and block.is_ascending for block in group.blocks):
            yield group
            return
        for objid, rows in groupby(self._rows_of_group(group), key=_objid_of):
            whole = TableRows(objid)
            for row in rows:
                whole.add(row)
            yield whole


def _objid_of(row: CatalogRow) -> int:
    return (row.values[_TABLE] or 0) & 0xFFFFFFFF
