"""Checking what the catalog says of tables, columns and indexes, without looking at these.

Source: format specification 6.2 to 6.8 and 13.1 C 37 to 45.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from hotsplit.ese.check.catalogrows import CatalogRow, IdSet, TableRows, as_text, picker
from hotsplit.ese.check.columnblock import ColumnBlock
from hotsplit.ese.check.definitionrules import (
    AUTOINCREMENT,
    DEFAULT,
    SHORT_MOST,
    TAGGED,
    USER_DEFAULT,
    Kind,
    column_problems,
    default_problem,
    is_locale,
    key_problems,
    kinds_of,
    lacks_callback,
    place_of,
)
from hotsplit.ese.check.findings import Findings
from hotsplit.ese.format.catalogschema import (
    CATALOG_ROOT,
    SHADOW_ROOT,
    IndexFlag,
    KeySegment,
    RowType,
    Segment,
    TableFlag,
    key_most,
    parse_segments,
    tuple_limits,
    unsigned,
)
from hotsplit.ese.format.columns import FIRST_VARIABLE, LAST_ID, type_size

MANDATORY = ("ObjidTable", "Type", "Id", "ColtypOrPgnoFDP", "Flags", "Name")
_ID_AND_TYPE = ("Id", "ColtypOrPgnoFDP")
_OBJECT_TYPES = (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE)
_SLV_TYPES = (6, 7)  # of Exchange 2000 and 2003, the database's own rows
_KNOWN_TYPES = (*RowType, *_SLV_TYPES)
_SEGMENTS_MOST = 16
FIRST_OFFSET = 4
"""Where the first fixed column of a table begins in its records."""
LEAST_DENSITY, MOST_DENSITY = 20, 100
"""How full pages are made, in percent."""
PAGES_MOST = 0x7FEFFFFF
"""The highest page number: how many pages a table can have at first."""
_NEGATIVE = 1 << 31
FIXED_PLACES = {2: ("MSysObjects", CATALOG_ROOT), 3: ("MSysObjectsShadow", SHADOW_ROOT)}
_OF_CATALOG = tuple(FIXED_PLACES)
_mandatory_values = picker(*MANDATORY)
_column_values = picker("Id", "ColtypOrPgnoFDP", "Flags", "SpaceUsage")
_PRIMARY = int(IndexFlag.PRIMARY)
_ODD = AUTOINCREMENT | USER_DEFAULT | DEFAULT
_DERIVED = int(IndexFlag.DERIVED)


class CatalogRules:
    """Holds the tables of the catalog against the rules, one after the other.

    templates: ids of the columns that each template table has, by name.
    """

    def __init__(self, findings: Findings, page_size: int) -> None:
        self._findings = findings
        self._key_most = key_most(page_size)
        self._objids = IdSet()
        self._roots = IdSet()
        self._tables = IdSet()
        self._names: set[str] = set()
        self._expected = dict(FIXED_PLACES)
        self.templates: dict[str, set[int]] = {}
        self._template_indexes: dict[str, set[str]] = {}

    def check(self, group: TableRows) -> bool:
        """Check the rows of one table; False if they do not make a table that can be looked at.

        Its blocks must be unremarkable (`is_plain`).
        """
        sound = [self._check_row(row) for row in group.rows]
        first = group.rows[0]
        if first.type != RowType.TABLE:
            self._breach("C38", first, "these rows belong to no table")
            return False
        for row in group.of_type(RowType.TABLE)[1:]:
            self._breach("C38", row, "a second row for the table")
        self._check_size(first)
        self._check_places(group)
        first_of_its_id = self._check_unique(group)
        known = self._check_template(group)
        self._check_columns(group)
        pairs = zip(*(group.numbers(RowType.COLUMN, name) for name in _ID_AND_TYPE), strict=True)
        own = {fid for fid, coltyp in pairs if coltyp}
        own.update(*(block.ids for block in group.blocks))
        given = self.templates.get(as_text(first["TemplateTable"]), set())
        kinds = kinds_of(group)
        for row in group.of_type(RowType.INDEX) if known else ():
            self._check_index(row, own, given, kinds)
        self._check_one_of_a_kind(group)
        return all(sound) and known and first_of_its_id

    def finish(self) -> None:
        """After the last table: report system objects that the catalog does not have."""
        for name, _ in self._expected.values():
            self._findings.add("C45", f"catalog: there is no table {name}")

    def _breach(self, rule: str, row: CatalogRow, message: str) -> None:
        what = f"catalog row ({row['ObjidTable']}, {row['Type']}, {row['Id']}) {row.text!r}"
        self._findings.add(rule, f"{what}: {message}", row.page, row.node)

    def _check_row(self, row: CatalogRow) -> bool:
        if row.damaged:
            self._breach("C37", row, f"cannot be decoded: {', '.join(row.damaged)}")
        elif None in _mandatory_values(row.values):
            missing = [name for name in MANDATORY if row[name] is None]
            self._breach("C37", row, f"is null: {', '.join(missing)}")
        elif row.type not in _KNOWN_TYPES:
            self._breach("C37", row, "of an unknown type")
        else:
            return True
        return False

    # Objects

    def _check_size(self, table: CatalogRow) -> None:
        """The engine opens no table whose pages could not be as full, or that many, as it says."""
        density, pages = table.number("SpaceUsage"), table.number("PagesOrLocale")
        if not LEAST_DENSITY <= density <= MOST_DENSITY:
            self._breach("C38", table, f"pages of {density} % density")
        if PAGES_MOST < pages < _NEGATIVE:
            self._breach("C38", table, f"{pages} pages to begin with")

    def _check_places(self, group: TableRows) -> None:
        table = group.rows[0]
        if table.number("Id") != group.objid:
            self._breach("C40", table, f"the table has object id {group.objid}")
        fixed = self._expected.pop(group.objid, None)
        if fixed is not None and (table.text, table.number("ColtypOrPgnoFDP")) != fixed:
            self._breach("C45", table, f"must be table {fixed[0]} with root page {fixed[1]}")
        root = table.number("ColtypOrPgnoFDP")
        for row in (*group.of_type(RowType.INDEX), *group.of_type(RowType.LONG_VALUE)):
            primary = row.type == RowType.INDEX and row.number("Flags") & _PRIMARY
            same = row.number("Id") == group.objid, row.number("ColtypOrPgnoFDP") == root
            if primary and not all(same):
                self._breach("C40", row, "must have the table's object id and root page")
            elif not primary and any(same):
                self._breach("C40", row, "has the table's own object id or root page")

    def _check_unique(self, group: TableRows) -> bool:
        """Check ids and names; False if there was a table with this object id before."""
        fresh = group.objid not in self._tables
        self._tables.add(group.objid)
        for row in chain.from_iterable(map(group.of_type, _OBJECT_TYPES)):
            if row.type == RowType.INDEX and row.number("Flags") & _PRIMARY:
                continue
            self._take(self._objids, row, "Id", "object id")
            self._take(self._roots, row, "ColtypOrPgnoFDP", "root page")
        folded = group.rows[0].text.casefold()
        if folded in self._names:
            self._breach("C39", group.rows[0], "another table has this name")
        self._names.add(folded)
        for row_type in (RowType.COLUMN, RowType.INDEX):
            names: set[str] = set()
            for row in group.of_type(row_type):
                name = row.text.casefold()
                deleted = row_type == RowType.COLUMN and not row.number("ColtypOrPgnoFDP")
                if name in names and not deleted:
                    self._breach("C39", row, "the table has another one of this name")
                names.add(name)
        return fresh

    def _take(self, seen: IdSet, row: CatalogRow, column: str, what: str) -> None:
        number = row.number(column)
        if number in seen:
            self._breach("C39", row, f"{what} {number} is used twice")
        else:
            seen.add(number)

    def _check_one_of_a_kind(self, group: TableRows) -> None:
        primary = [row for row in group.of_type(RowType.INDEX) if row.number("Flags") & _PRIMARY]
        long_values = group.of_type(RowType.LONG_VALUE)
        callbacks = group.of_type(RowType.CALLBACK)
        for what, rows in (
            ("primary index", primary),
            ("long-value tree", long_values),
            ("callback", callbacks),
        ):
            for row in rows[1:]:
                self._breach("C43", row, f"a second {what}")

    def _check_template(self, group: TableRows) -> bool:
        table = group.rows[0]
        flags = table.number("Flags")
        name = as_text(table["TemplateTable"])
        if flags & TableFlag.TEMPLATE:
            self.templates[table.text] = set()
            names = {row.text.casefold() for row in group.of_type(RowType.INDEX)}
            self._template_indexes[table.text] = names
        elif flags & TableFlag.DERIVED and name not in self.templates:
            self._breach("C44", table, f"there is no template table {name!r}")
            return False
        there = self._template_indexes.get(name, set())
        for row in group.of_type(RowType.INDEX):
            given = row.number("Flags") & _DERIVED and not row.number("Flags") & _PRIMARY
            if given and row.text.casefold() not in there:
                self._breach("C44", row, "its template has no such index")
        return True

    # Columns

    def _check_columns(self, group: TableRows) -> None:
        known = self.templates.get(group.rows[0].text)
        before, increments = 0, 0
        end = 0 if as_text(group.rows[0]["TemplateTable"]) else FIRST_OFFSET
        of_catalog = group.objid in _OF_CATALOG
        for row in _columns_of(group):
            if isinstance(row, ColumnBlock):
                before = row.ids[-1]
                continue
            fid, coltyp, flags, size = (unsigned(v) for v in _column_values(row.values))
            if not before < fid <= LAST_ID:
                self._breach("C41", row, "the id of the column")
                continue
            end = end if fid == before + 1 else 0  # of columns in between nothing is known
            before = fid
            if known is not None:
                known.add(fid)
            for problem in column_problems(place_of(fid), coltyp, flags, size):
                self._breach("C41", row, problem)
            problem = default_problem(fid, coltyp, flags, size, row["DefaultValue"])
            if problem:
                self._breach("C41", row, problem)
            if lacks_callback(coltyp, flags, as_text(row["TemplateTable"])):
                self._breach("C41", row, "a default by a function, but no function")
            increments += bool(coltyp and flags & AUTOINCREMENT)
            if fid < FIRST_VARIABLE and not of_catalog:
                end = self._check_offset(row, coltyp, end)
        if increments > 1:
            self._breach("C41", group.rows[0], f"{increments} autoincrement columns")

    def _check_offset(self, row: CatalogRow, coltyp: int, end: int) -> int:
        """Hold the offset of a fixed column against the end of the one before, 0 if unknown."""
        offset = row["RecordOffset"]
        if not coltyp or offset is None:
            return 0  # a deleted column leaves its place
        if offset < FIRST_OFFSET or (end and offset != end):
            what = f"the column begins at {offset}, the one before ends at {end or FIRST_OFFSET}"
            self._breach("C41", row, what)
        return int(offset) + (type_size(coltyp) or row.number("SpaceUsage"))

    # Indexes

    def _check_index(
        self, row: CatalogRow, own: set[int], given: set[int], kinds: dict[int, Kind]
    ) -> None:
        """Check an index of a table with these columns of its own and of its template.

        kinds: what is known of some of its own.
        """
        flags = row.number("Flags")
        try:
            key = parse_segments(row["KeyFldIDs"] or b"", flags)
            conditions = parse_segments(row["ConditionalColumns"] or b"", flags)
            limits = tuple_limits(row["TupleLimits"] or b"")
        except ValueError as error:
            self._breach("C42", row, str(error))
            return
        if not 1 <= len(key) <= _SEGMENTS_MOST or len(conditions) > _SEGMENTS_MOST:
            self._breach("C42", row, f"{len(key)} key segments, {len(conditions)} conditions")
        for segment in (*key, *conditions):
            if not _is_known(segment, own, given):
                self._breach("C42", row, f"there is no column {segment.column_id}")
        for problem in key_problems(flags, key, kinds):
            self._breach("C42", row, problem)
        for problem in self._index_problems(row, flags, bool(limits), bool(conditions)):
            self._breach("C42", row, problem)

    def _index_problems(
        self, row: CatalogRow, flags: int, tuples: bool, conditional: bool
    ) -> list[str]:
        most = row.number("KeyMost") or SHORT_MOST
        density = row.number("SpaceUsage")
        var_most = int.from_bytes(row["VarSegMac"] or b"", "little")
        checks = (
            (most > self._key_most, f"keys of {most} bytes"),
            (var_most > most, f"segments of {var_most} bytes, keys of {most}"),
            (bool(flags & _PRIMARY) and not flags & IndexFlag.UNIQUE, "not unique"),
            (not LEAST_DENSITY <= density <= MOST_DENSITY, f"pages of {density} % density"),
            (not is_locale(row["LocaleName"] or b""), "of an impossible locale"),
            (
                bool(flags & _PRIMARY) and (tuples or conditional),
                "not every row has a key",
            ),
        )
        return [text for broken, text in checks if broken]


def _columns_of(group: TableRows) -> Iterator[CatalogRow | ColumnBlock]:
    return (p for p in group.parts if isinstance(p, ColumnBlock) or p.type == RowType.COLUMN)


def is_plain(group: TableRows) -> bool:
    """Say whether there is nothing to be said of the blocks of a table."""
    if not group.blocks:
        return True
    if (
        as_text(group.rows[0]["TemplateTable"])
        or group.rows[0].number("Flags") & TableFlag.TEMPLATE
    ):
        return False  # what is given to other tables is needed column by column
    before = 0
    for part in _columns_of(group):
        first, last = (
            (part.ids[0], part.ids[-1])
            if isinstance(part, ColumnBlock)
            else 2 * (part.number("Id"),)
        )
        if first <= before or last > LAST_ID:
            return False
        before = last
    return _has_plain_kinds(group.blocks) and _has_own_names(group)


def _has_plain_kinds(blocks: list[ColumnBlock]) -> bool:
    return not any(
        not coltyp or flags & _ODD or column_problems(TAGGED, coltyp, flags, size)
        for coltyp, flags, size in set().union(*(block.kinds for block in blocks))
    )


def _has_own_names(group: TableRows) -> bool:
    names = [row.text.casefold() for row in group.of_type(RowType.COLUMN)]
    names += chain.from_iterable(block.names for block in group.blocks)
    return len(set(names)) == len(names)


def _is_known(segment: Segment, own: set[int], given: set[int]) -> bool:
    if segment.flags & KeySegment.TEMPLATE and given:
        return segment.column_id in given
    return segment.column_id in own or segment.column_id in given
