"""Batches of columns back to rows of Python values, to compare with the other way of reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hotsplit.ese.read.batch import Batch
from hotsplit.ese.read.table import Table


def rows_of(batch: Batch) -> Iterator[list[Any]]:
    """Yield the rows of a batch, and check that its buffers have the sizes they must have."""
    for found in batch.buffers:
        if found is None:
            continue
        assert found.validity is None or len(found.validity) == (found.length + 7) // 8
        assert found.offsets is None or len(found.offsets) == 4 * (found.length + 1)
        rows = found.length if found.row_offsets is None else len(found.row_offsets) // 4 - 1
        assert rows == batch.rows
    return batch.values()


def record_rows(table: Table) -> Iterator[list[Any]]:
    """Yield the live rows decoded one record at a time, without batches."""
    return (row.values for row in table.labelled())
