"""The catalog's own columns, and what its rows mean.

The catalog cannot describe itself, so its schema is fixed. Columns that a revision does not have
do not occur in its records.

Source: format specification 6.2 (schema), 6.3 (row types), 6.5 (flags), 6.6 (index definitions).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import NamedTuple

from hotsplit.ese.format.columns import Coltyp, ColumnDef

CATALOG_ROOT, SHADOW_ROOT = 4, 24
CATALOG_NAME = "MSysObjects"


class RowType(IntEnum):
    """What a catalog row describes."""

    TABLE = 1
    COLUMN = 2
    INDEX = 3
    LONG_VALUE = 4
    CALLBACK = 5


class TableFlag(IntFlag):
    """Table flags."""

    SYSTEM = 0x80000000
    FIXED_DDL = 0x40000000
    TEMPLATE = 0x20000000
    DERIVED = 0x10000000
    DYNAMIC_SYSTEM = 0x08000000
    NO_FIXED_VAR = 0x04000000


class IndexFlag(IntFlag):
    """Index flags."""

    UNIQUE = 0x1
    ALLOW_ALL_NULLS = 0x2
    ALLOW_FIRST_NULL = 0x4
    ALLOW_SOME_NULLS = 0x8
    NO_NULL_SEGMENTS = 0x10
    PRIMARY = 0x20
    LOCALE_SET = 0x40
    MULTI_VALUED = 0x80
    TEMPLATE = 0x100
    DERIVED = 0x200
    LOCALIZED_TEXT = 0x400
    SORT_NULLS_HIGH = 0x800
    UNICODE_FIXUP = 0x1000
    CROSS_PRODUCT = 0x2000
    DISALLOW_TRUNCATION = 0x4000
    NESTED_TABLE = 0x8000
    EXTENDED_SEGMENTS = 0x10000
    DOT_NET_GUID = 0x20000
    DEFERRED_POPULATE = 0x40000
    OPTIONALLY_UNIQUE = 0x80000


_KEY_MOST = {2048: 500, 4096: 1000}
_LARGE_KEY_MOST = 2000
_TUPLE_DEFAULTS = (1, 0)  # step and start where the definition is of the short form

_FIXED = (
    ("ObjidTable", Coltyp.LONG), ("Type", Coltyp.SHORT), ("Id", Coltyp.LONG),
    ("ColtypOrPgnoFDP", Coltyp.LONG), ("SpaceUsage", Coltyp.LONG), ("Flags", Coltyp.LONG),
    ("PagesOrLocale", Coltyp.LONG), ("RootFlag", Coltyp.BIT), ("RecordOffset", Coltyp.SHORT),
    ("LCMapFlags", Coltyp.LONG), ("KeyMost", Coltyp.UNSIGNED_SHORT), ("LVChunkMax", Coltyp.LONG),
    ("PgnoFDPLastSetTime", Coltyp.DATE_TIME),
)  # fmt: skip
_VARIABLE = (
    ("Name", Coltyp.TEXT), ("Stats", Coltyp.BINARY), ("TemplateTable", Coltyp.TEXT),
    ("DefaultValue", Coltyp.BINARY), ("KeyFldIDs", Coltyp.BINARY), ("VarSegMac", Coltyp.BINARY),
    ("ConditionalColumns", Coltyp.BINARY), ("TupleLimits", Coltyp.BINARY),
    ("Version", Coltyp.BINARY), ("SortID", Coltyp.BINARY),
)  # fmt: skip
_TAGGED = (
    "CallbackData", "CallbackDependencies", "SeparateLV", "SpaceHints", "SpaceDeferredLVHints",
    "LocaleName",
)  # fmt: skip
_OFFSETS = (4, 8, 10, 14, 18, 22, 26, 30, 31, 33, 37, 39, 43)
_SIZES = (4, 2, 4, 4, 4, 4, 4, 1, 2, 4, 2, 4, 8)

CATALOG_COLUMNS: tuple[ColumnDef, ...] = (
    *(
        ColumnDef(name, i + 1, coltyp, _SIZES[i], offset=_OFFSETS[i])
        for i, (name, coltyp) in enumerate(_FIXED)
    ),
    *(
        ColumnDef(name, 128 + i, coltyp, 255, code_page=1252)
        for i, (name, coltyp) in enumerate(_VARIABLE)
    ),
    *(ColumnDef(name, 256 + i, Coltyp.LONG_BINARY) for i, name in enumerate(_TAGGED)),
)
_FIXED_OFFSETS = {column.name: column.offset for column in CATALOG_COLUMNS if column.is_fixed}


class KeySegment(IntFlag):
    """Flags of one segment of a key or of a condition."""

    TEMPLATE = 0x80
    DESCENDING = 0x40
    MUST_BE_NULL = 0x20


@dataclass(frozen=True, slots=True)
class Segment:
    """One column of a key, or one condition."""

    column_id: int
    flags: int = 0

    @property
    def is_descending(self) -> bool:
        """True if the column sorts downwards."""
        return bool(self.flags & KeySegment.DESCENDING)


@dataclass(slots=True)
class IndexDef:
    """One index. The primary index is the table's own tree."""

    name: str
    objid: int
    root: int
    flags: int
    key: tuple[Segment, ...]
    conditions: tuple[Segment, ...] = ()
    key_most: int = 255
    locale: str | int = 0
    lcmap_flags: int = 0
    density: int = 0
    var_segment_most: int | None = None
    tuple_limits: bytes = b""
    sort_version: int = 0
    """NLS version of the keys of Unicode text, e.g. 0x60305 for 6.3.5; 0 if it is not recorded."""
    sort_id: bytes = b""

    @property
    def is_primary(self) -> bool:
        """True for the primary index."""
        return bool(self.flags & IndexFlag.PRIMARY)

    @property
    def is_unique(self) -> bool:
        """True for a unique index."""
        return bool(self.flags & IndexFlag.UNIQUE)


@dataclass(slots=True)
class TableDef:
    """One table as the catalog describes it, without what a template adds."""

    name: str
    objid: int
    root: int
    flags: int = 0
    template: str = ""
    chunk_size: int = 0
    separate_lv: int = 0
    long_value_objid: int = 0
    long_value_root: int = 0
    columns: list[ColumnDef] = field(default_factory=list)
    indexes: list[IndexDef] = field(default_factory=list)

    @property
    def is_system(self) -> bool:
        """True for tables of the engine itself."""
        return bool(self.flags & (TableFlag.SYSTEM | TableFlag.DYNAMIC_SYSTEM))

    @property
    def primary(self) -> IndexDef | None:
        """The primary index, None for a table that numbers its rows."""
        return next((index for index in self.indexes if index.is_primary), None)

    @property
    def is_template(self) -> bool:
        """True for a table that only gives columns and indexes to derived tables."""
        return bool(self.flags & TableFlag.TEMPLATE)


def unsigned(value: int | None) -> int:
    """Return an integer column of 32 bits without its sign; 0 for null."""
    return (value or 0) & 0xFFFFFFFF


def key_most(page_size: int) -> int:
    """Return the bytes of the longest key that an index may have (6.6)."""
    return _KEY_MOST.get(page_size, _LARGE_KEY_MOST)


def parse_segments(data: bytes, flags: int) -> tuple[Segment, ...]:
    """Return the segments of a KeyFldIDs or ConditionalColumns value; `flags` of the index.

    Raises ValueError.
    """
    if flags & IndexFlag.EXTENDED_SEGMENTS:
        if len(data) % 4:
            raise ValueError(f"key segments of {len(data)} bytes")
        return tuple(Segment(fid, bits) for bits, _, fid in struct.iter_unpack("<BBH", data))
    if len(data) % 2:
        raise ValueError(f"key segments of {len(data)} bytes")
    return tuple(
        Segment(abs(fid), KeySegment.DESCENDING if fid < 0 else 0)
        for (fid,) in struct.iter_unpack("<h", data)
    )


class TupleLimits(NamedTuple):
    """Which parts of its text a tuple index has entries for, in characters (6.6)."""

    least: int
    most: int
    parts_most: int
    step: int
    start: int

    def parts(self, text: str) -> list[str]:
        """Return the parts of a text, none twice."""
        starts = range(self.start, self.start + self.parts_most * self.step, self.step)
        found = (text[at : at + self.most] for at in itertools.takewhile(len(text).__gt__, starts))
        return list(dict.fromkeys(part for part in found if len(part) >= self.least))


def tuple_limits(data: bytes) -> TupleLimits | None:
    """Return the limits of a tuple index, None for another.

    Raises ValueError for an impossible definition.
    """
    if not data:
        return None
    if len(data) not in (12, 20):
        raise ValueError(f"tuple limits of {len(data)} bytes")
    numbers = struct.unpack(f"<{len(data) // 4}I", data)
    least, most, count, step, start = (*numbers, *_TUPLE_DEFAULTS)[:5]
    if not 0 < least <= most <= 0x7FFF or not 0 < step <= 0x7FFF:
        raise ValueError(f"tuple limits {numbers}")
    if not 0 < count <= 0x7FFF or start > 0x7FFF:
        raise ValueError(f"tuple limits {numbers}")
    return TupleLimits(least, most, count, step, start)


def catalog_key(objid: int, row_type: int = 0) -> bytes:
    """Return the start of the key of the catalog rows of a table, or of its rows of one type."""
    key = b"\x7f" + (objid ^ 0x80000000).to_bytes(4, "big")
    return key + (b"\x7f" + (row_type ^ 0x8000).to_bytes(2, "big") if row_type else b"")


def catalog_offset(name: str) -> int | None:
    """Return the true offset of a fixed column of the catalog, whose own rows do not say it."""
    return _FIXED_OFFSETS.get(name)
