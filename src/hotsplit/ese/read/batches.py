"""Reading a table in batches of columns.

Memory stays bounded whatever the table holds: a batch ends after so many rows, or when its values
have so many bytes, long values included. Only a single row that is larger makes a larger batch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from hotsplit import _native
from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.read.batch import Batch, kernel_column
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import PageSet
from hotsplit.ese.read.parts import LeafRange
from hotsplit.ese.read.remains import Remnant
from hotsplit.ese.read.resolve import LongSource, Resolver
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


class Feed(Protocol):
    """What rows are taken from."""

    def advance(self) -> bool:
        """Give the builder rows until it must stop; False when there are no more."""
        ...

    def go_back(self, row: int) -> None:
        """Forget row `row` of the builder and all after it; `advance` gives them again."""
        ...


class BatchReader:
    """Makes batches of the rows of one table.

    name: of the table, for findings. columns: those wanted. size: most rows of a batch. most_bytes:
    of its values, a usual number if None. keys: bookmarks too. deleted: rows flagged as deleted
    too. exact: with the bytes of text that is none. builder: the kernel's, for feeds. Damage is
    reported and left out.
    """

    def __init__(
        self,
        name: str,
        page_size: int,
        columns: list[ColumnDef],
        *,
        long_values: Callable[[], LongSource],
        reporter: Reporter,
        size: int = BATCH_ROWS,
        most_bytes: int | None = None,
        keys: bool = False,
        deleted: bool = False,
        exact: bool = False,
    ) -> None:
        most_bytes = most_bytes or _VALUE_BYTES
        self.visited = PageSet()
        self._columns = columns
        self.builder = _kernel.Builder(
            list(map(kernel_column, columns)),
            page_size,
            keys=keys,
            deleted=deleted,
            most_rows=row_limit(columns, size),
            most_bytes=most_bytes,
            most_pending=_PENDING,
        )
        self._resolver = Resolver(columns, name, long_values, reporter, most_bytes, exact=exact)

    def sweep(
        self, tree: BTree, *, reverse: bool = False, part: LeafRange | None = None
    ) -> Iterator[Batch]:
        """Yield the rows of the tree, in key order or against it; or of a part of it, in order.

        Raises a HotsplitError if the tree's root cannot be read, and as `Sweep`.
        """
        sweep = Sweep(tree, self.builder, reverse=reverse, part=part)
        self.visited = sweep.visited
        yield from self.batches(sweep)

    def remains(self, found: Iterable[Remnant]) -> Iterator[Batch]:
        """Yield records that were found outside the tree; they have no bookmarks."""
        yield from self.batches(_Handing(found, self.builder))

    def batches(self, feed: Feed) -> Iterator[Batch]:
        """Yield the rows that a feed gives the builder."""
        builder, more = self.builder, True
        while more:
            more = feed.advance()
            is_cut = builder.pending_count and not self._complete(feed)
            full = builder.is_full or self._resolver.is_full
            if builder.rows and (is_cut or full or not more):
                yield Batch.finish(builder, self._columns, self._resolver.restart())
            more = more or bool(is_cut)

    def _complete(self, feed: Feed) -> bool:
        """Fill in what is pending. False: the batch was cut as its long values became too many."""
        fit = self._resolver.resolve(self.builder)
        if fit == self.builder.rows:
            return True
        feed.go_back(fit)
        self._resolver.resolve(self.builder)
        return False


class _Handing:
    """Hands records to a builder one by one."""

    def __init__(self, found: Iterable[Remnant], builder: Any) -> None:
        self._found, self._builder = iter(found), builder
        self._given: list[Remnant] = []  # those in the builder

    def advance(self) -> bool:
        """See `Feed`."""
        builder = self._builder
        if not builder.rows:
            self._given = []
        while not builder.is_full and builder.pending_count < _PENDING:
            found = next(self._found, None)
            if found is None:
                return False
            builder.add_record(
                found.record, found.page, found.node, int(found.label), old=found.old
            )
            self._given.append(found)
        return True

    def go_back(self, row: int) -> None:
        """See `Feed`."""
        again = self._given[row:]
        del self._given[row:]
        self._builder.truncate(row, bytearray(1))
        self._found = itertools.chain(again, self._found)
