"""Rows of a damaged catalog that contradict themselves or each other, made to fit.

What can be told from the other rows or from the trees is put right: a table whose own row is
lost, the tree of its long values, names used twice, flags and fixed places. A row that nothing can
be made of is left out. Each change is noted in words.

Source: format specification 5.1 (root pages), 6.2 to 6.8, 13.1 C 37 to 45.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, zip_longest
from typing import Any

from hotsplit.ese.check.catalogrows import as_text
from hotsplit.ese.check.catalogrules import (
    FIRST_OFFSET,
    FIXED_PLACES,
    LEAST_DENSITY,
    MANDATORY,
    MOST_DENSITY,
)
from hotsplit.ese.check.definitionrules import (
    KNOWN_COLTYPS,
    SHORT_MOST,
    Kind,
    column_problems,
    place_of,
)
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    IndexFlag,
    KeySegment,
    RowType,
    Segment,
    TableFlag,
    catalog_key,
    parse_segments,
    unsigned,
)
from hotsplit.ese.format.columns import FIRST_VARIABLE, ColumnFlag, type_size
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.format.record import RecordPlan, encode_record
from hotsplit.ese.rebuild.inventory import Inventory

_LAST_TYPE = 7
_SPECIAL = (
    ColumnFlag.COMPRESSED,
    ColumnFlag.ESCROW,
    ColumnFlag.VERSION,
    ColumnFlag.AUTOINCREMENT,
    ColumnFlag.MULTI_VALUED,
)
"""Flags that only some columns can have."""
_DELETED = 0
_LAST_END = 0x7FFF
"""Of fixed columns; the catalog has no room for higher offsets."""

Values = dict[str, Any]
Note = Callable[[str], None]


class CatalogMender:
    """Mends the rows of one catalog, by key. note: told of each change; left_out: of each index.

    Records of old engines are only read: rows stay as they are, or are left out.
    """

    def __init__(
        self,
        page_size: int,
        inventory: Inventory,
        note: Note,
        left_out: Note,
        *,
        new_format: bool,
    ) -> None:
        self._large, self._old = is_large(page_size), not new_format
        self._plan = RecordPlan(CATALOG_COLUMNS)
        self._inventory = inventory
        self._note, self._left_out = note, left_out
        self._templates: dict[str, set[int]] = {}
        self._names: set[str] = set()
        self._owned: set[int] = set()

    def mend(self, records: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Return the rows of tables, sound ones byte for byte as they are."""
        rows = {key: values for key in sorted(records)
                if (values := self._read(key, records[key])) is not None}  # fmt: skip
        self._owned = {unsigned(v["Id"]) for v in rows.values() if v["Type"] != RowType.COLUMN}
        result: dict[bytes, bytes] = {}
        for objid, group in groupby(rows.items(), key=lambda item: unsigned(item[1]["ObjidTable"])):
            table = _Table(objid, dict(group))
            before = {key: dict(values) for key, values in table.rows.items()}
            self._mend_table(table)
            for key, values in sorted(table.rows.items()):
                if before.get(key) == values or (self._old and key in records):
                    result[key] = records[key]
                elif not self._old:
                    result[key] = self._write(values)
        return result

    # Rows

    def _read(self, key: bytes, record: bytes) -> Values | None:
        try:
            values, pending = self._plan.decode(record, self._large, self._old)
            for place in pending:
                found = self._plan.instances(place, values[place])
                values[place] = found[0].data if found and not found[0].separated else None
        except ValueError:
            values = []
        row = dict(zip([c.name for c in CATALOG_COLUMNS], values, strict=False))
        if not row or key != _key_of(row):
            self._note(f"a row of the catalog cannot be read: {key.hex()}")
            return None
        return row

    def _write(self, values: Values) -> bytes:
        given = {name: value for name, value in values.items() if value is not None}
        return encode_record(CATALOG_COLUMNS, given, self._large)

    # Tables

    def _mend_table(self, table: _Table) -> None:
        if table.own is None:
            self._find_table(table)
        if table.own is None:
            return
        if table.objid in FIXED_PLACES:
            self._set(table, table.own, "Name", FIXED_PLACES[table.objid][0])
            self._set(table, table.own, "ColtypOrPgnoFDP", FIXED_PLACES[table.objid][1])
        self._rename(table, [table.own], self._names)
        self._check_columns(table)
        self._check_template(table)
        self._check_indexes(table)
        if not table.of(RowType.LONG_VALUE):
            self._find_long_values(table)

    def _set(self, table: _Table, row: Values, column: str, value: Any) -> None:
        old = as_text(row[column]) if isinstance(value, str) else row[column]
        if old != value:
            self._note(f"table {table.name}: the catalog said {old!r}, it is {value!r} now")
            row[column] = value

    def _find_table(self, table: _Table) -> None:
        """Make the row of a table of which only rows about its parts remain."""
        count = len(table.rows)
        there = table.objid in self._inventory.roots or table.objid in self._inventory.leaves
        if not there or not table.of(RowType.COLUMN):
            self._note(f"the catalog has lost table {table.objid}: {count} rows about it remain")
            table.rows.clear()
            return
        root = self._inventory.roots.get(table.objid)
        name = f"Lost{table.objid}"
        row = _new_row(table.objid, RowType.TABLE, table.objid, root.page if root else 0, name)
        row["RootFlag"] = True
        table.rows[_key_of(row)] = row
        self._note(f"the catalog has lost the name of table {table.objid}: it is {name} now")

    def _find_long_values(self, table: _Table) -> None:
        """Make the row of a tree of long values that says itself that the table is its parent."""
        assert table.own is not None
        for objid, root in self._inventory.roots.items():
            mine = root.parent == unsigned(table.own["ColtypOrPgnoFDP"]) and root.parent
            if mine and root.flags & PageFlag.LONG_VALUE and objid not in self._owned:
                row = _new_row(table.objid, RowType.LONG_VALUE, objid, root.page, "LV")
                table.rows[_key_of(row)] = row
                self._note(f"table {table.name}: its long values are tree {objid}, by their root")
                return

    def _rename(self, table: _Table, rows: list[Values], names: set[str]) -> None:
        """Give rows names that no other one of their kind has."""
        for row in rows:
            name = as_text(row["Name"])
            if name.casefold() in names:
                fresh = next(n for i in range(2, 1 << 20)
                             if (n := f"{name[:50]}_{i}").casefold() not in names)  # fmt: skip
                self._note(f"table {table.name}: a second {name} is named {fresh} now")
                row["Name"] = name = fresh
            names.add(name.casefold())

    def _check_columns(self, table: _Table) -> None:
        live = []
        for row in table.of(RowType.COLUMN):
            coltyp = unsigned(row["ColtypOrPgnoFDP"])
            if coltyp and coltyp not in KNOWN_COLTYPS:
                self._give_up(table, row, f"is of type {coltyp}")
            elif coltyp:
                live.append(row)
        self._rename(table, live, set())
        if not self._old:
            self._check_flags(table, live)
            self._check_escrow(table, live)
            self._check_offsets(table)
            self._check_types(table)

    def _give_up(self, table: _Table, column: Values, why: str) -> None:
        """Let a column be a deleted one."""
        name = as_text(column["Name"])
        self._note(f"table {table.name}: column {name} {why}, and given up")
        column["ColtypOrPgnoFDP"] = _DELETED

    def _check_flags(self, table: _Table, columns: list[Values]) -> None:
        """Take flags from columns that these cannot have."""
        for row in columns:
            fid, coltyp, flags, size = (
                unsigned(row[name]) for name in ("Id", "ColtypOrPgnoFDP", "Flags", "SpaceUsage")
            )
            for flag in map(int, _SPECIAL):
                problems = column_problems(place_of(fid), coltyp, flags, size)
                left = column_problems(place_of(fid), coltyp, flags & ~flag, size)
                flags = flags & ~flag if len(left) < len(problems) else flags
            self._set(table, row, "Flags", _signed(flags))

    def _check_escrow(self, table: _Table, columns: list[Values]) -> None:
        """Let no column be escrow that has no default or is in a key: it is a plain number then."""
        keys = {fid for row in table.of(RowType.INDEX) for fid in _columns_of(row)}
        for row in columns:
            escrow = unsigned(row["Flags"]) & ColumnFlag.ESCROW
            if escrow and (row["DefaultValue"] is None or unsigned(row["Id"]) in keys):
                flags = unsigned(row["Flags"]) & ~int(ColumnFlag.ESCROW)
                self._set(table, row, "Flags", _signed(flags))

    def _check_offsets(self, table: _Table) -> None:
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
                    self._place(table, row, end)
                elif before is not None:
                    self._resize(table, before, row["RecordOffset"] - before["RecordOffset"])
            before, end = row, _end_of(row)
        for row in fixed:
            if _end_of(row) and not FIRST_OFFSET <= row["RecordOffset"] < _end_of(row) <= _LAST_END:
                self._give_up(table, row, "cannot be where the catalog says")

    def _place(self, table: _Table, row: Values, offset: int) -> None:
        if offset <= _LAST_END:
            self._set(table, row, "RecordOffset", offset)
        else:
            self._give_up(table, row, "has no place in a record")

    def _resize(self, table: _Table, row: Values, size: int) -> None:
        """Let a fixed column be as large as its place; no other type than it has is made up."""
        if not type_size(unsigned(row["ColtypOrPgnoFDP"])) and 1 <= size <= SHORT_MOST:
            self._set(table, row, "SpaceUsage", size)
        else:
            self._give_up(table, row, f"is of a type that does not fit its {size} bytes")

    def _check_types(self, table: _Table) -> None:
        """Give up columns of a type that none with such an id can have."""
        for row in table.of(RowType.COLUMN):
            fid, coltyp, size = (
                unsigned(row[name]) for name in ("Id", "ColtypOrPgnoFDP", "SpaceUsage")
            )
            for problem in column_problems(place_of(fid), coltyp, 0, size):
                self._give_up(table, row, f"contradicts itself ({problem})")

    def _check_template(self, table: _Table) -> None:
        assert table.own is not None
        flags, name = unsigned(table.own["Flags"]), as_text(table.own["TemplateTable"])
        if flags & TableFlag.TEMPLATE:
            self._templates[table.name] = table.columns
        elif flags & TableFlag.DERIVED and name not in self._templates:
            if len(self._templates) == 1:
                template = next(iter(self._templates))
                self._set(table, table.own, "TemplateTable", template.encode("cp1252", "replace"))
            else:
                self._note(f"table {table.name}: its template table {name!r} is lost")

    def _check_indexes(self, table: _Table) -> None:
        assert table.own is not None
        own, given = table.columns, self._templates.get(as_text(table.own["TemplateTable"]))
        if given is None and not unsigned(table.own["Flags"]) & TableFlag.DERIVED:
            given = own  # no template that could be lost
        self._rename(table, table.of(RowType.INDEX), set())
        for row in table.of(RowType.INDEX):
            flags, name = unsigned(row["Flags"]), as_text(row["Name"])
            root = unsigned(table.own["ColtypOrPgnoFDP"])
            if flags & IndexFlag.PRIMARY and unsigned(row["Id"]) != table.objid:
                self._note(f"table {table.name}: index {name} is not the primary one")
                row["Flags"] -= int(IndexFlag.PRIMARY)
                self._follow_tree(row)
            elif flags & IndexFlag.PRIMARY:
                self._set(table, row, "ColtypOrPgnoFDP", root)
            self._check_use(table, row)
            if not _has_key(row, own, given):
                del table.rows[_key_of(row)]
                self._left_out(f"index {name} of table {table.name}")

    def _check_use(self, table: _Table, row: Values) -> None:
        """Let the density of an index be one, and its flags say whether it is of Unicode text."""
        if self._old:
            return
        if not LEAST_DENSITY <= unsigned(row["SpaceUsage"]) <= MOST_DENSITY:
            self._set(table, row, "SpaceUsage", MOST_DENSITY)
        kinds = table.kinds
        found = [kinds.get(fid) for fid in _columns_of(row, templates=False)]
        if not found or None in found:
            return
        flags = unsigned(row["Flags"]) & ~int(IndexFlag.LOCALIZED_TEXT)
        localized = any(kind is not None and kind.unicode for kind in found)
        flags |= int(IndexFlag.LOCALIZED_TEXT) if localized else 0
        self._set(table, row, "Flags", _signed(flags))

    def _follow_tree(self, row: Values) -> None:
        """Let an index have unique keys only if the root page of its tree says so."""
        root = self._inventory.roots.get(unsigned(row["Id"]))
        if root is not None and root.flags & PageFlag.NON_UNIQUE:
            row["Flags"] &= ~int(IndexFlag.UNIQUE)


class _Table:
    """The rows of one table by key."""

    def __init__(self, objid: int, rows: dict[bytes, Values]) -> None:
        self.objid, self.rows = objid, rows

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


def _end_of(column: Values) -> int:
    """Return where a fixed column ends, 0 if it is deleted or has no place."""
    coltyp, offset = unsigned(column["ColtypOrPgnoFDP"]), column["RecordOffset"]
    if not coltyp or offset is None:
        return 0
    return int(offset) + (type_size(coltyp) or unsigned(column["SpaceUsage"]))


def _signed(number: int) -> int:
    """Return a number of 32 bits as the catalog has it."""
    return number - ((number & 0x80000000) << 1)


def _columns_of(row: Values, *, templates: bool = True) -> list[int]:
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


def _has_key(row: Values, own: set[int], given: set[int] | None) -> bool:
    """True for an index all of whose columns are there.

    given: those of the template; None if it is lost, so that they cannot be told.
    """
    flags = unsigned(row["Flags"])
    try:
        segments = parse_segments(row["KeyFldIDs"] or b"", flags)
        conditions = parse_segments(row["ConditionalColumns"] or b"", flags)
    except ValueError:
        return False
    return bool(segments) and all(_is_there(s, own, given) for s in (*segments, *conditions))


def _is_there(segment: Segment, own: set[int], given: set[int] | None) -> bool:
    if segment.flags & KeySegment.TEMPLATE:
        return given is None or segment.column_id in given
    return segment.column_id in own or segment.column_id in (given or ())


def _new_row(table: int, kind: RowType, number: int, root: int, name: str) -> Values:
    values: Values = {column.name: None for column in CATALOG_COLUMNS}
    values.update(ObjidTable=table, Type=int(kind), Id=number, ColtypOrPgnoFDP=root,
                  SpaceUsage=0, Flags=0, PagesOrLocale=0, Name=name)  # fmt: skip
    return values


def _key_of(row: Values) -> bytes:
    """Return the key that a row must have, empty for a row that can have none."""
    if any(row[name] is None for name in MANDATORY) or not 1 <= row["Type"] <= _LAST_TYPE:
        return b""
    return catalog_key(unsigned(row["ObjidTable"]), row["Type"]) + catalog_key(unsigned(row["Id"]))
