"""The catalog against the engine's own lists: MSysObjids and MSysLocales.

Source: format specification 6.9 and 13.1 C 46.
"""

from __future__ import annotations

import uuid
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.catalogrows import CatalogRow, IdSet, TableRows
from hotsplit.ese.check.context import Context
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.format.catalogschema import IndexFlag, RowType
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.record import RecordPlan
from hotsplit.ese.read.btree import BTree
from hotsplit.report import Reporter

OBJECT_LIST, LOCALE_LIST = "MSysObjids", "MSysLocales"
OBJECT_COLUMNS = {
    256: ("objid", Coltyp.LONG),
    257: ("objidTable", Coltyp.LONG),
    258: ("type", Coltyp.SHORT),
}
"""The columns of MSysObjids by id."""
LOCALE_ROW = 2
"""Type of the rows of MSysLocales that count indexes."""
_UTF16, _OBJID, _LARGEST = "utf-16-le", 0xFFFFFFFF, 8


class OwnLists:
    """Objects and locales of the catalog, to be held against what the engine keeps of them."""

    def __init__(self) -> None:
        self._objids, self._tables_of, self._types = array("I"), array("I"), array("B")
        self._locales: Counter[str] = Counter()
        self._tables: dict[str, TableShape] = {}

    def add(self, group: TableRows, shape: TableShape | None) -> None:
        """Take the objects of one table; rows that belong to no table are none."""
        if group.rows[0].type != RowType.TABLE:
            return
        self._take(group.objid, group.objid, RowType.TABLE)
        for row in group.of_type(RowType.LONG_VALUE):
            self._take(row.number("Id"), group.objid, RowType.LONG_VALUE)
        for row in group.of_type(RowType.INDEX):
            if not row.number("Flags") & IndexFlag.PRIMARY:
                self._take(row.number("Id"), group.objid, RowType.INDEX)
            key = locale_key(row)
            if key is not None:
                self._locales[key] += 1
        if shape is not None and shape.table.name in (OBJECT_LIST, LOCALE_LIST):
            self._tables[shape.table.name] = shape

    def _take(self, objid: int, table: int, kind: RowType) -> None:
        self._objids.append(objid)
        self._tables_of.append(table)
        self._types.append(kind)

    def compare(self, context: Context) -> None:
        """Report what the lists lack; nothing for a database without them."""
        if OBJECT_LIST in self._tables:
            self._compare_objids(context, self._tables[OBJECT_LIST])
        if LOCALE_LIST in self._tables:
            self._compare_locales(context, self._tables[LOCALE_LIST])

    def _compare_objids(self, context: Context, shape: TableShape) -> None:
        listed = IdSet()
        order = sorted(range(len(self._objids)), key=self._objids.__getitem__)
        objids = array("I", (self._objids[i] for i in order))
        for row in _rows(context, shape):
            objid, table, kind = (
                _number(row, name) & _OBJID for name, _ in OBJECT_COLUMNS.values()
            )
            listed.add(objid)
            at = bisect_left(objids, objid)
            wrong = ""
            if at == len(objids) or objids[at] != objid:
                wrong = "which is gone"
            elif (table, kind) != (self._tables_of[order[at]], self._types[order[at]]):
                wrong = "but with another type or of another table"
            if wrong:
                self._report(context, shape, f"has object {objid}, {wrong}")
        for objid in self._objids:
            if objid not in listed:
                self._report(context, shape, f"lacks object {objid}")

    @staticmethod
    def _report(context: Context, shape: TableShape, what: str) -> None:
        context.findings.add("C46", f"{OBJECT_LIST} {what}", shape.table.root)

    def _compare_locales(self, context: Context, shape: TableShape) -> None:
        """Counts may be too high, but not too low: else a change of sort tables goes unnoticed."""
        listed = {
            listed_key(row.get("Key")): _number(row, "iValue")
            for row in _rows(context, shape)
            if row.get("Type") == LOCALE_ROW
        }
        for key, count in sorted(self._locales.items()):
            counted = listed.get(key.lower(), 0)
            if counted < count:
                message = f"{LOCALE_LIST} counts {counted} indexes of {key}, there are {count}"
                context.findings.add("C46", message, shape.table.root)


def locale_key(row: CatalogRow) -> str | None:
    """Return the key under which an index is counted by its locale (6.9), None if it is not."""
    if not row.number("Flags") & IndexFlag.LOCALIZED_TEXT or not row["LocaleName"]:
        return None
    name = row["LocaleName"].decode(_UTF16, "replace")
    version = int.from_bytes(row["Version"] or b"", "little")
    defined, nls = version & 0xFFFFFFFF, version >> 32
    sort_id = (row["SortID"] or b"").ljust(16, b"\0")[:16]
    return f"LocaleName={name},SortID={uuid.UUID(bytes_le=sort_id)},Ver={nls << 32 | defined:x}"


def listed_key(data: Any) -> str:
    """Return a key of MSysLocales as keys are compared: without its end, in lower case.

    What a column of another type has is no key: "".
    """
    return data.decode(_UTF16, "replace").rstrip("\0").lower() if isinstance(data, bytes) else ""


def _number(row: dict[str, Any], name: str) -> int:
    """Return a number of a row, 0 if it is null.

    Where the catalog gives the column another type, its bytes are still those of a number.
    """
    value = row.get(name)
    if isinstance(value, bytes):
        return int.from_bytes(value[:_LARGEST], "little")
    return value if isinstance(value, int) else 0


def _rows(context: Context, shape: TableShape) -> Iterator[dict[str, Any]]:
    """Yield the rows of a table by column name, without nulls; nothing more after damage."""
    plan = RecordPlan(shape.table.columns)
    names = [column.name for column in shape.table.columns]
    tree = BTree(
        context.cached,
        shape.table.root,
        name=shape.table.name,
        reporter=Reporter(limit=0),
        objid=shape.table.objid,
    )
    try:
        for page in tree.leaves():
            for _, _, values, pending in plan.decode_page(bytes(page.data)):
                odd = set(pending)
                yield {
                    name: value
                    for i, (name, value) in enumerate(zip(names, values or (), strict=False))
                    if value is not None and i not in odd
                }
    except (HotsplitError, ValueError):
        return
