"""The catalog against its shadow, and against the engine's own list of objects.

Source: format specification 6.9 and 13.1 C 36, 46.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.catalogrows import CatalogRow, CatalogRows, TableRows
from hotsplit.ese.check.context import Context
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.format.catalogschema import IndexFlag, RowType
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.read.btree import BTree
from hotsplit.report import Reporter

_OBJIDS_NAME = "MSysObjids"
_DELETED_COLUMN = 0


def compare_with_shadow(context: Context, catalog: CatalogRows, shadow: CatalogRows) -> None:
    """Name the rows that only one of the two has, or that differ. Both trees must be sound."""
    rows, copies = _keyed(catalog), _keyed(shadow)
    row, copy = next(rows, None), next(copies, None)
    while row is not None or copy is not None:
        if copy is None or (row is not None and row.key < copy.key):
            assert row is not None
            _report(context, row, "is missing in the shadow catalog")
            row = next(rows, None)
        elif row is None or copy.key < row.key:
            if not _is_deleted_column(copy):
                _report(context, copy, "is only in the shadow catalog")
            copy = next(copies, None)
        else:
            if row.values != copy.values:
                _report(context, row, "differs in the shadow catalog")
            row, copy = next(rows, None), next(copies, None)


def _keyed(rows: CatalogRows) -> Iterator[CatalogRow]:
    """Yield rows as long as their keys ascend: what is out of order is told by the walk."""
    before = b""
    for row in rows.rows():
        if row.key > before:
            yield row
            before = row.key


def _is_deleted_column(row: CatalogRow) -> bool:
    """True for a row that the engine keeps in the shadow only."""
    return row.type == RowType.COLUMN and row.number("ColtypOrPgnoFDP") == _DELETED_COLUMN


def _report(context: Context, row: CatalogRow, what: str) -> None:
    name = f"catalog row ({row['ObjidTable']}, {row['Type']}, {row['Id']}) {row.text!r}"
    context.findings.add("C36", f"{name} {what}", row.page, row.node)


class ObjectList:
    """The objects of the catalog, to be held against the table MSysObjids."""

    def __init__(self) -> None:
        self._objids: set[int] = set()
        self.shape: TableShape | None = None

    def add(self, group: TableRows, shape: TableShape | None) -> None:
        """Take the objects of one table; rows that belong to no table are none."""
        if group.rows[0].type != RowType.TABLE:
            return
        self._objids.add(group.objid)
        for row in group.rows:
            primary = row.number("Flags") & IndexFlag.PRIMARY
            if row.type == RowType.LONG_VALUE or (row.type == RowType.INDEX and not primary):
                self._objids.add(row.number("Id"))
        if shape is not None and shape.table.name == _OBJIDS_NAME:
            self.shape = shape

    def compare(self, context: Context) -> None:
        """Report what is in one of the two only; nothing for a database without the list."""
        if self.shape is None:
            return
        listed = set(self._listed(context, self.shape))
        root = self.shape.table.root
        for objid in sorted(self._objids - listed):
            context.findings.add("C46", f"{_OBJIDS_NAME} lacks object {objid}", root)
        for objid in sorted(listed - self._objids):
            context.findings.add("C46", f"{_OBJIDS_NAME} has object {objid}, which is gone", root)

    def _listed(self, context: Context, shape: TableShape) -> Iterator[int]:
        column = next((c for c in shape.table.columns if c.name == "objid"), None)
        if column is None:
            return
        plan = RecordPlan([column])
        tree = BTree(
            context.cached,
            shape.table.root,
            name=_OBJIDS_NAME,
            reporter=Reporter(limit=0),
            objid=shape.table.objid,
        )
        try:
            for page in tree.leaves():
                for _, _, values, pending in plan.decode_page(bytes(page.data)):
                    value: Any = values[0] if values is not None and not pending else None
                    if isinstance(value, int):
                        yield value & 0xFFFFFFFF
        except (HotsplitError, ValueError):
            return
