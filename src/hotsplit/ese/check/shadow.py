"""The catalog against its shadow, row by row. Source: format specification 6.1 and 13.1 C 36."""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.ese.check.catalogrows import CatalogRow, CatalogRows
from hotsplit.ese.check.context import Context
from hotsplit.ese.format.catalogschema import RowType

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
