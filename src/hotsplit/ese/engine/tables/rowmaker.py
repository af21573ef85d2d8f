"""Plain rows made fast: records and keys of new rows, by a plan that is compiled once a table.

Keys that are searched for are made by such a plan, too.

What is not plain (several values, values that are too long to stay in the record) goes the general
way (`rows`, `indexing`), which makes the same bytes; a test compares them.

Source: format specification 7.1, 10.1 to 10.3.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hotsplit import _native
from hotsplit._native import pack_py as plan
from hotsplit.ese.check.rowplan import Normal, normal_of
from hotsplit.ese.format import keys
from hotsplit.ese.format.catalogschema import IndexFlag
from hotsplit.ese.format.columns import (
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

if TYPE_CHECKING:
    from hotsplit.ese.engine.tables.indexing import KeyMaker
    from hotsplit.ese.engine.tables.rows import RowFormat

_kernel = _native.load("pack")
_WIDE = 1 << 16
_KEY_MOST = 2000
_RECORD_MOST = 32768
_ASCII_PAGES = (0, 1252, 20127, 65001)
"""Code pages in which ASCII text has the bytes that it has in ASCII, for certain."""

_RULES = {
    IndexFlag.ALLOW_ALL_NULLS: plan.ALL_NULL,
    IndexFlag.ALLOW_FIRST_NULL: plan.FIRST_NULL,
    IndexFlag.ALLOW_SOME_NULLS: plan.SOME_NULL,
    IndexFlag.NO_NULL_SEGMENTS: plan.NO_NULL,
}
INTRINSIC_MOST = plan.INTRINSIC_MOST
_KINDS = {
    Coltyp.BIT: plan.BIT,
    Coltyp.UNSIGNED_BYTE: plan.UNSIGNED,
    Coltyp.SHORT: plan.SIGNED,
    Coltyp.LONG: plan.SIGNED,
    Coltyp.CURRENCY: plan.SIGNED,
    Coltyp.IEEE_SINGLE: plan.SINGLE,
    Coltyp.IEEE_DOUBLE: plan.DOUBLE,
    Coltyp.UNSIGNED_LONG: plan.UNSIGNED,
    Coltyp.LONG_LONG: plan.SIGNED,
    Coltyp.UNSIGNED_SHORT: plan.UNSIGNED,
    Coltyp.UNSIGNED_LONG_LONG: plan.UNSIGNED,
}


PlainRow = tuple[bytes, list[bytes | None]]
"""A row ready to be stored: its record and its key in each index, None without an entry."""


class RowMaker:
    """Plain rows of one table. makers: its indexes. most: bytes of a record.

    usable: rows of the table can be plain at all.
    """

    def __init__(self, rows: RowFormat, makers: Sequence[KeyMaker], most: int) -> None:
        numbers = {column.id: i for i, column in enumerate(rows.columns)}
        planned = [_plan_key(maker, numbers) for maker in makers]
        inherited = any(column.derived and column.is_tagged for column in rows.columns)
        self.usable = all(planned) and not inherited
        if self.usable:
            columns = [_plan_column(column) for column in rows.columns]
            self._packer = _kernel.Packer(columns, planned, large=rows.large, most=most)

    def make(self, values: Mapping[str, Value]) -> PlainRow | None:
        """Return the row of these values, None if it is not a plain one or not right."""
        made: PlainRow | None
        made = self._packer.make(values if type(values) is dict else dict(values))
        return made

    def pack(
        self,
        rows: Sequence[Any],
        first: int,
        names: tuple[str, ...] | None,
        records: list[bytes],
        made: Sequence[list[bytes | None]],
    ) -> int:
        """Append what rows from number `first` on are stored as; see `pack_py.Packer.pack`."""
        done: int = self._packer.pack(rows, first, names, records, made)
        return done


class SearchKeys:
    """Whole keys of one index, made fast of the values that are searched for, by any thread."""

    def __init__(self, maker: KeyMaker) -> None:
        columns = sorted({column for column, _ in maker.segments}, key=lambda c: c.id)
        key = _plan_key(maker, {column.id: i for i, column in enumerate(columns)})
        self._names = tuple(column.name for column, _ in maker.segments)
        self._packer, self._lock = None, threading.Lock()  # a packer packs one row at a time
        is_simple = all(map(_has_one_form, columns)) and len(columns) == len(self._names)
        if key is not None and is_simple:
            planned = [_plan_column(c)._replace(required=False) for c in columns]
            key = key._replace(nulls=plan.ALL_NULL | plan.FIRST_NULL | plan.SOME_NULL)
            self._packer = _kernel.Packer(planned, [key], large=True, most=_RECORD_MOST)

    def make(self, values: tuple[Value, ...]) -> bytes | None:
        """Return the key, None if it is not a plain one or not right."""
        if self._packer is None or len(values) != len(self._names):
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            made = self._packer.make(dict(zip(self._names, values, strict=True)))
        finally:
            self._lock.release()
        found: bytes | None = None if made is None else made[1][0]
        return found


def _has_one_form(column: ColumnDef) -> bool:
    """Tell whether a key has of each value what a record has: texts may be filled up there."""
    return not column.derived and (bool(type_size(column.coltyp)) or not column.is_fixed)


def _plan_column(column: ColumnDef) -> plan.Column:
    is_ansi = column.coltyp in TEXT_TYPES and column.code_page != UTF16
    return plan.Column(
        column.name,
        column.id,
        _kind(column),
        column.stored_size if column.is_fixed else column.size,
        column.offset if column.is_fixed else 0,
        ord(" ") if is_ansi else 0,
        bool(column.flags & ColumnFlag.NOT_NULL),
        column.is_long,
        column.default_data,
        _encoder(column),
    )


def _kind(column: ColumnDef) -> int:
    if column.is_long and column.size:
        return plan.ENCODED
    if column.coltyp in TEXT_TYPES:
        if column.code_page == UTF16:  # a fixed one is filled up with blanks of two bytes
            return plan.ENCODED if column.is_fixed else plan.WIDE_TEXT
        return plan.TEXT if column.code_page in _ASCII_PAGES else plan.ENCODED
    if column.coltyp in (Coltyp.BINARY, Coltyp.LONG_BINARY):
        return plan.BYTES
    return _KINDS.get(Coltyp(column.coltyp), plan.ENCODED) if column.is_fixed else plan.ENCODED


def _encoder(column: ColumnDef) -> Callable[[Value], bytes]:
    def encode(value: Value) -> bytes:
        if isinstance(value, list):
            raise ValueError
        data = encode_value(column, value)
        if column.is_long and len(data) > (column.size or len(data)):
            raise ValueError
        return padded(column, data) if column.is_fixed else data

    return encode


def _plan_key(maker: KeyMaker, numbers: dict[int, int]) -> plan.Key | None:
    """Return how to make the keys of an index, None if they take more than this."""
    if not maker.is_plain or maker.most > _KEY_MOST:
        return None
    parts = []
    for column, descending in maker.segments:
        normal = normal_of(column, maker.index)
        known = column.is_fixed or normal in (Normal.BINARY, Normal.TEXT)
        known = known and normal != Normal.UNICODE
        known = known and (maker.index.var_segment_most or _WIDE) >= maker.most
        make = None if known else _segment(column, descending, maker)
        size = column.stored_size if column.is_fixed else 0
        parts.append(plan.KeyPart(numbers[column.id], size, int(normal), descending, make))
    flags = maker.index.flags
    rules = plan.NEEDED if maker.index.is_primary else 0
    rules |= sum(bit for flag, bit in _RULES.items() if flags & flag)
    return plan.Key(parts, maker.most, rules, bool(flags & IndexFlag.SORT_NULLS_HIGH))


def _segment(column: ColumnDef, descending: bool, maker: KeyMaker) -> Callable[[bytes], bytes]:
    is_wide = column.coltyp in TEXT_TYPES and column.code_page == UTF16

    def segment(data: bytes) -> bytes:
        if is_wide and len(data) > maker.most:  # how much of it counts is for `record_key`
            raise ValueError
        part = keys.segment(column, data, maker.index, _WIDE)
        return keys.descending(part) if descending else part

    return segment
