"""Batches of columns back to rows of Python values, to compare with the other way of reading."""

from __future__ import annotations

import itertools
import struct
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from hotsplit.ese.format.columns import NUMBER_CODES, TEXT_TYPES, Coltyp, ColumnDef, DateTime
from hotsplit.ese.read.batch import Batch, Buffers


def rows_of(batch: Batch) -> Iterator[list[Any]]:
    """Yield the rows of a batch as `Table.values` gives them, but text that is no text."""
    columns = [
        column_values(column, buffers, batch.rows)
        for column, buffers in zip(batch.columns, batch.buffers, strict=True)
    ]
    return map(list, zip(*columns, strict=True)) if columns else iter([[]] * batch.rows)


def column_values(column: ColumnDef, buffers: Buffers | None, rows: int) -> list[Any]:
    """The values of one column, a list a row if the column has several."""
    if buffers is None:
        return [None] * rows
    elements = _elements(column, buffers)
    if buffers.row_offsets is None:
        assert len(elements) == rows
        return elements
    ends = struct.unpack(f"<{rows + 1}i", buffers.row_offsets)
    lists = [elements[a:b] for a, b in itertools.pairwise(ends)]
    valid = _flags(buffers.row_validity, rows)
    found = [one if flag else None for one, flag in zip(lists, valid, strict=True)]
    if column.is_multi_valued:
        return found
    return [one[0] if one is not None and len(one) == 1 else one for one in found]


def _flags(validity: bytes | None, count: int) -> list[bool]:
    if validity is None:
        return [True] * count
    assert len(validity) == (count + 7) // 8
    return [bool(validity[i >> 3] >> (i & 7) & 1) for i in range(count)]


def _elements(column: ColumnDef, buffers: Buffers) -> list[Any]:
    count = buffers.length
    valid = _flags(buffers.validity, count)
    if column.coltyp == Coltyp.BIT:
        return [
            bit if ok else None for bit, ok in zip(_flags(buffers.data, count), valid, strict=True)
        ]
    pieces = _pieces(buffers, count)
    return [_value(column, p) if ok else None for p, ok in zip(pieces, valid, strict=True)]


def _pieces(buffers: Buffers, count: int) -> Sequence[bytes]:
    if buffers.offsets is None:
        size = len(buffers.data) // max(1, count)
        assert size * count == len(buffers.data)
        return [buffers.data[i * size : (i + 1) * size] for i in range(count)]
    ends = struct.unpack(f"<{count + 1}i", buffers.offsets)
    assert ends[0] == 0
    assert ends[-1] == len(buffers.data)
    return [buffers.data[a:b] for a, b in itertools.pairwise(ends)]


def _value(column: ColumnDef, data: bytes) -> Any:
    if column.coltyp in NUMBER_CODES:
        return struct.unpack("<" + NUMBER_CODES[column.coltyp], data)[0]
    if column.coltyp == Coltyp.DATE_TIME:
        return DateTime(data)
    if column.coltyp == Coltyp.GUID:
        return uuid.UUID(bytes=data)
    return data.decode() if column.coltyp in TEXT_TYPES else data
