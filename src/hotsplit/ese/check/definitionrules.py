"""What can be wrong with one column or one index of the catalog.

Source: format specification 6.3 to 6.6, 13.1 C 41, 42.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from hotsplit.ese.check.catalogrows import TableRows, picker
from hotsplit.ese.format.catalogschema import IndexFlag, KeySegment, RowType, Segment, unsigned
from hotsplit.ese.format.columns import (
    FIRST_TAGGED,
    FIRST_VARIABLE,
    LONG_TYPES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnFlag,
    type_size,
)

SHORT_MOST = 255
"""Bytes of the longest value that is none of a long type."""

FIXED, VARIABLE, TAGGED = range(3)
_INTEGERS = (Coltyp.LONG, Coltyp.CURRENCY, Coltyp.LONG_LONG,
             Coltyp.UNSIGNED_LONG, Coltyp.UNSIGNED_LONG_LONG)  # fmt: skip
# Plain numbers: a table can have 65,000 columns.
KNOWN_COLTYPS = frozenset(map(int, Coltyp))
AUTOINCREMENT = int(ColumnFlag.AUTOINCREMENT)
USER_DEFAULT, DEFAULT = int(ColumnFlag.USER_DEFAULT), int(ColumnFlag.DEFAULT)
_MULTI_VALUED = int(ColumnFlag.MULTI_VALUED)
_VERSION, _ESCROW = int(ColumnFlag.VERSION), int(ColumnFlag.ESCROW)
_COMPRESSED = int(ColumnFlag.COMPRESSED)
NULLS = int(IndexFlag.ALLOW_ALL_NULLS | IndexFlag.ALLOW_FIRST_NULL | IndexFlag.ALLOW_SOME_NULLS)
_LOCALE = re.compile(r"[A-Za-z0-9_-]*\Z")
_kind_values = picker("Id", "ColtypOrPgnoFDP", "Flags", "PagesOrLocale")


class Kind(NamedTuple):
    """What indexes have to know of a column. escrow: changes without its row being written."""

    escrow: bool
    unicode: bool

    @classmethod
    def of(cls, coltyp: int, flags: int, code_page: int) -> Kind:
        """Return what is to be known of a column of the catalog."""
        return cls(bool(flags & _ESCROW), coltyp in TEXT_TYPES and code_page == UTF16)


def kinds_of(group: TableRows) -> dict[int, Kind]:
    """Return the columns of a table that indexes can be of, those of blocks left out."""
    if not group.of_type(RowType.INDEX):
        return {}
    found = (map(unsigned, _kind_values(row.values)) for row in group.of_type(RowType.COLUMN))
    return {fid: Kind.of(coltyp, flags, page) for fid, coltyp, flags, page in found if coltyp}


def is_locale(name: bytes) -> bool:
    """Say whether a locale can have this name, in UTF-16; which there are is not known here."""
    return bool(_LOCALE.match(name.decode("utf-16-le", "replace")))


def key_problems(flags: int, key: Sequence[Segment], kinds: dict[int, Kind]) -> Iterator[str]:
    """Yield what is wrong with the columns of a key; those of a template say nothing of it."""
    if flags & IndexFlag.NO_NULL_SEGMENTS and flags & NULLS:
        yield "keys with nulls are allowed and not allowed"
    found = [kinds.get(segment.column_id) for segment in key]
    for segment, kind in zip(key, found, strict=True):
        if kind is not None and kind.escrow:
            yield f"escrow column {segment.column_id} cannot be in a key"
    if None in found or any(segment.flags & KeySegment.TEMPLATE for segment in key):
        return
    localized = bool(flags & IndexFlag.LOCALIZED_TEXT)
    if localized != any(kind is not None and kind.unicode for kind in found):
        yield "flagged as if of Unicode text" if localized else "of Unicode text, but not flagged"


def default_problem(fid: int, coltyp: int, flags: int, size: int, value: bytes | None) -> str:
    """Return what is wrong with the default of a column, "" if nothing is."""
    if not coltyp or flags & USER_DEFAULT:
        return ""
    if value is None and flags & _ESCROW:
        return "escrow, but without a default"
    if value is None:
        return "flagged as with a default, but without one" if flags & DEFAULT else ""
    exact = type_size(coltyp)
    most = size if fid < FIRST_VARIABLE and not exact else SHORT_MOST
    if len(value) == exact or (not exact and len(value) <= most):
        return ""
    return f"a default of {len(value)} bytes"


def lacks_callback(coltyp: int, flags: int, name: str) -> bool:
    """Say whether a column has its default from a function of which there is no name.

    name: that in its row, of a library and a function with "!" in between.
    """
    return bool(coltyp and flags & USER_DEFAULT) and "!" not in name


def place_of(fid: int) -> int:
    """Return whether a column is FIXED, VARIABLE or TAGGED, by its id."""
    return FIXED if fid < FIRST_VARIABLE else VARIABLE if fid < FIRST_TAGGED else TAGGED


@lru_cache(4096)
def column_problems(place: int, coltyp: int, flags: int, size: int) -> list[str]:
    """Return what is wrong with a column; most of a table's columns are alike."""
    if not coltyp:
        return []  # deleted
    if coltyp not in KNOWN_COLTYPS:
        return [f"unknown type {coltyp}"]
    fixed, tagged, is_long = place == FIXED, place == TAGGED, coltyp in LONG_TYPES
    short = coltyp in (Coltyp.TEXT, Coltyp.BINARY)
    countable = fixed and type_size(coltyp) in (4, 8)
    rules = (
        (is_long and not tagged, "a long value must be tagged"),
        (not fixed and not tagged and not short, "only text and binary columns can be variable"),
        (fixed and type_size(coltyp) not in (0, size), f"a fixed column of {size} bytes"),
        (fixed and short and not 1 <= size <= SHORT_MOST, f"a fixed column of {size} bytes"),
        (flags & _MULTI_VALUED and not tagged, "a multi-valued column must be tagged"),
        (flags & AUTOINCREMENT and coltyp not in _INTEGERS, "autoincrement, no integer"),
        (flags & _VERSION and coltyp != Coltyp.LONG, "a version column must be Long"),
        (flags & _ESCROW and not countable, "escrow, but not fixed of 4 or 8 bytes"),
        (flags & _COMPRESSED and not is_long, "only long values are compressed"),
    )
    return [text for broken, text in rules if broken]
