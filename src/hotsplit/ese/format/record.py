"""Records: which columns to decode, what the decoded pieces mean, and the way back.

`RecordPlan` prepares a set of columns for the ``record`` kernel, which decodes a leaf page in one
call. `encode_record` makes the record of given values.

Source: format specification 7.1 (layout), 7.3 (limits), 7.4 (defaults), 7.5 (tagged columns).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from hotsplit import _native
from hotsplit.ese.format.columns import (
    FIRST_VARIABLE,
    NUMBER_CODES,
    TEXT_TYPES,
    UTF16,
    Coltyp,
    ColumnDef,
    ColumnFlag,
    Scalar,
    Value,
    decode_value,
    encode_value,
    padded,
)
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.taggedcolumns import (
    Instance,
    TaggedField,
    build_fields,
    join_instances,
    old_instances,
    split_instances,
)

_kernel = _native.load("record")
_HEAD = struct.Struct("<BBH")
_NULL = 0x8000
_INTRINSIC_MOST = 0x7FFF  # no intrinsic value is larger, not even before it was compressed


def default_value(column: ColumnDef) -> Value:
    """Return the value of a column where a record has none (7.4); None without a default.

    A default that only a callback of the application can compute counts as none.
    """
    if column.default_data is None or column.flags & ColumnFlag.USER_DEFAULT:
        return None
    try:
        value = decode_value(column, column.default_data)
    except ValueError:
        return None
    return [value] if column.is_multi_valued and value is not None else value


class RecordPlan:
    """Columns of one table prepared for decoding, in the order of the values of a row."""

    def __init__(self, columns: Sequence[ColumnDef]) -> None:
        self.columns = list(columns)
        self.defaults = [default_value(column) for column in self.columns]
        self.plan = _kernel.Plan(list(map(_plan_column, self.columns, self.defaults)))

    def decode(self, record: bytes, large: bool, old: bool = False) -> tuple[list[Any], list[int]]:
        """Decode one record; see `decode_page` for the result."""
        row: tuple[list[Any], list[int]] = _kernel.decode_record(record, self.plan, large, old)
        return row

    def decode_page(
        self, page: bytes | bytearray | memoryview, keys: bool = False
    ) -> list[tuple[int, bytes | None, list[Any] | None, list[int]]]:
        """Return ``(node number, key, values, pending)`` of each live record of a leaf page.

        keys: decode bookmarks too; else they are None. values is None where the node is damaged.
        pending lists the places in values that hold a tuple for `instances` instead of a value.
        Raises ValueError when the page is no page.
        """
        rows: list[tuple[int, bytes | None, list[Any] | None, list[int]]] = _kernel.decode_page(
            page, self.plan, keys
        )
        return rows

    def instances(self, place: int, piece: tuple[int, bytes]) -> list[Instance] | None:
        """Return what a pending value holds: its instances, or None for null.

        Raises ValueError if the value is damaged.
        """
        header, data = piece
        if header == _kernel.DAMAGED:
            raise ValueError(data.decode())
        if header != _kernel.OLD_TAGGED:
            return split_instances(header, data)
        column = self.columns[place]
        return old_instances(data, column.id, column.derived)


def _plan_column(column: ColumnDef, default: Value) -> tuple[Any, ...]:
    kind, code, convert = _kernel.BINARY, "", None
    if column.coltyp in NUMBER_CODES:
        kind, code = _kernel.NUMBER, NUMBER_CODES[column.coltyp]
    elif column.coltyp == Coltyp.BIT:
        kind = _kernel.BIT
    elif column.coltyp in TEXT_TYPES:
        kind = {UTF16: _kernel.UTF16, 0: _kernel.ASCII, 1252: _kernel.ASCII}.get(
            column.code_page, _kernel.RAW
        )
    elif column.coltyp in (Coltyp.DATE_TIME, Coltyp.GUID):

        def convert(data: bytes) -> Scalar:
            return decode_value(column, data)

    listed = column.is_multi_valued
    return (
        kind,
        code,
        column.id,
        column.offset,
        column.stored_size,
        column.derived,
        listed,
        default,
        convert,
    )


def plain_instance(instance: Instance) -> bytes:
    """Return the bytes of an intrinsic value, decompressed if need be. Raises DataDamaged."""
    return decompress(instance.data, _INTRINSIC_MOST) if instance.compressed else instance.data


def encode_record(columns: Sequence[ColumnDef], values: Mapping[str, Value], large: bool) -> bytes:
    """Return the record of `values` by column name; long values intrinsic and not compressed.

    A column that is missing in `values` is left out, so a reader gives its default; None is an
    explicit null. large: for a page of 16 KB or more. Raises ValueError.
    """
    known = {column.name for column in columns}
    strangers = [name for name in values if name not in known]
    if strangers:
        raise ValueError(f"no such column: {', '.join(strangers)}")
    present = [column for column in columns if column.name in values]
    fixed = _encode_fixed(columns, values)
    array, area, last = bytearray(), bytearray(), FIRST_VARIABLE - 1
    for column in sorted((c for c in present if not c.is_fixed), key=lambda c: c.id):
        if column.is_tagged:
            continue
        value = values[column.name]
        array += struct.pack("<H", len(area) | _NULL) * (column.id - last - 1)
        last = column.id
        area += b"" if value is None else encode_value(column, _single(column, value))
        array += struct.pack("<H", len(area) | (_NULL if value is None else 0))
    tagged = [_tagged_field(c, values[c.name], large=large) for c in present if c.is_tagged]
    fixed_last, body = fixed
    head = _HEAD.pack(fixed_last, last, _HEAD.size + len(body))
    return head + body + bytes(array + area) + build_fields(tagged, large)


def _single(column: ColumnDef, value: Value) -> Scalar:
    if isinstance(value, list):
        raise ValueError(f"{column.name}: only a tagged column can have several values")
    return value


def _encode_fixed(columns: Sequence[ColumnDef], values: Mapping[str, Value]) -> tuple[int, bytes]:
    """Return (highest fixed id, fixed part with its null bitmap)."""
    fixed = sorted((c for c in columns if c.is_fixed), key=lambda c: c.id)
    used = [c.id for c in fixed if c.name in values]
    last = max(used, default=0)
    fixed = [c for c in fixed if c.id <= last]
    end = max((c.offset + c.stored_size for c in fixed), default=_HEAD.size)
    body = bytearray(end - _HEAD.size)
    bitmap = bytearray(b"\xff" * ((last + 7) // 8))
    for column in fixed:
        value = values.get(column.name, default_value(column))
        if value is None:
            continue
        data = encode_value(column, _single(column, value))
        if len(data) > column.stored_size:
            raise ValueError(f"{column.name}: value of {len(data)} bytes does not fit")
        at = column.offset - _HEAD.size
        body[at : at + column.stored_size] = padded(column, data)
        bitmap[(column.id - 1) // 8] &= ~(1 << (column.id - 1) % 8)
    return last, bytes(body + bitmap)


def _tagged_field(column: ColumnDef, value: Value, *, large: bool) -> TaggedField:
    if value is None:
        return TaggedField(column.id, column.derived, 0, None)
    several = value if isinstance(value, list) else [value]
    if not several:
        raise ValueError(f"{column.name}: an empty list is no value")
    pieces = [Instance(encode_value(column, one)) for one in several]
    header, data = join_instances(pieces, long=column.is_long, large=large)
    return TaggedField(column.id, column.derived, header, data)
