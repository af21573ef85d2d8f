"""Rows taken apart and put together: what each column of a record holds, as stored bytes.

Values become bytes and back by `hotsplit.ese.format`; here is what an update needs in between: the
pieces of a record that it does not touch stay as they are, separated long values included.

Source: format specification 7.1, 7.3 to 7.5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.basics import is_large
from hotsplit.ese.format.catalogschema import KeySegment, Segment
from hotsplit.ese.format.columns import (
    FIRST_VARIABLE,
    TEMPLATE_TAG,
    ColumnDef,
    Scalar,
    Value,
    decode_value,
    encode_value,
    padded,
    tag_of,
)
from hotsplit.ese.format.record import RecordPlan, plain_instance
from hotsplit.ese.format.taggedcolumns import (
    Instance,
    TaggedField,
    build_fields,
    join_instances,
    parse_fields,
    split_instances,
)

_HEAD = struct.Struct("<BBH")
_NULL = 0x8000


@dataclass
class Pieces:
    """A record taken apart: stored bytes by column id, None for NULL; no entry: not in the record.

    tagged: the values of each tagged column by its `tag`, None for an explicit NULL.
    """

    fixed: dict[int, bytes | None] = field(default_factory=dict)
    variable: dict[int, bytes | None] = field(default_factory=dict)
    tagged: dict[int, list[Instance] | None] = field(default_factory=dict)

    def set(self, column: ColumnDef, value: Value) -> None:
        """Set a column; a long value stands in the record itself, no values are NULL.

        Raises ValueError.
        """
        if column.is_tagged:
            if value is None or value == []:
                self.tagged[column.tag] = None if column.default_data is not None else []
                return
            several = value if isinstance(value, list) else [value]
            self.tagged[column.tag] = [Instance(encode_value(column, one)) for one in several]
            return
        if isinstance(value, list):
            raise ValueError(f"{column.name}: only a tagged column can have several values")
        data = None if value is None else encode_value(column, value)
        if column.is_fixed:
            self.fixed[column.id] = None if data is None else fixed(column, data)
        else:
            self.variable[column.id] = data

    def stored(self, column: ColumnDef) -> list[Instance] | None:
        """Return the values of a column as stored, None for NULL; the default where it has one."""
        if column.is_tagged:
            if column.tag in self.tagged:
                return self.tagged[column.tag] or None
        else:
            part = self.fixed if column.is_fixed else self.variable
            if column.id in part:
                data = part[column.id]
                return None if data is None else [Instance(data)]
        return None if column.default_data is None else [Instance(column.default_data)]


def fixed(column: ColumnDef, data: bytes) -> bytes:
    """Return the bytes of a fixed column at its full size. Raises ValueError."""
    if len(data) > column.stored_size:
        raise ValueError(f"{column.name}: a value of {len(data)} bytes does not fit")
    return padded(column, data)


class RowFormat:
    """The columns of a table, and records of them.

    columns: of the table, those of its template first where it has one, in order of their ids.
    """

    def __init__(self, columns: Sequence[ColumnDef], page_size: int) -> None:
        self.columns = sorted(columns, key=lambda c: (c.is_tagged and not c.derived, c.id))
        self.names = [column.name for column in self.columns]
        self.by_name = {column.name: column for column in self.columns}
        self.large = is_large(page_size)
        self._fixed = [c for c in self.columns if c.is_fixed]
        self._by_id = {c.id: c for c in self.columns if not c.is_tagged}
        self._by_tag = {c.tag: c for c in self.columns}
        self._plan = RecordPlan(self.columns)
        self._odd = [i for i, c in enumerate(self.columns) if not self._is_simple(i, c)]

    def _is_simple(self, place: int, column: ColumnDef) -> bool:
        """Tell whether the plan knows what the column is in a record that does not have it."""
        has_value = self._plan.defaults[place] is not None
        return column.default_data is None or (has_value and not column.is_multi_valued)

    def column_of(self, segment: Segment) -> ColumnDef:
        """Return the column of a part of a key. Raises KeyError.

        In a template all parts are marked as of a template; in old files none are.
        """
        derived = bool(segment.flags & KeySegment.TEMPLATE)
        found = self._by_tag.get(tag_of(segment.column_id, derived))
        return found or self._by_tag[tag_of(segment.column_id, not derived)]

    def with_tag(self, tag: int) -> ColumnDef | None:
        """Return the column of a tag, None if there is none."""
        return self._by_tag.get(tag)

    # Records

    def split(self, record: bytes) -> Pieces:
        """Take a record apart. Raises ValueError if it is damaged."""
        pieces = Pieces()
        fixed_last, var_last, var_start = _HEAD.unpack_from(record)
        bitmap = record[var_start - (fixed_last + 7) // 8 : var_start]
        for column in self._fixed:
            if column.id <= fixed_last:
                if _is_set(bitmap, column.id):
                    pieces.fixed[column.id] = None
                else:
                    end = column.offset + column.stored_size
                    pieces.fixed[column.id] = record[column.offset : end]
        count = max(0, var_last - FIRST_VARIABLE + 1)
        array = struct.unpack_from(f"<{count}H", record, var_start)
        data_start, end = var_start + 2 * count, 0
        for i, word in enumerate(array):
            start, end = end, word & ~_NULL
            data = record[data_start + start : data_start + end]
            pieces.variable[FIRST_VARIABLE + i] = None if word & _NULL else data
        for entry in parse_fields(record[data_start + end :], self.large):
            found = None if entry.data is None else split_instances(entry.header, entry.data)
            pieces.tagged[tag_of(entry.id, entry.derived)] = found
        return pieces

    def is_null(self, record: bytes, column: ColumnDef) -> bool:
        """Tell whether a fixed column that a record holds is NULL there."""
        fixed_last, _, var_start = _HEAD.unpack_from(record)
        return _is_set(record[var_start - (fixed_last + 7) // 8 : var_start], column.id)

    def join(self, pieces: Pieces) -> bytes:
        """Put a record together. Raises ValueError if it cannot hold its values."""
        fixed_last, body = self._join_fixed(pieces)
        array, area, last = bytearray(), bytearray(), FIRST_VARIABLE - 1
        for fid in sorted(pieces.variable):
            for gap in range(last + 1, fid):
                array += self._variable_gap(gap, area)
            data, last = pieces.variable[fid], fid
            area += data or b""
            array += struct.pack("<H", len(area) | (_NULL if data is None else 0))
        tagged = [self._tagged(tag, found) for tag, found in pieces.tagged.items() if found != []]
        head = _HEAD.pack(fixed_last, last, _HEAD.size + len(body))
        return head + body + bytes(array + area) + build_fields(tagged, self.large)

    def purge(self, pieces: Pieces) -> None:
        """Drop what a record holds of columns that were deleted."""
        for fid in [fid for fid in pieces.variable if fid not in self._by_id]:
            del pieces.variable[fid]
        for tag in [tag for tag in pieces.tagged if tag not in self._by_tag]:
            del pieces.tagged[tag]

    def _variable_gap(self, fid: int, area: bytearray) -> bytes:
        """A column in front of one that is there must be there, too: its default, or NULL."""
        column = self._by_id.get(fid)
        default = None if column is None else column.default_data
        area += default or b""
        return struct.pack("<H", len(area) | (_NULL if default is None else 0))

    def _join_fixed(self, pieces: Pieces) -> tuple[int, bytes]:
        last = max(pieces.fixed, default=0)
        columns = [c for c in self._fixed if c.id <= last]
        end = max((c.offset + c.stored_size for c in columns), default=_HEAD.size)
        body = bytearray(end - _HEAD.size)
        bitmap = bytearray(b"\xff" * ((last + 7) // 8))
        for column in columns:
            data = pieces.fixed.get(column.id, column.default_data)
            if data is None:
                continue
            at = column.offset - _HEAD.size
            body[at : at + column.stored_size] = fixed(column, data)
            bitmap[(column.id - 1) // 8] &= ~(1 << (column.id - 1) % 8)
        return last, bytes(body + bitmap)

    def _tagged(self, tag: int, found: list[Instance] | None) -> TaggedField:
        fid, derived = tag & ~TEMPLATE_TAG, bool(tag & TEMPLATE_TAG)
        if found is None:
            return TaggedField(fid, derived, 0, None)
        column = self._by_tag.get(tag)
        is_long = column is not None and column.is_long
        header, data = join_instances(found, long=is_long, large=self.large)
        return TaggedField(fid, derived, header, data)

    # Values

    def values(self, record: bytes, read: LongReader) -> list[Value]:
        """Return the values of a record, in the order of `columns`. read: see `value`.

        The kernel takes what is simple. Raises ValueError if the record is damaged.
        """
        values, pending = self._plan.decode(record, self.large)
        if pending or self._odd:
            pieces = self.split(record)
            for place in (*pending, *self._odd):
                column = self.columns[place]
                values[place] = self.value(column, pieces.stored(column), read)
        return values

    def value(self, column: ColumnDef, found: list[Instance] | None, read: LongReader) -> Value:
        """Return the value of a column. read: gives the bytes of a separated long value."""
        if not found:
            return None
        values: list[Scalar] = [decode_value(column, plain(one, read)) for one in found]
        return values if column.is_multi_valued or len(values) > 1 else values[0]


def _is_set(bitmap: bytes, fid: int) -> bool:
    return bool(bitmap[(fid - 1) // 8] >> ((fid - 1) % 8) & 1)


class LongReader:
    """Where separated long values come from; this one is for tables that have none."""

    def read(self, lid: bytes, most: int | None = None) -> bytes:
        """Return a long value by its id as records hold it, or its first `most` bytes.

        Raises DataDamaged (-1526) if there is no such value.
        """
        raise no_long_values()


def no_long_values() -> DataDamaged:
    """Return the error for a record that refers to a long value in a table that has none."""
    return DataDamaged("The table has no long values", jet=Jet.errLVCorrupted)


def plain(instance: Instance, read: LongReader, most: int | None = None) -> bytes:
    """Return the bytes of one value, wherever they are; of a separated one at most `most`."""
    if instance.separated:
        return read.read(instance.data, most)
    return plain_instance(instance)


def lids(pieces: Iterable[list[Instance] | None]) -> list[bytes]:
    """Return the ids of all separated long values."""
    return [one.data for found in pieces for one in found or () if one.separated]
