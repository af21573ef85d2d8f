"""Columns of a damaged catalog: types, flags and fixed places made to fit each other.

Source: format specification 6.2 to 6.4, 13.1 C 39 and 41.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest

from hotsplit.ese.check.catalogrows import as_text
from hotsplit.ese.check.catalogrules import FIRST_OFFSET, FIXED_PLACES
from hotsplit.ese.check.definitionrules import (
    DEFAULT,
    KNOWN_COLTYPS,
    SHORT_MOST,
    USER_DEFAULT,
    column_problems,
    lacks_callback,
    place_of,
)
from hotsplit.ese.check.ownlists import OBJECT_COLUMNS, OBJECT_LIST
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, RowType, unsigned
from hotsplit.ese.format.columns import FIRST_VARIABLE, ColumnFlag, type_size
from hotsplit.ese.rebuild.catalogtable import CatalogTable, Values, columns_of, signed

_SPECIAL = (
    ColumnFlag.COMPRESSED,
    ColumnFlag.ESCROW,
    ColumnFlag.VERSION,
    ColumnFlag.AUTOINCREMENT,
    ColumnFlag.MULTI_VALUED,
)
"""Flags that only some columns can have."""
_OF_OBJECT_LIST: Mapping[int, Values] = {
    fid: {"Name": name, "ColtypOrPgnoFDP": int(coltyp)}
    for fid, (name, coltyp) in OBJECT_COLUMNS.items()
}
_OF_CATALOG: Mapping[int, Values] = {
    column.id: {"Name": column.name, "ColtypOrPgnoFDP": int(column.coltyp)}
    for column in CATALOG_COLUMNS
}
_DELETED = 0
_LAST_END = 0x7FFF
"""Of fixed columns; the catalog has no room for higher offsets."""


def mend_columns(table: CatalogTable, *, old: bool) -> None:
    """Mend the columns of a table. old: of an old engine, whose rows stay as they are."""
    if not old:
        _restore(table, known_columns(table))
    live = []
    for row in table.of(RowType.COLUMN):
        coltyp = unsigned(row["ColtypOrPgnoFDP"])
        if coltyp and coltyp not in KNOWN_COLTYPS:
            _give_up(table, row, f"is of type {coltyp}")
        elif coltyp:
            live.append(row)
        if not old and unsigned(row["Id"]) < FIRST_VARIABLE and type_size(coltyp):
            table.put(row, "SpaceUsage", type_size(coltyp))
    table.rename(live, set())
    if not old:
        _check_flags(table, live)
        _check_escrow(table, live)
        _check_offsets(table)
        _check_types(table)


def known_columns(table: CatalogTable) -> Mapping[int, Values]:
    """Return what the engine's own tables have everywhere, by the ids of columns."""
    if table.name == OBJECT_LIST:
        return _OF_OBJECT_LIST
    return _OF_CATALOG if table.objid in FIXED_PLACES else {}


def _restore(table: CatalogTable, known: Mapping[int, Values]) -> None:
    for row in table.of(RowType.COLUMN):
        for name, value in known.get(unsigned(row["Id"]), {}).items():
            table.put(row, name, value)


def _give_up(table: CatalogTable, column: Values, why: str) -> None:
    """Let a column be a deleted one."""
    name = as_text(column["Name"])
    table.note(f"column {name} {why}, and given up")
    column["ColtypOrPgnoFDP"] = _DELETED


def _check_flags(table: CatalogTable, columns: list[Values]) -> None:
    """Take flags from columns that these cannot have."""
    for row in columns:
        fid, coltyp, flags, size = (
            unsigned(row[name]) for name in ("Id", "ColtypOrPgnoFDP", "Flags", "SpaceUsage")
        )
        for flag in map(int, _SPECIAL):
            problems = column_problems(place_of(fid), coltyp, flags, size)
            left = column_problems(place_of(fid), coltyp, flags & ~flag, size)
            flags = flags & ~flag if len(left) < len(problems) else flags
        if lacks_callback(coltyp, flags, as_text(row["TemplateTable"])):
            flags &= ~USER_DEFAULT
        if row["DefaultValue"] is None and not flags & USER_DEFAULT:
            flags &= ~DEFAULT
        table.put(row, "Flags", signed(flags))


def _check_escrow(table: CatalogTable, columns: list[Values]) -> None:
    """Let no column be escrow that has no default or is in a key: it is a plain number then."""
    keys = {fid for row in table.of(RowType.INDEX) for fid in columns_of(row)}
    for row in columns:
        escrow = unsigned(row["Flags"]) & ColumnFlag.ESCROW
        if escrow and (row["DefaultValue"] is None or unsigned(row["Id"]) in keys):
            flags = unsigned(row["Flags"]) & ~int(ColumnFlag.ESCROW)
            table.put(row, "Flags", signed(flags))


def _check_offsets(table: CatalogTable) -> None:
    """Let fixed columns lie one behind the other.

    Where one does not, the column behind it tells whether it is in the wrong place or the one
    in front has the wrong size: all other columns stay where the records have them.
    """
    if table.objid in FIXED_PLACES:
        return
    derived = table.own is not None and table.own["TemplateTable"]
    before, end = None, 0 if derived else FIRST_OFFSET
    fixed = [r for r in table.of(RowType.COLUMN) if unsigned(r["Id"]) < FIRST_VARIABLE]
    for row, after in zip_longest(fixed, fixed[1:]):
        follows = unsigned(row["Id"]) == (unsigned(before["Id"]) + 1 if before else 1)
        if follows and end and row["RecordOffset"] not in (None, end) and _end_of(row):
            if after is None or _end_of(row) != after["RecordOffset"]:
                _place(table, row, end)
            elif before is not None:
                _resize(table, before, row["RecordOffset"] - before["RecordOffset"])
        before, end = row, _end_of(row)
    for row in fixed:
        if _end_of(row) and not FIRST_OFFSET <= row["RecordOffset"] < _end_of(row) <= _LAST_END:
            _give_up(table, row, "cannot be where the catalog says")


def _place(table: CatalogTable, row: Values, offset: int) -> None:
    if offset <= _LAST_END:
        table.put(row, "RecordOffset", offset)
    else:
        _give_up(table, row, "has no place in a record")


def _resize(table: CatalogTable, row: Values, size: int) -> None:
    """Let a fixed column be as large as its place; no other type than it has is made up."""
    if not type_size(unsigned(row["ColtypOrPgnoFDP"])) and 1 <= size <= SHORT_MOST:
        table.put(row, "SpaceUsage", size)
    else:
        _give_up(table, row, f"is of a type that does not fit its {size} bytes")


def _check_types(table: CatalogTable) -> None:
    """Give up columns of a type that none with such an id can have."""
    for row in table.of(RowType.COLUMN):
        fid, coltyp, size = (
            unsigned(row[name]) for name in ("Id", "ColtypOrPgnoFDP", "SpaceUsage")
        )
        for problem in column_problems(place_of(fid), coltyp, 0, size):
            _give_up(table, row, f"contradicts itself ({problem})")


def _end_of(column: Values) -> int:
    """Return where a fixed column ends, 0 if it is deleted or has no place."""
    coltyp, offset = unsigned(column["ColtypOrPgnoFDP"]), column["RecordOffset"]
    if not coltyp or offset is None:
        return 0
    return int(offset) + (type_size(coltyp) or unsigned(column["SpaceUsage"]))
