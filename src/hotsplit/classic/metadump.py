"""``eseutil /mm`` and ``/ms``: the trees that the catalog names, definitions, the pages of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hotsplit.errors import HotsplitError
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.basics import LogTime
from hotsplit.ese.format.catalogschema import IndexDef, RowType, TableDef, TableFlag
from hotsplit.ese.format.columns import Coltyp, ColumnDef, DateTime
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.space import Extent, SpaceHeader
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.database import Database
from hotsplit.ese.read.pages import CachedPages
from hotsplit.ese.read.table import Table
from hotsplit.report import Reporter

_DATABASE_ROOT, _DATABASE_OBJID = 1, 1
_RULE = "=" * 75
_TREE_HEAD = f"{'Name':<51}{'Type':<4}{'ObjidFDP':>12}{'PgnoFDP':>11}{'PgnoFDPLastSetTime':>31}"
_CATALOG, _ROOT_TIME = "MSysObjects", "PgnoFDPLastSetTime"
_FIRST = dt.datetime(1601, 1, 1, tzinfo=dt.UTC)
_MARKS = (
    (TableFlag.SYSTEM, "System Table"),
    (TableFlag.FIXED_DDL, "FixedDDL"),
    (TableFlag.TEMPLATE, "Template"),
)


def tree_lines(env: Env, path: str, wanted: str) -> Iterator[str]:
    """Yield a line for each tree of all tables, or of the one named: type, object, root, time.

    Raises HotsplitError.
    """
    with Database.open(env, path) as database:
        times = _root_times(database)
        yield f"{' META-DATA DUMP ':*^78}"
        yield _TREE_HEAD
        yield "=" * len(_TREE_HEAD)
        yield _tree(path[:5], "Db", _DATABASE_OBJID, _DATABASE_ROOT)
        yield ""
        names = [wanted] if wanted else sorted(database.tables(system=True), key=_order)
        for name in names:
            table = database.table(name).definition
            yield _tree(table.name, "Tbl", table.objid, table.root, times)
            if table.long_value_root:
                place = (table.long_value_objid, table.long_value_root)
                yield _tree("  <Long Values>", "LV", *place, times)
            for index in sorted(table.indexes, key=lambda index: _order(index.name)):
                kind = "Pri" if index.is_primary else "Idx"
                yield _tree(f"  {index.name}", kind, index.objid, index.root)
        yield "*" * 78


def _order(name: str) -> str:
    """Return what names are sorted by, as in the index of the catalog."""
    return name.upper()


def _tree(
    name: str, kind: str, objid: int, root: int, times: Mapping[int, LogTime] | None = None
) -> str:
    when = "" if times is None else f"    {times.get(objid, LogTime())}"
    return f"{name[:51]:<51} {kind:<4} {objid:10} {root:10}{when}"


def _root_times(database: Database) -> dict[int, LogTime]:
    """Return when the root page was set, by object, of tables and their long values."""
    times: dict[int, LogTime] = {}
    table = database.table(_CATALOG)
    if not any(column.name == _ROOT_TIME for column in table.columns):
        return times
    for kind, objid, when in table.values(["Type", "Id", _ROOT_TIME]):
        if kind in (RowType.TABLE, RowType.LONG_VALUE) and isinstance(when, DateTime):
            times[int(str(objid))] = _moment(when.bits)
    return times


def _moment(ticks: int) -> LogTime:
    """Return a FILETIME as the engine shows it; no time for 0 and what is none."""
    if ticks <= 0:
        return LogTime()
    try:
        return LogTime.from_datetime(_FIRST + dt.timedelta(milliseconds=ticks // 10_000))
    except (OverflowError, ValueError):
        return LogTime()


def table_lines(env: Env, path: str, wanted: str) -> Iterator[str]:
    """Yield the definitions of all tables, or of the one named. Raises HotsplitError."""
    with Database.open(env, path) as database:
        for name in [wanted] if wanted else database.tables(system=True):
            yield from _table(database.table(name))


def _table(table: Table) -> Iterator[str]:
    found = table.definition
    roots = (found.root, found.objid, found.long_value_root, found.long_value_objid)
    yield "Table Name        PgnoFDP  ObjidFDP    PgnoLV   ObjidLV"
    yield "======================================================"
    yield found.name
    yield " " * 15 + "".join(f"{number:10}" for number in roots)
    yield f"    LV ChunkSize={found.chunk_size}"
    for bit, text in _MARKS:
        if found.flags & bit:
            yield f"    {text}=yes"
    if found.template:
        yield f"    Derived From: {found.template}"
    yield "    Column Name     Column Id  Column Type      Length"
    yield "    --------------------------------------------------"
    yield from (_column(column) for column in table.columns)
    yield "    Index Name        PgnoFDP  ObjidFDP  Density"
    yield "    --------------------------------------------"
    for index in table.indexes:
        yield from _index(table, index)
    yield ""


def _column(column: ColumnDef) -> str:
    known = column.coltyp in list(Coltyp)
    kind = column.type_name if known else f"unknown ({column.coltyp})"
    return f"    {column.name:<15} {column.id:9}  {kind:<15} {column.size:7}"


def _index(table: Table, index: IndexDef) -> Iterator[str]:
    yield f"    {index.name}"
    yield f"{index.root:29}{index.objid:10}{index.density:8}%"
    if index.is_unique:
        yield "        Unique=yes"
    if index.is_primary:
        yield "        Primary=yes"
    yield f"        Key Segments ({len(index.key)})"
    names = {(column.id, column.derived): column.name for column in table.columns}
    for segment in index.key:
        name = names.get((segment.column_id, False)) or names.get((segment.column_id, True), "?")
        sign = "-" if segment.is_descending else "+"
        yield f"            {sign}{name} (0x{segment.column_id:08x})"


@dataclass(frozen=True)
class Usage:
    """Pages of one tree. available: those of `owned` that it does not use."""

    owned: int
    available: int


def space_lines(env: Env, path: str, wanted: str) -> Iterator[str]:
    """Yield a line for each tree: its pages and what is free of them. Raises HotsplitError."""
    with Database.open(env, path) as database:
        pages = CachedPages(database.source)
        yield _cells("Name", "Type", ("ObjidFDP", "PgnoFDP", "Owned", "Available"))
        yield _RULE
        if not wanted:
            yield _line(pages, path, "Db", _DATABASE_OBJID, _DATABASE_ROOT)
        for name in [wanted] if wanted else database.tables(system=True):
            for title, kind, objid, root in _trees(database.table(name).definition):
                yield _line(pages, title, kind, objid, root)
        yield _RULE


def _trees(table: TableDef) -> Iterator[tuple[str, str, int, int]]:
    yield f"  {table.name}", "Pri", table.objid, table.root
    if table.long_value_root:
        yield "    [Long Values]", "LV", table.long_value_objid, table.long_value_root
    for index in table.indexes:
        if not index.is_primary:
            yield f"    {index.name}", "Sec", index.objid, index.root


def _line(pages: CachedPages, title: str, kind: str, objid: int, root: int) -> str:
    try:
        usage = space_usage(pages, objid, root)
        owned, available = str(usage.owned), str(usage.available)
    except (HotsplitError, ValueError):
        owned = available = "damaged"
    return _cells(title, kind, (str(objid), str(root), owned, available))


def _cells(title: str, kind: str, numbers: tuple[str, ...]) -> str:
    return f"{title:<30} {kind:<4}" + "".join(f" {number:>9}" for number in numbers)


def space_usage(pages: CachedPages, objid: int, root: int) -> Usage:
    """Return the pages of a tree. Raises HotsplitError, ValueError for a damaged one.

    Source: format specification 5.2 to 5.4.
    """
    header = SpaceHeader.unpack(Page(pages.read_page(root), root).external)
    if not header.is_multiple:
        return Usage(header.pages, header.free_count)
    trees = header.owned, header.owned + 1
    owned, available = (sum(_extents(pages, objid, tree)) for tree in trees)
    return Usage(owned, available)


def _extents(pages: CachedPages, objid: int, root: int) -> Iterator[int]:
    tree = BTree(pages, root, name="space", reporter=Reporter(limit=0), objid=objid)
    for node in tree.nodes():
        yield Extent.unpack(node.key, node.data).pages
