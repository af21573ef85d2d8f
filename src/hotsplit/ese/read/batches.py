"""Reading a table in batches of columns.

Memory stays bounded whatever the table holds: a batch ends after so many rows, or when its values
have so many bytes, long values included. Only a single row that is larger makes a larger batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hotsplit import _native
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.read.batch import Batch, kernel_column
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.resolve import Resolver
from hotsplit.ese.read.sweep import Sweep
from hotsplit.report import Reporter

_kernel = _native.load("batch")

BATCH_ROWS = 65536
_VALUE_BYTES = 1 << 24
_FIXED_BYTES = 1 << 25
_PENDING = 4096


def row_limit(columns: Sequence[ColumnDef], size: int) -> int:
    """Return how many rows a batch may have: `size`, fewer for tables with very many columns."""
    footprint = sum(column.stored_size or 4 for column in columns) + len(columns) // 8 + 8
    return max(1, min(size, _FIXED_BYTES // footprint))


def read_batches(
    tree: BTree,
    columns: list[ColumnDef],
    *,
    long_values: Callable[[], LongValues],
    reporter: Reporter,
    size: int = BATCH_ROWS,
    keys: bool = False,
    deleted: bool = False,
    reverse: bool = False,
) -> Iterator[Batch]:
    """Yield the rows of a tree in batches of at most `size` rows.

    keys: bookmarks too. deleted: rows flagged as deleted too. Damage is reported and left out.
    Raises a HotsplitError if the tree's root cannot be read.
    """
    builder = _kernel.Builder(
        list(map(kernel_column, columns)),
        tree.pages.page_size,
        keys=keys,
        deleted=deleted,
        most_rows=row_limit(columns, size),
        most_bytes=_VALUE_BYTES,
        most_pending=_PENDING,
    )
    sweep = Sweep(tree, builder, reverse=reverse)
    resolver = Resolver(columns, tree.name, long_values, reporter, _VALUE_BYTES)
    more = True
    while more:
        more = sweep.advance()
        is_cut = builder.pending_count and not _complete(builder, resolver, sweep)
        if builder.rows and (is_cut or builder.is_full or resolver.is_full or not more):
            yield Batch.finish(builder, columns)
            resolver.restart()
        more = more or bool(is_cut)


def _complete(builder: Any, resolver: Resolver, sweep: Sweep) -> bool:
    """Fill in what is pending. False: the batch was cut where its long values became too many."""
    fit = resolver.resolve(builder)
    if fit == builder.rows:
        return True
    sweep.go_back(fit)
    resolver.resolve(builder)
    return False
