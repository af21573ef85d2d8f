"""Batches of columns back to rows of Python values, to compare with the other way of reading."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Any

from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.read.batch import Batch, Buffers, element_values


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
    elements = element_values(column, buffers)
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
