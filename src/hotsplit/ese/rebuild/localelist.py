"""MSysLocales made right: how many indexes there are of each locale and version of sort tables.

Source: format specification 6.9.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from hotsplit.ese.check.catalogrows import CatalogRows
from hotsplit.ese.check.ownlists import LOCALE_ROW, listed_key, locale_key
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import RowType
from hotsplit.ese.format.columns import Coltyp
from hotsplit.ese.format.page import Node
from hotsplit.ese.format.record import RecordPlan, encode_record
from hotsplit.ese.rebuild.builder import Omitted
from hotsplit.ese.rebuild.recordmender import RecordMender

_COLUMNS = {("Type", Coltyp.UNSIGNED_BYTE), ("iValue", Coltyp.LONG), ("Key", Coltyp.BINARY)}
_END = b"\0\0"


def locale_counts(catalog: CatalogRows, omitted: Omitted) -> Counter[str]:
    """Count the indexes of the new database by locale. Raises HotsplitError."""
    found: Counter[str] = Counter()
    for group in catalog.tables():
        for row in group.of_type(RowType.INDEX):
            left_out = omitted.row(group.objid, RowType.INDEX, row.number("Id"))
            key = locale_key(row)
            if key is not None:
                found[key] += not left_out
    return found


class LocaleList:
    """The rows of MSysLocales. counts: of indexes, by locale.

    Raises ValueError if the table is not defined as it should be.
    """

    def __init__(self, shape: TableShape, page_size: int, counts: Counter[str]) -> None:
        if not {(column.name, column.coltyp) for column in shape.table.columns} >= _COLUMNS:
            raise ValueError("MSysLocales lacks columns")
        self._columns = shape.table.columns
        self._large = is_large(page_size)
        self._plan = RecordPlan(self._columns)
        self._mender = RecordMender(shape, page_size, lambda *_: None, None)
        self._counts = counts

    def nodes(self, old: Iterable[Node]) -> Iterator[Node]:
        """Yield the rows in order: `old` ones with the right counts, and those that are missing."""
        names = {name.lower(): name for name in self._counts}
        found: dict[bytes, bytes] = {}
        sound = (self._mender.mend(node, old=False).node for node in old)
        for node in filter(None, sound):
            row = self._read(node.data)
            name = names.pop(listed_key(row.get("Key")), None)
            if row.get("Type") == LOCALE_ROW and name is not None:
                row["iValue"] = self._counts[name]
                found[node.key] = self._write(row)
            else:
                found[node.key] = node.data
        for name in names.values():
            row = {"Type": LOCALE_ROW, "iValue": self._counts[name],
                   "Key": name.encode("utf-16-le") + _END}  # fmt: skip
            made = self._mender.mend(Node(b"", self._write(row)), old=False).node
            if made is not None:
                found[made.key] = made.data
        yield from (Node(key, found[key]) for key in sorted(found))

    def _read(self, record: bytes) -> dict[str, Any]:
        try:
            values, pending = self._plan.decode(record, self._large)
        except ValueError:
            return {}
        names = [column.name for column in self._columns]
        return {name: value for i, (name, value) in enumerate(zip(names, values, strict=True))
                if i not in pending and value is not None}  # fmt: skip

    def _write(self, row: dict[str, Any]) -> bytes:
        return encode_record(self._columns, row, self._large)
