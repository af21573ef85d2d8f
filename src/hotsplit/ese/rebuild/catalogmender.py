"""Rows of a damaged catalog that contradict themselves or each other, made to fit.

What can be told from the other rows or from the trees is put right: a table whose own row is
lost, the tree of its long values, names used twice, flags and fixed places. A row that nothing can
be made of is left out. Each change is noted in words.

Source: format specification 5.1 (root pages), 6.2 to 6.8, 13.1 C 37 to 45.
"""

from __future__ import annotations

from collections.abc import Set
from itertools import groupby

from hotsplit.ese.check.catalogrows import as_text
from hotsplit.ese.check.catalogrules import FIXED_PLACES, LEAST_DENSITY, MOST_DENSITY, PAGES_MOST
from hotsplit.ese.check.definitionrules import place_of
from hotsplit.ese.check.ownlists import OBJECT_LIST
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    RowType,
    TableFlag,
    unsigned,
)
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.format.record import RecordPlan, encode_record
from hotsplit.ese.rebuild.catalogtable import (
    CatalogTable,
    Note,
    Values,
    key_of,
    new_row,
)
from hotsplit.ese.rebuild.columnmender import known_columns, mend_columns
from hotsplit.ese.rebuild.indexmender import IndexMender, Template
from hotsplit.ese.rebuild.inventory import Inventory


class CatalogMender:
    """Mends the rows of one catalog, by key. note: told of each change; left_out: of each index.

    readable: of how many rows it could be told what they are.

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
        self._templates: dict[str, Template] = {}
        self._names: set[str] = set()
        self._owned: set[int] = set()
        self.readable = 0

    def mend(
        self, records: dict[bytes, bytes], broken: Set[bytes] = frozenset()
    ) -> dict[bytes, bytes]:
        """Return the rows of tables, sound ones byte for byte as they are.

        broken: keys of those that are written anew from what they say.
        """
        rows = {key: values for key in sorted(records)
                if (values := self._read(key, records[key])) is not None}  # fmt: skip
        self._owned = {unsigned(v["Id"]) for v in rows.values() if v["Type"] != RowType.COLUMN}
        self.readable = len(rows)
        result: dict[bytes, bytes] = {}
        for objid, group in groupby(rows.items(), key=lambda item: unsigned(item[1]["ObjidTable"])):
            table = CatalogTable(objid, dict(group), self._note)
            before = {key: dict(values) for key, values in table.rows.items()}
            self._mend_table(table)
            for key, values in sorted(table.rows.items()):
                same = before.get(key) == values and key not in broken
                if same or (self._old and key in records):
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
        if not row or key != key_of(row):
            self._note(f"a row of the catalog cannot be read: {key.hex()}")
            return None
        return row

    def _write(self, values: Values) -> bytes:
        given = {name: value for name, value in values.items() if value is not None}
        return encode_record(CATALOG_COLUMNS, given, self._large)

    # Tables

    def _mend_table(self, table: CatalogTable) -> None:
        if table.own is None:
            self._find_table(table)
        if table.own is None:
            return
        if table.objid in FIXED_PLACES:
            table.put(table.own, "Name", FIXED_PLACES[table.objid][0])
            table.put(table.own, "ColtypOrPgnoFDP", FIXED_PLACES[table.objid][1])
        table.rename([table.own], self._names)
        if not self._old:
            self._check_size(table, table.own)
        self._add_known_columns(table)
        mend_columns(table, old=self._old)
        self._check_template(table)
        self._check_indexes(table)
        if not table.of(RowType.LONG_VALUE):
            self._find_long_values(table)

    @staticmethod
    def _check_size(table: CatalogTable, own: Values) -> None:
        """Let a table be of a size at first with which it can be opened."""
        if not LEAST_DENSITY <= unsigned(own["SpaceUsage"]) <= MOST_DENSITY:
            table.put(own, "SpaceUsage", MOST_DENSITY)
        if (own["PagesOrLocale"] or 0) > PAGES_MOST:
            table.put(own, "PagesOrLocale", 1)

    def _find_table(self, table: CatalogTable) -> None:
        """Make the row of a table of which only rows about its parts remain."""
        count = len(table.rows)
        there = table.objid in self._inventory.roots or table.objid in self._inventory.leaves
        if not there or not table.of(RowType.COLUMN):
            self._note(f"the catalog has lost table {table.objid}: {count} rows about it remain")
            table.rows.clear()
            return
        root = self._inventory.roots.get(table.objid)
        name = f"Lost{table.objid}"
        row = new_row(table.objid, RowType.TABLE, table.objid, root.page if root else 0, name)
        row["RootFlag"] = True
        table.rows[key_of(row)] = row
        self._note(f"the catalog has lost the name of table {table.objid}: it is {name} now")

    def _find_long_values(self, table: CatalogTable) -> None:
        """Make the row of a tree of long values that says itself that the table is its parent."""
        assert table.own is not None
        for objid, root in self._inventory.roots.items():
            mine = root.parent == unsigned(table.own["ColtypOrPgnoFDP"]) and root.parent
            if mine and root.flags & PageFlag.LONG_VALUE and objid not in self._owned:
                row = new_row(table.objid, RowType.LONG_VALUE, objid, root.page, "LV")
                table.rows[key_of(row)] = row
                table.note(f"its long values are tree {objid}, by their root")
                return

    def _add_known_columns(self, table: CatalogTable) -> None:
        """Make the rows of those columns that the engine's own tables have everywhere."""
        known, there = known_columns(table), {unsigned(r["Id"]) for r in table.of(RowType.COLUMN)}
        for fid in known.keys() - there if not self._old else ():
            if table.name != OBJECT_LIST and not any(
                place_of(fid) == place_of(one) and one > fid for one in there
            ):
                continue  # an older catalog may have fewer of them
            row = new_row(table.objid, RowType.COLUMN, fid, 0, "")
            row.update({"SpaceUsage": 0}, **known[fid])
            table.rows[key_of(row)] = row
            table.note(f"column {row['Name']} is there again")

    def _check_indexes(self, table: CatalogTable) -> None:
        assert table.own is not None
        template = self._templates.get(as_text(table.own["TemplateTable"]))
        IndexMender(table, template, self._inventory, self._left_out, old=self._old).run()

    def _check_template(self, table: CatalogTable) -> None:
        assert table.own is not None
        flags, name = unsigned(table.own["Flags"]), as_text(table.own["TemplateTable"])
        if flags & TableFlag.TEMPLATE:
            names = {as_text(row["Name"]) for row in table.of(RowType.INDEX)}
            self._templates[table.name] = Template(table.columns, names)
        elif flags & TableFlag.DERIVED and name not in self._templates:
            if len(self._templates) == 1:
                template = next(iter(self._templates))
                table.put(table.own, "TemplateTable", template.encode("cp1252", "replace"))
            else:
                table.note(f"its template table {name!r} is lost")
