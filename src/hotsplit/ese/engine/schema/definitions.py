"""What tables are made of, as an application says it.

Source: format specification 6.3, 6.5, 7.2, 7.3, 14.3.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.format.catalogschema import IndexFlag, KeySegment
from hotsplit.ese.format.columns import (
    FIRST_TAGGED,
    FIRST_VARIABLE,
    LAST_ID,
    LONG_TYPES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnDef,
    ColumnFlag,
    Value,
    encode_value,
    padded,
    type_size,
)

_MOST_NAME = 64
_LAST_IDS = {"fixed": FIRST_VARIABLE - 1, "variable": FIRST_TAGGED - 1, "tagged": LAST_ID}
_MOST_SEGMENTS = 16
_INTRINSIC_MOST = 255
_MOST_PARTS = 0x7FFF
_FIRST_OFFSET = 4
_CODE_PAGES = (UTF16, 1252)
_COUNTERS = (Coltyp.LONG, Coltyp.CURRENCY, Coltyp.LONG_LONG)


@dataclass(frozen=True)
class Column:
    """A column to be made.

    size: most bytes of text or binary values, 0 for what the type allows; a fixed column always has
    that size. fixed: text or binary of one size, shorter values are filled up with blanks or zeros;
    all else that is not tagged is fixed anyway.
    tagged: a value takes room only in rows that have it (long types always are).
    multi_valued: a row may have several (tagged only); [] is NULL. compressed: long values only.
    code_page: of text, 1200 (UTF-16) or 1252. autoincrement: of whole numbers, fixed.
    escrow: a fixed Long that `Table.add` changes. version: a fixed Long that counts updates.
    """

    name: str
    coltyp: Coltyp
    size: int = 0
    fixed: bool | None = None
    tagged: bool = False
    not_null: bool = False
    default: Value = None
    multi_valued: bool = False
    compressed: bool = False
    autoincrement: bool = False
    escrow: bool = False
    version: bool = False
    code_page: int = UTF16

    def flags(self) -> int:
        """The column's flags in the catalog."""
        wanted = (
            (ColumnFlag.NOT_NULL, self.not_null),
            (ColumnFlag.VERSION, self.version),
            (ColumnFlag.AUTOINCREMENT, self.autoincrement),
            (ColumnFlag.MULTI_VALUED, self.multi_valued),
            (ColumnFlag.DEFAULT, self.default is not None),
            (ColumnFlag.ESCROW, self.escrow),
            (ColumnFlag.COMPRESSED, self.compressed),
        )
        return sum(int(flag) for flag, on in wanted if on)

    @property
    def kind(self) -> str:
        """Where its values lie: "fixed", "variable" or "tagged"."""
        if self.tagged or self.multi_valued or self.coltyp in LONG_TYPES:
            return "tagged"
        sized = bool(type_size(self.coltyp))
        return "fixed" if (sized if self.fixed is None else self.fixed) else "variable"


@dataclass(frozen=True)
class Tuples:
    """Limits of a tuple index, in characters: of parts, how many, and where they begin."""

    least: int = 3
    most: int = 10
    count: int = _MOST_PARTS
    step: int = 1
    start: int = 0

    def pack(self) -> bytes:
        """Return the limits as the catalog holds them. Raises InvalidUse (-1435)."""
        sizes = 2 <= self.least <= self.most <= _INTRINSIC_MOST
        numbers = all(0 < number <= _MOST_PARTS for number in (self.count, self.step))
        if not sizes or not numbers or not 0 <= self.start <= _MOST_PARTS:
            raise InvalidUse("Impossible limits of tuples", jet=Jet.errIndexTuplesInvalidLimits)
        return struct.pack("<5I", self.least, self.most, self.count, self.step, self.start)


@dataclass(frozen=True)
class Index:
    """An index to be made. columns: names, with a leading "-" for descending ones.

    primary: the order of the rows; each has one key: no conditions, no multi-valued columns.
    nulls: rows with NULL in the key have entries. conditions: names of columns that must not be
    NULL, with a leading "!" for those that must be. cross_product: of several multi-valued columns
    all combinations have entries, not only the values of the first. tuples: the first column is
    text, and all parts of it have entries; the limits, `Tuples()` for those of the engine.
    """

    name: str
    columns: Sequence[str]
    primary: bool = False
    unique: bool = False
    nulls: bool = True
    conditions: Sequence[str] = ()
    cross_product: bool = False
    tuples: Tuples | None = None

    def flags(self) -> int:
        """The index's flags in the catalog, those of its columns aside."""
        flags = IndexFlag.EXTENDED_SEGMENTS
        flags |= IndexFlag.CROSS_PRODUCT if self.cross_product else 0
        if self.nulls:
            flags |= IndexFlag.ALLOW_ALL_NULLS
            flags |= IndexFlag.ALLOW_FIRST_NULL | IndexFlag.ALLOW_SOME_NULLS
        if self.primary:
            return flags | IndexFlag.PRIMARY | IndexFlag.UNIQUE
        return flags | (IndexFlag.UNIQUE if self.unique else 0)


def plan_columns(wanted: Sequence[Column], existing: Sequence[ColumnDef] = ()) -> list[ColumnDef]:
    """Give new columns their ids and places. Raises InvalidUse.

    existing: columns of the table, those of its template among them: fixed and variable ones go on
    behind these, tagged ones do not (6.8).
    """
    taken = {column.name.casefold() for column in existing}
    planned, places = list(existing), _Places(existing)
    for column in wanted:
        if column.name.casefold() in taken:
            raise InvalidUse(f"There is a column {column.name}", jet=Jet.errColumnDuplicate)
        taken.add(column.name.casefold())
        planned.append(_plan_column(column, places))
    for flag in (ColumnFlag.AUTOINCREMENT, ColumnFlag.VERSION):
        if sum(bool(column.flags & flag) for column in planned) > 1:
            text = f"A table has one {str(flag.name).lower()} column"
            raise InvalidUse(text, jet=Jet.errColumnRedundant)
    return planned[len(existing) :]


class _Places:
    """The ids that columns of each kind get next, and where the next fixed one begins."""

    def __init__(self, existing: Sequence[ColumnDef]) -> None:
        self._next = {"fixed": 1, "variable": FIRST_VARIABLE, "tagged": FIRST_TAGGED}
        self._end = _FIRST_OFFSET
        for column in existing:
            kind = "tagged" if column.is_tagged else "fixed" if column.is_fixed else "variable"
            if not column.is_tagged or not column.derived:
                self._next[kind] = max(self._next[kind], column.id + 1)
            if column.is_fixed:
                self._end = max(self._end, column.offset + column.stored_size)

    def take(self, kind: str, size: int) -> tuple[int, int]:
        """Return id and offset of another column. Raises InvalidUse (-1040)."""
        fid, offset = self._next[kind], self._end if kind == "fixed" else 0
        if fid > _LAST_IDS[kind]:
            raise InvalidUse("Too many columns", jet=Jet.errTooManyColumns)
        self._next[kind] += 1
        if kind == "fixed":
            self._end += size
        return fid, offset


def _plan_column(column: Column, places: _Places) -> ColumnDef:
    check_name(column.name)
    _check_column(column)
    size = type_size(column.coltyp) or column.size
    if not size and column.coltyp not in LONG_TYPES:
        size = _INTRINSIC_MOST
    fid, offset = places.take(column.kind, size)
    code_page = column.code_page if column.coltyp in TEXT_TYPES else 0
    made = ColumnDef(column.name, fid, column.coltyp, size, column.flags(), code_page, offset)
    if column.default is None:
        return made
    if isinstance(column.default, list):
        raise InvalidUse("A default is one value")
    try:
        data = encode_value(made, column.default)
    except ValueError as error:
        raise InvalidUse(str(error)) from error
    if len(data) > (_INTRINSIC_MOST if made.is_long else size):
        raise InvalidUse(f"The default of {made.name} is too long", jet=Jet.errDefaultValueTooBig)
    if made.is_fixed:
        data = padded(made, data)
    return ColumnDef(
        made.name, fid, made.coltyp, size, made.flags, code_page, offset, default_data=data
    )


def check_room(columns: Sequence[ColumnDef], most: int) -> None:
    """Raise InvalidUse (-1026) if no record of `most` bytes holds all fixed columns."""
    end = max((c.offset + c.stored_size for c in columns if c.is_fixed), default=0)
    if end > most:
        raise InvalidUse(
            f"The columns of one size take {end} bytes, a record has {most}",
            jet=Jet.errRecordTooBig,
        )


def _check_column(column: Column) -> None:
    problems = (
        (column.multi_valued and column.kind != "tagged", Jet.errMultiValuedColumnMustBeTagged),
        (column.kind == "variable" and type_size(column.coltyp), Jet.errInvalidParameter),
        (column.compressed and column.coltyp not in LONG_TYPES, Jet.errColumnCannotBeCompressed),
        (column.autoincrement and column.kind == "tagged", Jet.errCannotBeTagged),
        (column.autoincrement and column.coltyp not in _COUNTERS, Jet.errInvalidParameter),
        (column.escrow and _not_counter(column), Jet.errInvalidParameter),
        (column.version and _not_counter(column), Jet.errInvalidParameter),
        (column.version and column.autoincrement, Jet.errInvalidParameter),
        (column.escrow and (column.version or column.autoincrement), Jet.errInvalidParameter),
        (column.default in ("", b"") and column.kind != "fixed", Jet.errInvalidParameter),
        (column.coltyp in (Coltyp.NIL, Coltyp.SLV), Jet.errInvalidParameter),
        (column.coltyp not in list(Coltyp), Jet.errInvalidColumnType),
        (column.coltyp not in LONG_TYPES and column.size > _INTRINSIC_MOST, Jet.errColumnTooBig),
        (column.size < 0, Jet.errInvalidParameter),
        (column.coltyp in TEXT_TYPES and column.code_page not in _CODE_PAGES,
            Jet.errInvalidCodePage),
        (column.escrow and column.default is None, Jet.errInvalidParameter),
    )  # fmt: skip
    for wrong, jet in problems:
        if wrong:
            raise InvalidUse(f"Column {column.name} cannot be made so", jet=jet)


def _not_counter(column: Column) -> bool:
    return column.coltyp != Coltyp.LONG or column.kind != "fixed"


def check_name(name: str) -> None:
    """Raise InvalidUse (-1002) for a name that no object can have."""
    wrong = not 1 <= len(name) <= _MOST_NAME or name[0] == " " or set(name) & set("!.[]")
    if wrong or any(not (" " <= c <= "\x7f" or "\xa0" <= c <= "\xff") for c in name):
        raise InvalidUse(f"No name of an object: {name!r}", jet=Jet.errInvalidName)


def key_segments(index: Index, columns: Sequence[ColumnDef]) -> bytes:
    """Return the key definition of an index. Raises InvalidUse (-1507, -1406)."""
    if index.primary and (index.conditions or not index.nulls):
        raise _invalid(index, "A primary index has a key of each row")
    if not 1 <= len(index.columns) <= _MOST_SEGMENTS:
        what = f"An index is of 1 to {_MOST_SEGMENTS} columns, not of {len(index.columns)}"
        raise _invalid(index, what)
    made = b""
    for name in index.columns:
        column = find_column(columns, name.lstrip("-"))
        if column.flags & ColumnFlag.ESCROW:
            raise _invalid(index, f"{column.name} is an escrow column")
        if column.is_multi_valued and index.primary:
            raise _invalid(index, f"A row may have several values of {column.name}")
        flags = KeySegment.DESCENDING if name.startswith("-") else 0
        made += _segment(column, flags)
    return made


def _invalid(index: Index, why: str) -> InvalidUse:
    return InvalidUse(f"Index {index.name} cannot be made: {why}", jet=Jet.errIndexInvalidDef)


def _segment(column: ColumnDef, flags: int) -> bytes:
    """Return one column of a key: in a template, and where it comes from one, that is said."""
    if column.flags & ColumnFlag.TEMPLATE:
        flags |= KeySegment.TEMPLATE
    return struct.pack("<BBH", flags, 0, column.id)


def check_tuples(index: Index, columns: Sequence[ColumnDef]) -> bytes:
    """Return the limits of a tuple index, b"" for another. Raises InvalidUse (-1430 to -1435)."""
    if index.tuples is None:
        return b""
    first = find_column(columns, index.columns[0].lstrip("-"))
    problems = (
        (index.primary, Jet.errIndexTuplesSecondaryIndexOnly),
        (index.unique, Jet.errIndexTuplesNonUniqueOnly),
        (first.coltyp not in TEXT_TYPES, Jet.errIndexTuplesTextBinaryColumnsOnly),
    )
    for wrong, jet in problems:
        if wrong:
            raise InvalidUse(f"Index {index.name} cannot be made of tuples", jet=jet)
    return index.tuples.pack()


def condition_segments(index: Index, columns: Sequence[ColumnDef]) -> bytes:
    """Return the conditions of an index. Raises InvalidUse (-1507, -1406)."""
    if len(index.conditions) > _MOST_SEGMENTS:
        raise _invalid(index, f"{len(index.conditions)} conditions")
    made = b""
    for name in index.conditions:
        flags = KeySegment.MUST_BE_NULL if name.startswith("!") else 0
        made += _segment(find_column(columns, name.lstrip("!")), flags)
    return made


def extra_flags(index: Index, columns: Sequence[ColumnDef]) -> int:
    """Return the index flags that follow from the columns of the key."""
    flags = 0
    for name in index.columns:
        column = find_column(columns, name.lstrip("-"))
        if column.is_multi_valued:
            flags |= IndexFlag.MULTI_VALUED
        if column.coltyp in TEXT_TYPES and column.code_page == UTF16:
            flags |= IndexFlag.LOCALIZED_TEXT
    return flags


def find_column(columns: Sequence[ColumnDef], name: str) -> ColumnDef:
    """Return a column by its name. Raises InvalidUse (-1507)."""
    for column in columns:
        if column.name.casefold() == name.casefold():
            return column
    raise InvalidUse(f"There is no column {name}", jet=Jet.errColumnNotFound)
