"""Reading the catalog: which tables there are, and the definition of one table at a time.

The rows of one table lie together in the catalog's tree, so a table is found without reading the
rest: a database opens at once whatever its size. The shadow catalog stands in for a damaged one.

Source: format specification 6.1 to 6.6, 6.8 (derived tables).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from hotsplit.errors import DataDamaged, Jet, PageDamaged
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    CATALOG_ROOT,
    SHADOW_ROOT,
    IndexDef,
    RowType,
    TableDef,
    catalog_key,
    catalog_offset,
    parse_segments,
    unsigned,
)
from hotsplit.ese.format.columns import FIRST_VARIABLE, ColumnDef, padded, type_size
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import CachedPages
from hotsplit.report import Finding, Reporter, Severity

_LARGEST_PAGE = 32768
_KEY_SIZE = 13  # 7f objid, 7f type, 7f id
_CATALOG_OBJID, _SHADOW_OBJID = 2, 3
_LAST_OBJID = 0x7FFFFFFF
_COLUMN_FIELDS = ("Id", "ColtypOrPgnoFDP", "SpaceUsage", "Flags", "PagesOrLocale", "RecordOffset",
                  "Name", "DefaultValue")  # fmt: skip
_CATALOG_NAMES = [column.name for column in CATALOG_COLUMNS]
_FIELD_PLACES = [_CATALOG_NAMES.index(name) for name in _COLUMN_FIELDS]
_TYPE = _CATALOG_NAMES.index("Type")
_CATALOG_OBJIDS = (_CATALOG_OBJID, _SHADOW_OBJID)


class TableEntry(NamedTuple):
    """The catalog's row of one table, without its columns and indexes."""

    name: str
    objid: int
    root: int
    flags: int


class Catalog:
    """The catalog of one database."""

    def __init__(self, pages: CachedPages, reporter: Reporter) -> None:
        self._pages = pages
        self._reporter = reporter
        self._plan = RecordPlan(CATALOG_COLUMNS)
        by_name = {column.name: column for column in CATALOG_COLUMNS}
        self._column_plan = RecordPlan([by_name[name] for name in _COLUMN_FIELDS])
        self._places = {column.name: i for i, column in enumerate(CATALOG_COLUMNS)}
        self._large = is_large(pages.page_size)
        self._tree = self._open(CATALOG_ROOT, _CATALOG_OBJID)
        self._on_shadow = self._old = False
        self._entries: dict[str, TableEntry] | None = None

    def _open(self, root: int, objid: int) -> BTree:
        name = "catalog" if root == CATALOG_ROOT else "shadow catalog"
        return BTree(self._pages, root, name=name, reporter=self._reporter, objid=objid)

    def _with_shadow(self, work: Callable[[], Any]) -> Any:
        """Do something with the catalog; if it is damaged, once more with the shadow catalog."""
        try:
            return work()
        except (PageDamaged, DataDamaged) as error:
            if self._on_shadow:
                raise
            self._tree.report(error, "catalog")
            self._on_shadow = True
            self._tree = self._open(SHADOW_ROOT, _SHADOW_OBJID)
            return work()

    def entries(self) -> dict[str, TableEntry]:
        """Return all tables by name, in order of their object ids. Raises HotsplitError."""
        if self._entries is None:
            self._entries = self._with_shadow(self._find_entries)
        return self._entries

    def _find_entries(self) -> dict[str, TableEntry]:
        entries: dict[str, TableEntry] = {}
        root = Page(self._pages.read_page(self._tree.root))
        self._old = not root.flags & PageFlag.NEW_RECORD
        wanted = 0
        while True:
            node = next(self._tree.nodes_from(catalog_key(wanted)), None)
            if node is None:
                return entries
            objid = _key_objid(node.key)
            if objid < wanted:
                raise DataDamaged("catalog keys are not in order", jet=Jet.errCatalogCorrupted)
            if node.key.startswith(catalog_key(objid, RowType.TABLE)):
                row = self._row(node.data)
                name = _text(row["Name"])
                if name:
                    place = unsigned(row["ColtypOrPgnoFDP"])
                    entries[name] = TableEntry(name, objid, place, unsigned(row["Flags"]))
            if objid == _LAST_OBJID:
                return entries
            wanted = objid + 1

    def table(self, entry: TableEntry) -> TableDef:
        """Return the definition of a table. Raises HotsplitError if its rows cannot be read."""
        table: TableDef = self._with_shadow(lambda: self._read_table(entry))
        return table

    def _read_table(self, entry: TableEntry) -> TableDef:
        table = TableDef(entry.name, entry.objid, entry.root, entry.flags)
        for kind in (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE):
            prefix = catalog_key(entry.objid, kind)
            for node in self._tree.nodes_from(prefix):
                if not node.key.startswith(prefix):
                    break
                row = self._row(node.data)
                try:
                    _apply(table, row)
                except (ValueError, TypeError) as error:
                    self._report(table, row["Type"], row["Id"], str(error))
        table.columns = _placed(self._columns(table))
        return table

    def _columns(self, table: TableDef) -> Iterator[ColumnDef]:
        """Yield the columns of a table, page by page: there can be tens of thousands."""
        of_catalog = table.objid in _CATALOG_OBJIDS
        for values in self._column_rows(catalog_key(table.objid, RowType.COLUMN)):
            try:
                column = _column(values, of_catalog)
            except (ValueError, TypeError) as error:
                self._report(table, RowType.COLUMN, values[0], str(error))
                continue
            if column is not None:
                yield column

    def _column_rows(self, prefix: bytes) -> Iterator[list[Any]]:
        default = _COLUMN_FIELDS.index("DefaultValue")
        for page in self._tree.leaves_from(prefix):
            for node, key, values, pending in self._decode_page(page):
                if key is None or values is None:
                    self._tree.report_node(page, node)
                elif key.startswith(prefix):
                    for place in pending:
                        values[place] = self._intrinsic(self._column_plan, place, values[place])
                    if isinstance(values[default], bytes | None):
                        yield values
                elif key > prefix:
                    return

    def _decode_page(self, page: Page) -> list[Any]:
        try:
            return self._column_plan.decode_page(page.data, keys=True)
        except ValueError as error:
            raise PageDamaged(str(error), position=f"page {page.number}") from error

    def _row(self, record: bytes) -> dict[str, Any]:
        """Decode one catalog record; a damaged value becomes None."""
        values, pending = self._plan.decode(record, self._large, self._old)
        for place in pending:
            values[place] = self._intrinsic(self._plan, place, values[place])
        return {name: values[place] for name, place in self._places.items()}

    @staticmethod
    def _intrinsic(plan: RecordPlan, place: int, piece: tuple[int, bytes]) -> bytes | None:
        try:
            found = plan.instances(place, piece)
        except ValueError:
            return None
        if not found or found[0].separated:
            return None
        return found[0].data

    def _report(self, table: TableDef, kind: int, number: Any, why: str) -> None:
        self._reporter.report(
            Finding(
                "catalog-row",
                Severity.ERROR,
                f"table {table.name}: catalog row ({int(kind)}, {number}): {why}",
                jet=Jet.errCatalogCorrupted,
            )
        )


def _key_objid(key: bytes) -> int:
    if len(key) != _KEY_SIZE or key[0] != 0x7F:
        raise DataDamaged(f"no catalog key: {key[:16].hex()}", jet=Jet.errCatalogCorrupted)
    return int.from_bytes(key[1:5], "big") ^ 0x80000000


def _apply(table: TableDef, row: dict[str, Any]) -> None:
    """Put into a definition what a row says that is none of a column. Raises ValueError."""
    kind = row["Type"]
    if kind == RowType.TABLE:
        table.template = _text(row["TemplateTable"])
        table.separate_lv = int.from_bytes(row["SeparateLV"] or b"", "little")
        chunk = row["LVChunkMax"] or 0
        if not 0 <= chunk < _LARGEST_PAGE:
            raise ValueError(f"long values in chunks of {chunk} bytes")
        table.chunk_size = chunk
    elif kind == RowType.INDEX:
        table.indexes.append(_index(row))
    elif kind == RowType.LONG_VALUE:
        table.long_value_objid, table.long_value_root = _tree_of(row)


def _text(value: str | bytes | None) -> str:
    if isinstance(value, bytes):  # names are code page 1252, which the kernel gives as bytes
        return value.decode("cp1252", "replace")
    return value or ""


def _column(values: list[Any], of_catalog: bool) -> ColumnDef | None:
    """Return the column of a catalog row (`_COLUMN_FIELDS`), or None for a deleted one."""
    fid, coltyp, size, flags, code_page, offset, name, default = values
    if not coltyp:
        return None
    if not 1 <= fid <= 0xFFFF:
        raise ValueError(f"column id {fid}")
    name = _text(name)
    if of_catalog:
        offset = catalog_offset(name) or offset
    size = unsigned(size)
    if fid < FIRST_VARIABLE and not type_size(coltyp) and size > 0x7FFF:
        raise ValueError(f"fixed column {name} of {size} bytes")
    column = ColumnDef(
        name,
        fid,
        coltyp,
        size,
        (flags or 0) & 0xFFFFFFFF,
        (code_page or 0) & 0xFFFF,
        (offset or 0) & 0xFFFF,
        default_data=default,
    )
    if default is None or not column.is_fixed:
        return column
    return replace(column, default_data=padded(column, default))


def _tree_of(row: dict[str, Any]) -> tuple[int, int]:
    """Return object id and root page of the tree that a catalog row names."""
    objid, root = row["Id"], row["ColtypOrPgnoFDP"]
    if objid is None or root is None:
        raise ValueError("no object id or no root page")
    return unsigned(objid), unsigned(root)


def _index(row: dict[str, Any]) -> IndexDef:
    flags = unsigned(row["Flags"])
    locale = (row["LocaleName"] or b"").decode("utf-16-le", "replace")
    var_most = row["VarSegMac"]
    return IndexDef(
        _text(row["Name"]),
        *_tree_of(row),
        flags,
        parse_segments(row["KeyFldIDs"] or b"", flags),
        parse_segments(row["ConditionalColumns"] or b"", flags),
        row["KeyMost"] or 255,
        locale or unsigned(row["PagesOrLocale"]),
        unsigned(row["LCMapFlags"]),
        row["SpaceUsage"] or 0,
        int.from_bytes(var_most, "little") if var_most else None,
        row["TupleLimits"] or b"",
        int.from_bytes((row["Version"] or b"")[4:8], "little"),
        row["SortID"] or b"",
    )


def definition_of(entry: TableEntry, rows: Iterable[Sequence[Any]]) -> TableDef:
    """Return the definition of a table from its rows: values in the order of the catalog's columns.

    What cannot be told is left out.
    """
    table, columns = TableDef(entry.name, entry.objid, entry.root, entry.flags), []
    for values in rows:
        with contextlib.suppress(ValueError, TypeError):
            if values[_TYPE] == RowType.COLUMN:
                columns.append(column_of(values))
            else:
                _apply(table, dict(zip(_CATALOG_NAMES, values, strict=True)))
    table.columns = _placed(column for column in columns if column is not None)
    return table


def column_of(values: Sequence[Any]) -> ColumnDef | None:
    """Return the column of a row, None for a deleted one. Raises ValueError, TypeError."""
    fields = [values[place] for place in _FIELD_PLACES]
    if not isinstance(fields[-1], bytes | None):
        raise ValueError("a default that cannot be read")
    return _column(fields, of_catalog=False)


def _placed(columns: Iterable[ColumnDef]) -> list[ColumnDef]:
    """Give fixed columns whose row has no offset the place behind the column before."""
    found, end = list(columns), 4
    fixed = [(column.id, i) for i, column in enumerate(found) if column.is_fixed]
    for _, i in sorted(fixed):
        column = found[i]
        if not column.offset:
            found[i] = column = replace(column, offset=end)
        end = column.offset + column.stored_size
    return found
