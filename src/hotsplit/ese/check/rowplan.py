"""A table's definition in the terms of the kernel: where columns lie, which keys indexes have.

Source: format specification 6.3, 6.6, 6.8 (definitions), 7.1, 7.3 (records), 10.5 (index entries).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple

from hotsplit.ese.check.columnblock import ColumnBlock
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import (
    IndexDef,
    IndexFlag,
    KeySegment,
    Segment,
    TableDef,
    tuple_limits,
)
from hotsplit.ese.format.columns import (
    FIRST_TAGGED,
    FIRST_VARIABLE,
    LONG_TYPES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnDef,
    ColumnFlag,
    type_size,
)
from hotsplit.ese.format.textorder import text_order

_SMALL_HEADER, _LARGE_HEADER = 40, 80
_NODE_COST = 8  # tag of the external header, tag of the node
_LENGTH = 2  # of a key, of its shared part
_SMALL_KEY, _CHECK_KEY = 255, 4  # what the engine's own check leaves for the key of a record
_INFO = struct.Struct("<H")
_EXISTS, _LONG, _NOT_NULL, _DELETED = 0x20, 0x40, 0x80, 0x100
_MANDATORY = int(ColumnFlag.NOT_NULL)  # plain: a table can have 65,000 columns
_KEY_MOST = 2000
_NUMBER_SIZES = (4, 8)


class Normal(IntEnum):
    """How the kernel normalises a value for a key."""

    BIT, UNSIGNED, SIGNED, FLOAT, GUID, GUID_NET, FIXED_BINARY, BINARY, TEXT, UNICODE = range(10)


class Compare(IntEnum):
    """How entries of an index can be held against rows."""

    BY_KEY = 0
    """The key can be made from the row."""
    BY_BOOKMARK = 1
    """One entry a row, whose key is of Unicode text in an order that is not known here."""
    BY_PRESENCE = 2
    """Some entries a row: that the row has any, and that the entry's row exists."""


_NORMAL: dict[int, Normal] = {
    Coltyp.BIT: Normal.BIT,
    Coltyp.UNSIGNED_BYTE: Normal.UNSIGNED,
    Coltyp.UNSIGNED_SHORT: Normal.UNSIGNED,
    Coltyp.UNSIGNED_LONG: Normal.UNSIGNED,
    Coltyp.UNSIGNED_LONG_LONG: Normal.UNSIGNED,
    Coltyp.SHORT: Normal.SIGNED,
    Coltyp.LONG: Normal.SIGNED,
    Coltyp.CURRENCY: Normal.SIGNED,
    Coltyp.LONG_LONG: Normal.SIGNED,
    Coltyp.IEEE_SINGLE: Normal.FLOAT,
    Coltyp.IEEE_DOUBLE: Normal.FLOAT,
    Coltyp.DATE_TIME: Normal.FLOAT,
}


def _no_column(_: int) -> None:
    return None


class LastIds(NamedTuple):
    """The highest column ids that were ever used, and those of deleted columns."""

    fixed: int = 0
    variable: int = FIRST_VARIABLE - 1
    tagged: int = FIRST_TAGGED - 1
    deleted: frozenset[int] = frozenset()

    @classmethod
    def of(cls, ids: Sequence[int], deleted: Iterable[int] = ()) -> LastIds:
        """Return the highest of each class. deleted: those of `ids` whose column is gone."""
        limits = ((0, FIRST_VARIABLE), (FIRST_VARIABLE, FIRST_TAGGED), (FIRST_TAGGED, 0x10000))
        fixed, variable, tagged = (
            max((i for i in ids if a <= i < b), default=max(a - 1, 0)) for a, b in limits
        )
        return cls(fixed, variable, tagged, frozenset(deleted))


@dataclass
class TableShape:
    """A table with what its template gives it.

    blocks: tagged columns of its own that are not among those of `table`; define: gives one of
    them by its id.
    """

    table: TableDef
    last: LastIds
    template: TableDef | None = None
    template_last: LastIds = field(default_factory=LastIds)
    blocks: Sequence[ColumnBlock] = ()
    define: Callable[[int], ColumnDef | None] = _no_column

    @cached_property
    def _own(self) -> dict[int, ColumnDef]:
        return {column.id: column for column in self.table.columns}

    @cached_property
    def _given(self) -> dict[int, ColumnDef]:
        columns = self.template.columns if self.template is not None else []
        return {column.id: column for column in columns}

    def column(self, segment: Segment) -> tuple[ColumnDef, bool] | None:
        """Return the column of a key segment and whether it comes from the template."""
        own = self._own.get(segment.column_id) or self.define(segment.column_id)
        if self.template is not None and (segment.flags & KeySegment.TEMPLATE or own is None):
            given = self._given.get(segment.column_id)
            return None if given is None else (given, True)
        return None if own is None else (own, False)


def largest_record(page_size: int) -> int:
    """Return the bytes of the largest record that the engine's check allows (7.3)."""
    if is_large(page_size):
        return page_size - _LARGE_HEADER - _NODE_COST - 2 * _LENGTH - _CHECK_KEY
    return page_size - _SMALL_HEADER - _NODE_COST - _LENGTH - _SMALL_KEY


def layout_of(shape: TableShape, page_size: int, increment_mark: int | None) -> tuple[Any, ...]:
    """Return where the columns of a table lie, as the kernel wants it.

    increment_mark: the highest autoincrement value handed out, None if it is not kept.
    """
    columns = [*shape.table.columns, *(shape.template.columns if shape.template else [])]
    fixed = {c.id: c.offset + c.stored_size for c in columns if c.is_fixed}
    last = max(shape.last.fixed, shape.template_last.fixed)
    ends = [4, *(fixed.get(i, 0) for i in range(1, last + 1))]
    must = [c.id for c in columns if c.flags & _MANDATORY]
    return (
        is_large(page_size),
        largest_record(page_size),
        ends,
        [i for i in must if i < FIRST_VARIABLE],
        max(shape.last.variable, shape.template_last.variable),
        [i for i in must if FIRST_VARIABLE <= i < FIRST_TAGGED],
        _tagged(shape.table.columns, shape.last, shape.blocks),
        _tagged(shape.template.columns if shape.template else [], shape.template_last),
        _increment(columns, increment_mark),
    )


def _tagged(
    columns: Sequence[ColumnDef], last: LastIds, blocks: Sequence[ColumnBlock] = ()
) -> bytes:
    """Return two bytes for each tagged column up to the last."""
    infos = bytearray(2 * (last.tagged + 1 - FIRST_TAGGED))
    for fid in last.deleted:
        if FIRST_TAGGED <= fid <= last.tagged:
            _INFO.pack_into(infos, 2 * (fid - FIRST_TAGGED), _DELETED)
    for column in columns:
        if FIRST_TAGGED <= column.id <= last.tagged:
            info = _info(column.coltyp, column.flags)
            _INFO.pack_into(infos, 2 * (column.id - FIRST_TAGGED), info)
    for block in blocks:
        _put_block(infos, block)
    return bytes(infos)


def _put_block(infos: bytearray, block: ColumnBlock) -> None:
    found = block.infos({(coltyp, flags): _info(coltyp, flags) for coltyp, flags, _ in block.kinds})
    start = 2 * (block.ids[0] - FIRST_TAGGED)
    if block.is_gapless:
        infos[start : start + 2 * len(found)] = found.tobytes()
        return
    for fid, info in zip(block.ids, found, strict=True):
        _INFO.pack_into(infos, 2 * (fid - FIRST_TAGGED), info)


def _info(coltyp: int, flags: int) -> int:
    info = _EXISTS | type_size(coltyp)
    info |= _LONG if coltyp in LONG_TYPES else 0
    return info | (_NOT_NULL if flags & _MANDATORY else 0)


def _increment(columns: Sequence[ColumnDef], mark: int | None) -> tuple[int, int, int, int] | None:
    for c in columns:
        sized = c.is_fixed and c.stored_size in _NUMBER_SIZES
        if mark is not None and sized and c.flags & ColumnFlag.AUTOINCREMENT:
            return c.id, c.offset, c.stored_size, mark
    return None


# Indexes


def compare_mode(shape: TableShape, index: IndexDef) -> Compare:
    """Return how the entries of an index can be held against the rows."""
    if index.flags & IndexFlag.DEFERRED_POPULATE:
        return Compare.BY_PRESENCE
    if is_unicode(shape, index) and text_order(index) is None:
        return compare_loosely(index)
    return Compare.BY_KEY


def compare_loosely(index: IndexDef) -> Compare:
    """Return how entries can be held against rows whose keys are not known."""
    several = bool(index.tuple_limits) or bool(index.flags & IndexFlag.MULTI_VALUED)
    return Compare.BY_PRESENCE if several else Compare.BY_BOOKMARK


def is_unicode(shape: TableShape, index: IndexDef) -> bool:
    """True for an index whose keys are made of Unicode text."""
    found = [shape.column(segment) for segment in index.key]
    return any(c is not None and normal_of(c[0], index) == Normal.UNICODE for c in found)


def index_plan(
    shape: TableShape, index: IndexDef, ledger: Any, compare: Compare | None = None
) -> tuple[Any, ...] | None:
    """Return an index as the kernel wants it; None if a column of its key is not to be found.

    compare: how its entries are held against rows, None for `compare_mode`.
    """
    segments = [_segment(shape, index, segment) for segment in index.key]
    conditions = [_segment(shape, index, segment) for segment in index.conditions]
    if None in segments or None in conditions or not segments:
        return None
    key_most = min(max(1, index.key_most), _KEY_MOST)
    var_most = index.var_segment_most or key_most
    compare = compare_mode(shape, index) if compare is None else compare
    by_text = compare == Compare.BY_KEY and is_unicode(shape, index)
    return (
        segments,
        conditions,
        index.flags & 0xFFFF,
        key_most,
        key_most + 1 if var_most >= key_most else var_most,
        tuple_limits(index.tuple_limits),
        compare,
        ledger,
        text_order(index) if by_text else None,
    )


def _segment(shape: TableShape, index: IndexDef, segment: Segment) -> tuple[Any, ...] | None:
    found = shape.column(segment)
    if found is None:
        return None
    column, derived = found
    callback = bool(column.flags & ColumnFlag.USER_DEFAULT)
    return (
        column.id,
        column.offset,
        column.stored_size,
        derived and column.is_tagged,
        normal_of(column, index),
        segment.is_descending,
        column.is_multi_valued,
        bool(segment.flags & KeySegment.MUST_BE_NULL),
        callback,
        None if callback else column.default_data,
    )


def normal_of(column: ColumnDef, index: IndexDef) -> Normal:
    """Return how values of a column are made part of a key."""
    if column.coltyp in TEXT_TYPES:
        return Normal.UNICODE if column.code_page == UTF16 else Normal.TEXT
    if column.coltyp == Coltyp.GUID:
        return Normal.GUID_NET if index.flags & IndexFlag.DOT_NET_GUID else Normal.GUID
    if column.coltyp in (Coltyp.BINARY, *LONG_TYPES):
        return Normal.FIXED_BINARY if column.is_fixed else Normal.BINARY
    return _NORMAL.get(column.coltyp, Normal.BINARY)
