"""The rows of one table of a catalog that is being mended.

Source: format specification 6.2 to 6.5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hotsplit.ese.check.catalogrows import as_text
from hotsplit.ese.check.catalogrules import MANDATORY, MOST_DENSITY
from hotsplit.ese.check.definitionrules import Kind
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    KeySegment,
    RowType,
    catalog_key,
    parse_segments,
    unsigned,
)

_LAST_TYPE = 7

Values = dict[str, Any]
"""One row by the names of its columns."""
Note = Callable[[str], None]
"""Is told of a change in words."""


class CatalogTable:
    """The rows of one table by key. note: told of each change."""

    def __init__(self, objid: int, rows: dict[bytes, Values], note: Note) -> None:
        self.objid, self.rows, self._note = objid, rows, note

    def of(self, kind: RowType) -> list[Values]:
        """Return the rows of one type in order."""
        return [row for _, row in sorted(self.rows.items()) if row["Type"] == kind]

    @property
    def own(self) -> Values | None:
        """The table's own row."""
        return next((r for r in self.of(RowType.TABLE) if unsigned(r["Id"]) == self.objid), None)

    @property
    def name(self) -> str:
        """The table's name."""
        return as_text(self.own["Name"]) if self.own is not None else f"{self.objid}"

    @property
    def columns(self) -> set[int]:
        """Ids of the columns that are not deleted."""
        return {unsigned(r["Id"]) for r in self.of(RowType.COLUMN) if r["ColtypOrPgnoFDP"]}

    @property
    def kinds(self) -> dict[int, Kind]:
        """What indexes have to know of the columns."""
        names = ("Id", "ColtypOrPgnoFDP", "Flags", "PagesOrLocale")
        rows = ([unsigned(r[name]) for name in names] for r in self.of(RowType.COLUMN))
        return {fid: Kind.of(coltyp, flags, page) for fid, coltyp, flags, page in rows if coltyp}

    def note(self, what: str) -> None:
        """Tell of a change."""
        self._note(f"table {self.name}: {what}")

    def put(self, row: Values, column: str, value: Any) -> None:
        """Put another value into a row."""
        old = as_text(row[column]) if isinstance(value, str) else row[column]
        if old != value:
            self.note(f"the catalog said {old!r}, it is {value!r} now")
            row[column] = value

    def rename(self, rows: list[Values], names: set[str]) -> None:
        """Give rows names that no other one of their kind has."""
        for row in rows:
            name = as_text(row["Name"])
            if name.casefold() in names:
                fresh = next(n for i in range(2, 1 << 20)
                             if (n := f"{name[:50]}_{i}").casefold() not in names)  # fmt: skip
                self.note(f"a second {name} is named {fresh} now")
                row["Name"] = name = fresh
            names.add(name.casefold())


def signed(number: int) -> int:
    """Return a number of 32 bits as the catalog has it."""
    return number - ((number & 0x80000000) << 1)


def columns_of(row: Values, *, templates: bool = True) -> list[int]:
    """Return the columns of an index's key, none if it cannot be read.

    templates: also if some may be those of a template.
    """
    try:
        key = parse_segments(row["KeyFldIDs"] or b"", unsigned(row["Flags"]))
    except ValueError:
        return []
    if not templates and any(segment.flags & KeySegment.TEMPLATE for segment in key):
        return []
    return [segment.column_id for segment in key]


def key_of(row: Values) -> bytes:
    """Return the key that a row must have, empty for a row that can have none."""
    if any(row[name] is None for name in MANDATORY) or not 1 <= row["Type"] <= _LAST_TYPE:
        return b""
    return catalog_key(unsigned(row["ObjidTable"]), row["Type"]) + catalog_key(unsigned(row["Id"]))


def new_row(table: int, kind: RowType, number: int, root: int, name: str) -> Values:
    """Return a row of the catalog; what it does not need is null."""
    values: Values = {column.name: None for column in CATALOG_COLUMNS}
    values.update(ObjidTable=table, Type=int(kind), Id=number, ColtypOrPgnoFDP=root,
                  SpaceUsage=MOST_DENSITY, Flags=0, PagesOrLocale=0, Name=name)  # fmt: skip
    return values
