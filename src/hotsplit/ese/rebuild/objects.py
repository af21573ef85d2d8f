"""The trees that a database consists of, as the rows of its catalog name them.

Source: format specification 6.2, 6.3 (rows), 5.5 (fixed places).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hotsplit.errors import DataDamaged, Jet, UnsupportedVersion
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    CATALOG_ROOT,
    SHADOW_ROOT,
    IndexFlag,
    RowType,
)
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.rebuild.walk import TreeName

CATALOG = TreeName(CATALOG_ROOT, 2, "the catalog")
SHADOW = TreeName(SHADOW_ROOT, 3, "the shadow catalog")
NAME_INDEX = TreeName(7, 4, "index Name of the catalog")
ROOT_INDEX = TreeName(10, 5, "index RootObjects of the catalog")
FIXED_OBJIDS = (CATALOG.objid, SHADOW.objid)

_WANTED = ("ObjidTable", "Type", "Id", "ColtypOrPgnoFDP", "Flags", "Name")
_ROOT_OFFSET = next(c.offset for c in CATALOG_COLUMNS if c.name == "ColtypOrPgnoFDP")
_WITH_TREE = (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE)
_STREAMING_TYPES = (6, 7)  # Exchange 2000 and 2003: trees that describe a file beside the database


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One row: its key, and what it says of an object."""

    key: bytes
    table: int
    type: int
    id: int
    root: int
    flags: int
    name: str

    @property
    def has_tree(self) -> bool:
        """True if the row names the root page of a tree."""
        return self.type in _WITH_TREE

    @property
    def is_primary(self) -> bool:
        """True for a primary index: its tree is the table's."""
        return self.type == RowType.INDEX and bool(self.flags & IndexFlag.PRIMARY)


@dataclass
class TableTrees:
    """The trees of one table: its rows, its long values, its secondary indexes."""

    name: str
    rows: TreeName
    long_values: TreeName | None = None
    indexes: list[TreeName] = field(default_factory=list)

    @property
    def objid(self) -> int:
        """The table's object id."""
        return self.rows.objid


class RowReader:
    """Reads rows of the catalog. new_format: records with sorted tagged columns."""

    def __init__(self, page_size: int, *, new_format: bool) -> None:
        by_name = {column.name: column for column in CATALOG_COLUMNS}
        self._plan = RecordPlan([by_name[name] for name in _WANTED])
        self._large, self._old = is_large(page_size), not new_format

    def read(self, key: bytes, record: bytes) -> CatalogRow:
        """Return one row. Raises DataDamaged (-1220)."""
        try:
            values, _ = self._plan.decode(record, self._large, self._old)
            table, kind, number, root, flags = (_unsigned(value) for value in values[:5])
        except (ValueError, TypeError) as error:
            raise DataDamaged(
                f"a row of the catalog cannot be read: {error}", jet=Jet.errCatalogCorrupted
            ) from error
        name = values[5]
        if isinstance(name, bytes):
            name = name.decode("cp1252", "replace")
        return CatalogRow(key, table, kind, number, root, flags, name or "")


def _unsigned(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError("a mandatory column is null")
    return value & 0xFFFFFFFF


def with_root(record: bytes, root: int) -> bytes:
    """Return a catalog record that names another root page."""
    return record[:_ROOT_OFFSET] + struct.pack("<I", root) + record[_ROOT_OFFSET + 4 :]


def tables_of(rows: Iterable[CatalogRow]) -> Iterator[TableTrees]:
    """Yield the tables that catalog rows in order describe, the two catalogs left out.

    Raises DataDamaged (-1220) for rows without a table, UnsupportedVersion for a streaming file.
    """
    table: TableTrees | None = None
    for row in rows:
        if row.type in _STREAMING_TYPES:
            raise UnsupportedVersion(
                "The database has a streaming file; these two cannot be rebuilt",
                jet=Jet.errFeatureNotAvailable,
            )
        if row.table in FIXED_OBJIDS or not row.has_tree:
            continue
        if row.type == RowType.TABLE:
            if table is not None:
                yield table
            table = TableTrees(row.name, TreeName(row.root, row.id, f"table {row.name}"))
        elif table is None or table.objid != row.table:
            raise DataDamaged(f"a catalog row of object {row.table}, which is no table",
                              jet=Jet.errCatalogCorrupted)  # fmt: skip
        elif row.type == RowType.LONG_VALUE:
            table.long_values = TreeName(row.root, row.id, f"long values of table {table.name}")
        elif not row.is_primary:
            text = f"index {row.name} of table {table.name}"
            table.indexes.append(TreeName(row.root, row.id, text))
    if table is not None:
        yield table
