"""Plain rows made fast: record and keys of a new row, by a plan that is compiled once a table.

A row is plain if no column takes a default and none has several values or one that is too long to
stay in the record. All others go the general way (`rows`, `indexing`), which makes the same bytes;
a test compares them.

Source: format specification 7.1, 10.1 to 10.3.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hotsplit.ese.engine.indexing import KeyMaker
from hotsplit.ese.engine.rows import RowFormat, padded
from hotsplit.ese.format import keys
from hotsplit.ese.format.columns import (
    FIRST_VARIABLE,
    NUMBER_CODES,
    Coltyp,
    ColumnDef,
    Value,
    encode_value,
)
from hotsplit.ese.format.taggedcolumns import Instance, TaggedField, build_fields, join_instances

_HEAD = struct.Struct("<BBH")
_NULL = 0x8000
_WIDE = 1 << 16
INTRINSIC_MOST = 1023
"""Bytes: a longer value never stays in its record."""

Convert = Callable[[Value], object]
Segment = Callable[[bytes], bytes]


class PlainRow(NamedTuple):
    """A row ready to be stored: its record and its key in each index, the primary one first."""

    record: bytes
    keys: list[bytes]


class _Fixed(NamedTuple):
    names: tuple[str, ...]
    pack: struct.Struct
    converts: tuple[tuple[int, Convert], ...]
    bitmap: bytes


class RowMaker:
    """Plain rows of one table. makers: its indexes, the primary one first."""

    def __init__(self, rows: RowFormat, makers: Sequence[KeyMaker]) -> None:
        self._fixed = _plan_fixed(rows)
        variable = [c for c in rows.columns if not c.is_fixed and not c.is_tagged]
        self._variable = [(c.name, c.size, _encoder(c)) for c in variable]
        tagged = [c for c in rows.columns if c.is_tagged and not _is_special(c)]
        self._tagged = [(c, _encoder(c)) for c in tagged]
        self._large = rows.large
        self._array = struct.Struct(f"<{len(variable)}H")
        self._count = len(self._fixed.names) + len(variable)
        fixed_end = _HEAD.size + self._fixed.pack.size + len(self._fixed.bitmap)
        last = FIRST_VARIABLE - 1 + len(variable)
        self._head = _HEAD.pack(len(self._fixed.names), last, fixed_end)
        self._keys = [_plan_key(maker) for maker in makers]
        holes = [c.id for c in variable] != list(range(FIRST_VARIABLE, last + 1))
        self.usable = not holes and self._fixed.pack.size > 0 and all(self._keys)

    def make(self, values: Mapping[str, Value]) -> PlainRow | None:
        """Return the row of these values, None if it is not a plain one or not right."""
        stored: dict[str, bytes] = {}
        try:
            tagged = self._tagged_part(values) if len(values) != self._count else b""
            if tagged is None:
                return None
            numbers = [values[name] for name in self._fixed.names]
            for place, convert in self._fixed.converts:
                numbers[place] = convert(numbers[place])  # type: ignore[call-overload]
            fixed = self._fixed.pack.pack(*numbers)
            area, ends = b"", []
            for name, size, encode in self._variable:
                value = values[name]
                if value is None:
                    ends.append(len(area) | _NULL)
                    continue
                data = stored[name] = encode(value)
                if len(data) > size:
                    return None
                area += data
                ends.append(len(area))
            made = [self._key(plan, fixed, stored) for plan in self._keys]
        except (KeyError, ValueError, TypeError, struct.error, OverflowError, AttributeError):
            return None  # the general way says what is wrong
        if None in made:
            return None
        head = self._head, fixed, self._fixed.bitmap, self._array.pack(*ends)
        return PlainRow(b"".join((*head, area, tagged)), made)  # type: ignore[arg-type]

    def _tagged_part(self, values: Mapping[str, Value]) -> bytes | None:
        """Return the tagged columns of a record, None where that is not plain."""
        count, fields = self._count, []
        for column, encode in self._tagged:
            if column.name not in values:
                continue
            count += 1
            value = values[column.name]
            if value is None:
                continue
            data = encode(value)
            if len(data) > (INTRINSIC_MOST if column.is_long else column.size or INTRINSIC_MOST):
                return None
            header, data = join_instances([Instance(data)], column.is_long)
            fields.append(TaggedField(column.id, False, header, data))
        return build_fields(fields, self._large) if count == len(values) else None

    @staticmethod
    def _key(plan: list[_Part] | None, fixed: bytes, stored: dict[str, bytes]) -> bytes | None:
        key = b""
        assert plan is not None
        for part in plan:
            data = stored[part.name] if part.stop == 0 else fixed[part.start : part.stop]
            if not data:
                return None
            key += part.segment(data)
        return key if len(key) <= plan[0].most else None


def _is_special(column: ColumnDef) -> bool:
    return column.is_multi_valued or column.default_data is not None


class _Part(NamedTuple):
    """One column of a key: its place in the fixed part, or its name if it is variable (stop 0)."""

    name: str
    start: int
    stop: int
    segment: Segment
    most: int


def _plan_fixed(rows: RowFormat) -> _Fixed:
    columns = [c for c in rows.columns if c.is_fixed]
    code, converts, offset = "<", [], _HEAD.size
    for place, column in enumerate(columns):
        if column.id != place + 1 or column.offset != offset:
            return _Fixed((), struct.Struct("<"), (), b"")
        if column.coltyp in NUMBER_CODES:
            code += NUMBER_CODES[column.coltyp]
        else:
            code += f"{column.stored_size}s"
            converts.append((place, _fixed_encoder(column)))
        offset += column.stored_size
    bits = 8 * ((len(columns) + 7) // 8)
    unused = ((1 << bits) - 1) & ~((1 << len(columns)) - 1)
    bitmap = unused.to_bytes(bits // 8, "little")
    names = tuple(c.name for c in columns)
    return _Fixed(names, struct.Struct(code), tuple(converts), bitmap)


def _fixed_encoder(column: ColumnDef) -> Convert:
    if column.coltyp == Coltyp.BIT:
        return {True: b"\xff", False: b"\0"}.__getitem__  # type: ignore[return-value]

    def encode(value: Value) -> bytes:
        if value is None or isinstance(value, list):
            raise ValueError
        return padded(column, encode_value(column, value))

    return encode


def _encoder(column: ColumnDef) -> Callable[[Value], bytes]:
    def encode(value: Value) -> bytes:
        if isinstance(value, list):
            raise ValueError
        return encode_value(column, value)

    return encode


def _plan_key(maker: KeyMaker) -> list[_Part] | None:
    """Return how to make the keys of an index, None if they take more than this."""
    plan = []
    for column, descending in maker.segments:
        if column.is_tagged or column.is_multi_valued or not maker.is_plain:
            return None
        stop = column.offset + column.stored_size if column.is_fixed else 0
        start = column.offset - _HEAD.size if column.is_fixed else 0
        segment = _segment(column, descending, maker)
        stop = stop - _HEAD.size if stop else 0
        plan.append(_Part(column.name, start, stop, segment, maker.most))
    return plan


def _segment(column: ColumnDef, descending: bool, maker: KeyMaker) -> Segment:
    index = maker.index
    if column.coltyp in (Coltyp.LONG, Coltyp.SHORT, Coltyp.LONG_LONG) and not descending:
        return lambda data: bytes((0x7F, data[-1] ^ 0x80)) + data[-2::-1]

    def segment(data: bytes) -> bytes:
        part = keys.segment(column, data, index, _WIDE)
        return keys.descending(part) if descending else part

    return segment
