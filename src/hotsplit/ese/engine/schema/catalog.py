"""The catalog as it is written: rows of objects in MSysObjects, its shadow and MSysObjids.

Every object has the same rows in both catalogs; the first has two indexes, by name and by root.

Source: format specification 5.5 (fixed pages), 6.2 to 6.4, 6.9, 6.10.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.engine.tables.rows import LongReader, RowFormat
from hotsplit.ese.engine.trees.space import make_large_tree, make_tree
from hotsplit.ese.engine.trees.tree import Tree
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    CATALOG_COLUMNS,
    CATALOG_NAME,
    CATALOG_ROOT,
    SHADOW_ROOT,
    IndexDef,
    IndexFlag,
    RowType,
    Segment,
    TableFlag,
    catalog_key,
    unsigned,
)
from hotsplit.ese.format.columns import FIRST_TAGGED, FIRST_VARIABLE, Coltyp, ColumnDef, ColumnFlag
from hotsplit.ese.format.keys import segment
from hotsplit.ese.format.page import PageFlag
from hotsplit.ese.format.record import encode_record
from hotsplit.ese.read.catalog import TableEntry

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session

_OBJECTS, _SHADOW, _NAME_INDEX, _ROOT_INDEX, _OBJIDS, _LOCALES = 2, 3, 4, 5, 6, 7
_NAME_ROOT, _ROOT_ROOT, _OBJIDS_ROOT, _LOCALES_ROOT = 7, 10, 29, 30
_OBJIDS_NAME, _LOCALES_NAME = "MSysObjids", "MSysLocales"
_OBJECTS_PAGES, _INDEX_PAGES, _SHADOW_PAGES = 20, 3, 5
LCMAP_FLAGS = 0x30401
LOCALE = "en-US"
"""How keys of Unicode text are made: case, kana and width do not matter."""

_KEYS = IndexDef("", 0, 0, 0, ())
_DENSITY = 80
_OBJIDS_DENSITY, _LOCALES_DENSITY = 100, 92
_COLUMNS = {column.name: column for column in CATALOG_COLUMNS}
_NOT_NULL = 7  # fixed columns 1 to 7, and Name
_TEXT_1252 = 1252
_OBJID_COLUMNS = tuple(
    ColumnDef(name, 256 + i, coltyp, size)
    for i, (name, coltyp, size) in enumerate(
        (("objid", Coltyp.LONG, 4), ("objidTable", Coltyp.LONG, 4), ("type", Coltyp.SHORT, 2))
    )
)
_LOCALE_COLUMNS = (
    ColumnDef("Type", 1, Coltyp.UNSIGNED_BYTE, 1, ColumnFlag.NOT_NULL, offset=4),
    ColumnDef(
        "iValue", 2, Coltyp.LONG, 4, ColumnFlag.ESCROW | ColumnFlag.DEFAULT, offset=5,
        default_data=bytes(4),
    ),
    ColumnDef("Key", 128, Coltyp.BINARY, 255),
)  # fmt: skip
_OBJECT, _CONSISTENT = 1, 2
_FIRST_LOCALE_ROWS = (
    *((_OBJECT, int(part == "Major"), f".Schema\\{side}\\{part}")
      for side in ("Internal", "External") for part in ("Major", "Minor", "Update")),
    (_CONSISTENT, 1, "MSysLocalesConsistent"),
)  # fmt: skip

SORT_VERSION = bytes.fromhex("0f0206000f020600")
SORT_ID = bytes.fromhex("01000000ee575c1e00b4d0000bb1e11e")
"""The sort that Unicode keys are made by: that of Windows 8 to 10 for en-US."""

_LOCALE_KEY = "LocaleName=en-US,SortID=00000001-57ee-1e5c-00b4-d0000bb1e11e,Ver=6020f0006020f"

_TREE_KINDS = [
    (kind ^ 0x8000).to_bytes(2, "big")
    for kind in (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE)
]

Row = dict[str, Any]


class CatalogWriter:
    """The system tables of one database."""

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self._large = is_large(database.context.settings.page_size)
        self.objects = database.tree(CATALOG_ROOT, _OBJECTS)
        self.shadow = database.tree(SHADOW_ROOT, _SHADOW)
        self._names = database.tree(_NAME_ROOT, _NAME_INDEX, PageFlag.INDEX)
        self._roots = database.tree(_ROOT_ROOT, _ROOT_INDEX, PageFlag.INDEX)
        self._format = RowFormat(CATALOG_COLUMNS, database.context.settings.page_size)

    def _system_tree(self, name: str) -> Tree | None:
        """Return the tree of a system table, wherever it lies; None for a database without it."""
        state = self._database.find_table(name)
        return None if state is None else state.tree

    # Rows

    def add(self, session: Session, row: Row) -> None:
        """Enter a row in both catalogs."""
        key, record = self._key(row), self._record(row)
        session.begin()
        self.objects.insert(session, key, record)
        if row.get("RootFlag"):
            self._roots.insert(session, _root_key(row), key)
        self._names.insert(session, _name_key(row), key)
        session.commit()
        session.begin()
        self.shadow.insert(session, key, record)
        session.commit()

    def delete(self, session: Session, row: Row) -> None:
        """Take a row out of both catalogs."""
        key = self._key(row)
        self._names.delete(session, _name_key(row))
        if row.get("RootFlag"):
            self._roots.delete(session, _root_key(row))
        self.objects.delete(session, key)
        self.shadow.delete(session, key)

    def find(self, name: str) -> TableEntry | None:
        """Return a table by its name, None if there is none: whoever made it or is deleting it."""
        try:
            found = self._roots.find(_root_key({"Name": name}))
        except UnicodeEncodeError:
            return None
        if not found.exact or (entry := self._roots.node(found)).is_deleted:
            return None
        place = self.objects.find(entry.data)
        if not place.exact:
            raise DataDamaged(f"The catalog lacks table {name}", jet=Jet.errCatalogCorrupted)
        row = self._decode(self.objects.node(place).data)
        root, flags = unsigned(row["ColtypOrPgnoFDP"]), unsigned(row["Flags"])
        return TableEntry(row["Name"], row["Id"], root, flags)

    def table_names(self, session: Session) -> list[str]:
        """Return the names of the tables that the session sees, but for the engine's own."""
        rows = []
        for _, key in self._roots.entries(session):
            record = self.objects.get(session, key)
            if record is None:
                raise DataDamaged("The catalog lacks a table", jet=Jet.errCatalogCorrupted)
            rows.append((key, self._decode(record)))
        hidden = TableFlag.SYSTEM | TableFlag.DYNAMIC_SYSTEM
        return [row["Name"] for _, row in sorted(rows) if not unsigned(row["Flags"]) & hidden]

    def rows_of(self, session: Session, objid: int, kind: RowType | None = None) -> list[Row]:
        """Return the rows of a table as the session sees them, all or those of one type."""
        prefix = catalog_key(objid, kind or 0)
        entries = self.objects.entries(session, prefix)
        rows = itertools.takewhile(lambda entry: entry[0].startswith(prefix), entries)
        return [self._decode(record) for _, record in rows]

    def row_of(self, session: Session, objid: int, kind: RowType, number: int) -> Row:
        """Return the row of one object of a table. Raises DataDamaged (-1220) if there is none."""
        for row in self.rows_of(session, objid, kind):
            if row["Id"] == number:
                return row
        raise DataDamaged(f"The catalog lacks object {number}", jet=Jet.errCatalogCorrupted)

    def _decode(self, record: bytes) -> Row:
        pieces = self._format.split(record)
        return {
            column.name: self._format.value(column, pieces.stored(column), LongReader())
            for column in self._format.columns
        }

    def roots(self, session: Session, objids: Collection[int]) -> dict[int, int]:
        """Return the root pages of trees by object id: of those of `objids` that there are."""
        found: dict[int, int] = {}
        for key, record in self.objects.entries(session):
            kind, number = key[6:8], int.from_bytes(key[9:13], "big") ^ 1 << 31
            if kind in _TREE_KINDS and number in objids:
                found[number] = self._decode(record)["ColtypOrPgnoFDP"]
        return found

    def deleted_columns(self, session: Session, objid: int) -> list[ColumnDef]:
        """Return the columns of a table that were deleted: their ids and places stay in use."""
        return [
            ColumnDef(row["Name"], row["Id"], Coltyp.BINARY, row["SpaceUsage"] or 0,
                      offset=row["RecordOffset"] or 0)
            for row in self.rows_of(session, objid, RowType.COLUMN)
            if not row["ColtypOrPgnoFDP"]
        ]  # fmt: skip

    def change(self, session: Session, row: Row, values: Row) -> None:
        """Change columns of a row in both catalogs."""
        key = self._key(row)
        for tree in (self.objects, self.shadow):
            record = tree.get(session, key)
            if record is None:
                raise DataDamaged(f"The catalog lacks {row['Name']}", jet=Jet.errCatalogCorrupted)
            pieces = self._format.split(record)
            for name, value in values.items():
                pieces.set(_COLUMNS[name], value)
            tree.replace(session, key, self._format.join(pieces))
        after = row | values
        if _name_key(after) != _name_key(row):
            self._names.delete(session, _name_key(row))
            self._names.insert(session, _name_key(after), key)
            if row.get("RootFlag"):
                self._roots.delete(session, _root_key(row))
                self._roots.insert(session, _root_key(after), key)

    def _record(self, row: Row) -> bytes:
        return encode_record(CATALOG_COLUMNS, row, self._large)

    @staticmethod
    def _key(row: Row) -> bytes:
        return catalog_key(row["ObjidTable"], row["Type"]) + catalog_key(row["Id"])

    def add_objid(self, session: Session, objid: int, table: int, row_type: int) -> None:
        """Enter a tree in MSysObjids, where there is that table."""
        tree = self._system_tree(_OBJIDS_NAME)
        if tree is None:
            return
        row = {"objid": objid, "objidTable": table, "type": row_type}
        session.begin()
        tree.insert(session, catalog_key(objid), encode_record(_OBJID_COLUMNS, row, self._large))
        session.commit()

    def delete_objid(self, session: Session, objid: int) -> None:
        """Take a tree out of MSysObjids."""
        tree = self._system_tree(_OBJIDS_NAME)
        if tree is not None and tree.get(session, catalog_key(objid)) is not None:
            tree.delete(session, catalog_key(objid))

    # A new database

    def create(self, session: Session, pages: int) -> None:
        """Make the root of a new database and the two catalogs, with the rows of themselves."""
        database = self._database
        session.begin()
        session.prepare()
        make_large_tree(session, database.root, 1, pages, 0)
        session.commit(lazy=True)
        session.begin()
        space = database.root.space
        _expect(space.allocate_extent(session, _OBJECTS_PAGES), CATALOG_ROOT)
        make_large_tree(session, self.objects, CATALOG_ROOT, _OBJECTS_PAGES, 1)
        _expect(space.allocate_extent(session, _SHADOW_PAGES), SHADOW_ROOT)
        make_large_tree(session, self.shadow, SHADOW_ROOT, _SHADOW_PAGES, 1)
        for tree in (self._names, self._roots):
            root = self.objects.space.allocate_extent(session, _INDEX_PAGES)
            _expect(root, tree.root)
            make_large_tree(session, tree, root, _INDEX_PAGES, CATALOG_ROOT)
        database.objid_last = _ROOT_INDEX
        for objid, root, name in (
            (_OBJECTS, CATALOG_ROOT, CATALOG_NAME),
            (_SHADOW, SHADOW_ROOT, "MSysObjectsShadow"),
        ):
            flags = TableFlag.SYSTEM | TableFlag.FIXED_DDL
            count = _OBJECTS_PAGES if objid == _OBJECTS else _SHADOW_PAGES
            self.add(session, table_row(name, objid, root, count, flags))
            for column in CATALOG_COLUMNS:
                self.add(session, _own_column_row(objid, column))
        for row in _own_index_rows():
            self.add(session, row)
        session.commit(lazy=True)

    def create_others(self, session: Session) -> None:
        """Make MSysObjids and MSysLocales, after the database itself is complete."""
        database = self._database
        objids = database.tree(_OBJIDS_ROOT, _OBJIDS)
        locales = database.tree(_LOCALES_ROOT, _LOCALES)
        session.begin()
        self._make_table(session, _OBJIDS_NAME, objids, _OBJIDS_DENSITY, 0xC8000000)
        for column in _OBJID_COLUMNS:
            self.add(session, column_row(_OBJIDS, column))
        self.add(session, _primary_row("primary", objids, 0x1002F, 256, _OBJIDS_DENSITY))
        session.commit(lazy=True)
        session.begin()
        for objid, table, row_type in (
            (_OBJECTS, _OBJECTS, RowType.TABLE), (_NAME_INDEX, _OBJECTS, RowType.INDEX),
            (_ROOT_INDEX, _OBJECTS, RowType.INDEX), (_SHADOW, _SHADOW, RowType.TABLE),
            (_OBJIDS, _OBJIDS, RowType.TABLE),
        ):  # fmt: skip
            self.add_objid(session, objid, table, row_type)
        session.commit(lazy=True)
        session.begin()
        self._make_table(session, _LOCALES_NAME, locales, _LOCALES_DENSITY, 0x88000000)
        self.add_objid(session, _LOCALES, _LOCALES, RowType.TABLE)
        for column in _LOCALE_COLUMNS:
            self.add(session, column_row(_LOCALES, column))
        self.add(session, _primary_row("KeyPrimary", locales, 0x1402F, 128, _LOCALES_DENSITY))
        for kind, value, name in _FIRST_LOCALE_ROWS:
            self._add_locale(session, locales, kind, value, name)
        session.commit(lazy=True)
        database.objid_last = _LOCALES

    def _make_table(
        self, session: Session, name: str, tree: Tree, density: int, flags: int
    ) -> None:
        root = self._database.root.space.allocate(session)
        _expect(root, tree.root)
        make_tree(session, self._database.root, root, tree.objid, 0, 1, unique=True)
        row = table_row(name, tree.objid, root, 0, flags, density)
        self.add(session, row)

    def count_locale(self, session: Session, change: int) -> None:
        """Count an index over Unicode text."""
        key, tree = _locale_key(_LOCALE_KEY), self._system_tree(_LOCALES_NAME)
        if tree is None:
            return
        if tree.get(session, key) is None:
            self._add_locale(session, tree, _CONSISTENT, 0, _LOCALE_KEY)
        tree.add(session, key, change, _LOCALE_COLUMNS[1].offset)

    def _add_locale(self, session: Session, tree: Tree, kind: int, value: int, name: str) -> None:
        content = (name + "\0").encode("utf-16-le")
        row: Row = {"Type": kind, "iValue": value, "Key": content}
        key = _locale_key(name)
        session.begin()
        record = encode_record(_LOCALE_COLUMNS, row, self._large)
        tree.insert(session, key, record)
        session.commit()


def _locale_key(name: str) -> bytes:
    return segment(_LOCALE_COLUMNS[2], (name + "\0").encode("utf-16-le"), _KEYS, _KEYS.key_most)


def _expect(found: int, wanted: int) -> None:
    assert found == wanted, f"page {found} where {wanted} belongs"


def _name_key(row: Row) -> bytes:
    head = catalog_key(row["ObjidTable"], row["Type"])
    return head + _name_segment(row, len(head))


def _root_key(row: Mapping[str, Any]) -> bytes:
    return b"\x7f\xff" + _name_segment(row, 2)


def _name_segment(row: Mapping[str, Any], used: int) -> bytes:
    name = row["Name"].encode("cp1252")
    return segment(_COLUMNS["Name"], name, _KEYS, _KEYS.key_most - used)


def table_row(
    name: str, objid: int, root: int, pages: int, flags: int, density: int = _DENSITY,
    template: str = "",
) -> Row:  # fmt: skip
    """Return the row of a table. template: name of the table that it is derived from."""
    row: Row = {
        "ObjidTable": objid, "Type": RowType.TABLE, "Id": objid, "ColtypOrPgnoFDP": root,
        "SpaceUsage": density, "Flags": _signed(flags), "PagesOrLocale": pages,
        "RootFlag": True, "Name": name,
    }  # fmt: skip
    return row | {"TemplateTable": template} if template else row


def column_row(objid: int, column: ColumnDef) -> Row:
    """Return the row of a column."""
    row: Row = {
        "ObjidTable": objid, "Type": RowType.COLUMN, "Id": column.id,
        "ColtypOrPgnoFDP": column.coltyp, "SpaceUsage": column.size, "Flags": column.flags,
        "PagesOrLocale": column.code_page, "Name": column.name,
    }  # fmt: skip
    if column.is_fixed:
        row |= {"RootFlag": None, "RecordOffset": column.offset}
    if column.default_data is not None:
        row["DefaultValue"] = column.default_data
    return row


def index_row(
    objid: int, name: str, tree: int, root: int, flags: int, segments: bytes, density: int
) -> Row:
    """Return the row of an index."""
    return {
        "ObjidTable": objid, "Type": RowType.INDEX, "Id": tree, "ColtypOrPgnoFDP": root,
        "SpaceUsage": density, "Flags": flags, "PagesOrLocale": 0, "RootFlag": None,
        "RecordOffset": None, "LCMapFlags": LCMAP_FLAGS, "Name": name,
        "KeyFldIDs": segments, "LocaleName": LOCALE.encode("utf-16-le"),
    }  # fmt: skip


def row_of_index(objid: int, index: IndexDef) -> Row:
    """Return the row of an index of the table `objid`."""
    row = index_row(
        objid, index.name, index.objid, index.root, index.flags, _segments(index.key), index.density
    )
    row["LCMapFlags"] = index.lcmap_flags
    if index.conditions:
        row["ConditionalColumns"] = _segments(index.conditions)
    if index.tuple_limits:
        row["TupleLimits"] = index.tuple_limits
    if index.key_most != _KEYS.key_most:
        row["KeyMost"] = index.key_most
    if index.var_segment_most is not None:
        row["VarSegMac"] = index.var_segment_most.to_bytes(2, "little")
    if index.flags & IndexFlag.LOCALIZED_TEXT:
        row |= {"Version": SORT_VERSION, "SortID": SORT_ID}
    return row


def _segments(parts: tuple[Segment, ...]) -> bytes:
    return b"".join(struct.pack("<BBH", part.flags, 0, part.column_id) for part in parts)


def long_value_row(objid: int, tree: int, root: int) -> Row:
    """Return the row of a tree of long values."""
    return {
        "ObjidTable": objid, "Type": RowType.LONG_VALUE, "Id": tree, "ColtypOrPgnoFDP": root,
        "SpaceUsage": 100, "Flags": 0, "PagesOrLocale": 1, "Name": "LV",
    }  # fmt: skip


def segment_bytes(*fids: int) -> bytes:
    """Return a list of ascending key segments."""
    return b"".join(struct.pack("<BBH", 0, 0, fid) for fid in fids)


def _own_column_row(objid: int, column: ColumnDef) -> Row:
    """The catalog's own columns: all fixed ones say offset 4, none has its code page."""
    not_null = column.id <= _NOT_NULL or column.id == FIRST_VARIABLE
    row = column_row(objid, column)
    row["Flags"] = int(ColumnFlag.NOT_NULL) if not_null else 0
    row["PagesOrLocale"] = _TEXT_1252
    row["SpaceUsage"] = 0 if column.id >= FIRST_TAGGED else column.size
    if column.is_fixed:
        row["RecordOffset"] = 4
    return row


def _own_index_rows() -> list[Row]:
    by_id = segment_bytes(1, 2, 3)
    extended = IndexFlag.EXTENDED_SEGMENTS
    primary = extended | IndexFlag.PRIMARY | IndexFlag.NO_NULL_SEGMENTS | IndexFlag.UNIQUE
    by_name = extended | IndexFlag.NO_NULL_SEGMENTS | IndexFlag.UNIQUE
    by_root = extended | IndexFlag.ALLOW_SOME_NULLS | IndexFlag.UNIQUE
    return [
        index_row(_OBJECTS, "Id", _OBJECTS, CATALOG_ROOT, primary, by_id, _DENSITY),
        index_row(
            _OBJECTS, "Name", _NAME_INDEX, _NAME_ROOT, by_name, segment_bytes(1, 2, 128), _DENSITY
        ),
        index_row(
            _OBJECTS, "RootObjects", _ROOT_INDEX, _ROOT_ROOT, by_root, segment_bytes(8, 128),
            _DENSITY,
        ),
        index_row(_SHADOW, "Id", _SHADOW, SHADOW_ROOT, primary, by_id, _DENSITY),
    ]  # fmt: skip


def _primary_row(name: str, tree: Tree, flags: int, fid: int, density: int) -> Row:
    return index_row(tree.objid, name, tree.objid, tree.root, flags, segment_bytes(fid), density)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value
