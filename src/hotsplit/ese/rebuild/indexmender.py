"""Indexes of a damaged catalog: flags, densities and places made to fit the table and the trees.

Source: format specification 6.4 to 6.6, 13.1 C 40, 42 and 44.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hotsplit.ese.check.catalogrows import as_text
from hotsplit.ese.check.catalogrules import LEAST_DENSITY, MOST_DENSITY
from hotsplit.ese.check.definitionrules import NULLS, is_locale
from hotsplit.ese.format.catalogschema import (
    CATALOG_ROOT,
    SHADOW_ROOT,
    IndexFlag,
    KeySegment,
    RowType,
    Segment,
    TableFlag,
    parse_segments,
    unsigned,
)
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.rebuild.catalogtable import (
    CatalogTable,
    Note,
    Values,
    columns_of,
    key_of,
    new_row,
    signed,
)
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.objects import NAME_INDEX, ROOT_INDEX

_KNOWN = sum(map(int, IndexFlag))
_PRIMARY, _UNIQUE = int(IndexFlag.PRIMARY), int(IndexFlag.UNIQUE)
_NO_NULLS, _DERIVED = int(IndexFlag.NO_NULL_SEGMENTS), int(IndexFlag.DERIVED)
_LOCALIZED = int(IndexFlag.LOCALIZED_TEXT)
_OF_CATALOGS = {
    (2, 2): ("Id", CATALOG_ROOT, 0x10031, (1, 2, 3)),
    (2, 4): ("Name", NAME_INDEX.root, 0x10011, (1, 2, 128)),
    (2, 5): ("RootObjects", ROOT_INDEX.root, 0x10009, (8, 128)),
    (3, 3): ("Id", SHADOW_ROOT, 0x10031, (1, 2, 3)),
}
"""Name, root page, flags and columns of the indexes of the two catalogs, by table and object."""
_LCMAP, _LOCALE = 0x30401, "en-US".encode("utf-16-le")
_PLAIN = int(IndexFlag.EXTENDED_SEGMENTS) | NULLS


@dataclass
class Template:
    """What a template table gives to others: ids of columns, names of indexes."""

    columns: set[int]
    indexes: set[str]


class IndexMender:
    """The indexes of one table. template: that of the table, None if it has none or it is lost.

    left_out: told of each index that nothing can be made of.
    """

    def __init__(
        self,
        table: CatalogTable,
        template: Template | None,
        inventory: Inventory,
        left_out: Note,
        *,
        old: bool,
    ) -> None:
        assert table.own is not None
        self._table, self._own, self._template = table, table.own, template
        self._inventory, self._left_out, self._old = inventory, left_out, old

    def run(self) -> None:
        """Mend the rows in place."""
        if not self._old:
            self._restore_own()
        table, own = self._table, self._table.columns
        given = self._template.columns if self._template is not None else None
        if given is None and not unsigned(self._own["Flags"]) & TableFlag.DERIVED:
            given = own  # no template that could be lost
        table.rename(table.of(RowType.INDEX), set())
        for row in table.of(RowType.INDEX):
            self._check_tree(row)
            if not self._old:
                self._check_use(row)
                self._check_derived(row)
            if not _has_key(row, own, given):
                del table.rows[key_of(row)]
                self._left_out(f"index {as_text(row['Name'])} of table {table.name}")

    def _restore_own(self) -> None:
        """Let the catalogs have the indexes that they have everywhere."""
        table = self._table
        there = {unsigned(row["Id"]): row for row in table.of(RowType.INDEX)}
        for (objid, number), (name, root, flags, columns) in _OF_CATALOGS.items():
            if objid != table.objid:
                continue
            row = there.get(number)
            if row is None:
                row = new_row(objid, RowType.INDEX, number, root, name)
                row.update(LCMapFlags=_LCMAP, LocaleName=_LOCALE)
                table.rows[key_of(row)] = row
                table.note(f"index {name} is there again")
            key = b"".join(struct.pack("<HH", 0, column) for column in columns)
            for column, value in (
                ("Name", name),
                ("ColtypOrPgnoFDP", root),
                ("Flags", flags),
                ("KeyFldIDs", key),
            ):
                table.put(row, column, value)

    def _put(self, row: Values, flags: int) -> None:
        self._table.put(row, "Flags", signed(flags))

    def _check_tree(self, row: Values) -> None:
        """Let the primary index have the table's tree, and another have the keys of its own."""
        flags = unsigned(row["Flags"])
        if flags & ~_KNOWN and not self._old:
            self._put(row, flags := _PLAIN)  # noise
        if unsigned(row["Id"]) == self._table.objid:
            self._table.put(row, "ColtypOrPgnoFDP", unsigned(self._own["ColtypOrPgnoFDP"]))
            if not self._old:
                self._put(row, flags | _PRIMARY | _UNIQUE)
            return
        if flags & _PRIMARY:
            self._table.note(f"index {as_text(row['Name'])} is not the primary one")
            flags &= ~_PRIMARY
            row["Flags"] = signed(flags)
        root = self._inventory.roots.get(unsigned(row["Id"]))
        if root is not None and root.flags & PageFlag.NON_UNIQUE:
            self._put(row, flags & ~_UNIQUE)

    def _check_use(self, row: Values) -> None:
        """Let the density of an index be one, and its flags say what of nulls and Unicode text."""
        if not LEAST_DENSITY <= unsigned(row["SpaceUsage"]) <= MOST_DENSITY:
            self._table.put(row, "SpaceUsage", MOST_DENSITY)
        if not is_locale(row["LocaleName"] or b""):
            self._table.put(row, "LocaleName", _LOCALE)
        flags = unsigned(row["Flags"])
        if flags & NULLS:
            self._put(row, flags := flags & ~_NO_NULLS)
        kinds = self._table.kinds
        found = [kinds.get(fid) for fid in columns_of(row, templates=False)]
        if not found or None in found:
            return
        localized = any(kind is not None and kind.unicode for kind in found)
        self._put(row, flags & ~_LOCALIZED | (_LOCALIZED if localized else 0))

    def _check_derived(self, row: Values) -> None:
        """Let an index that comes from the template have the name of one that is there."""
        name, flags = as_text(row["Name"]), unsigned(row["Flags"])
        if not flags & _DERIVED or unsigned(row["Flags"]) & _PRIMARY:
            return
        if self._template is None and unsigned(self._own["Flags"]) & TableFlag.DERIVED:
            return  # it is lost
        there = self._template.indexes if self._template is not None else set()
        if name in there:
            return
        names = {as_text(one["Name"]) for one in self._table.of(RowType.INDEX)}
        missing = there - names
        if len(missing) == 1:
            self._table.put(row, "Name", missing.pop())
        else:
            self._put(row, flags & ~_DERIVED)


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
