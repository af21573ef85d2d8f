"""Rows and remains of rows that are asked for: conditions, an index, limits, the other way round.

No index leads to what is not live any more, so where an order is asked for, live rows come in it
and the others after them, as they lie: deleted ones in primary order, then orphaned, then carved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotsplit.ese.format.columns import ColumnDef
from hotsplit.ese.read.cursor import Cursor, Key
from hotsplit.ese.read.labels import Label, State
from hotsplit.ese.read.pages import PageSet
from hotsplit.ese.read.remains import Remnant
from hotsplit.ese.read.rows import LabelledRow, leaf_records
from hotsplit.ese.read.where import Condition, meets, within

if TYPE_CHECKING:
    from hotsplit.ese.read.table import Table


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a table is asked for. index: None for the table's own order."""

    columns: list[ColumnDef]
    include: Collection[State] = ()
    tests: Sequence[Condition] = ()
    index: str | None = None
    start: Key = ()
    stop: Key = ()
    reverse: bool = False

    @property
    def is_ordered(self) -> bool:
        """True if rows are to come in another order than they lie in, or between limits."""
        return bool(self.index or self.start or self.stop or self.reverse)


def select(table: Table, asked: Selection) -> Iterator[LabelledRow]:
    """Yield the rows and remains that are asked for.

    Columns that conditions do not need are read of rows that meet them only. Raises HotsplitError
    if the tree's root cannot be read, and as `Cursor.range`.
    """
    cursor = table.cursor(asked.index, [])
    page_size = table.tree().pages.page_size
    tested = [test.column for test in asked.tests]
    first = table.reader([*tested, *cursor.key_columns]) if tested or asked.is_ordered else None
    reader = table.reader(asked.columns)
    for found in _records(table, cursor, asked):
        if first is not None:
            values = first.row(found, page_size, quiet=True).values
            keys = values[len(tested) :]
            if not meets(values[: len(tested)], asked.tests):
                continue
            if found.label != Label.LIVE and not within(keys, asked.start, asked.stop):
                continue
        yield reader.row(found, page_size)


def _records(table: Table, cursor: Cursor, asked: Selection) -> Iterator[Remnant]:
    """Yield the live records in the order asked for, and after or among them the others."""
    others = {State.DELETED, State.ORPHANED, State.CARVED} & set(asked.include)
    if asked.is_ordered:
        yield from cursor.records(asked.start, asked.stop, reverse=asked.reverse)
        if not others:
            return
    visited = PageSet()
    for found in leaf_records(table.tree(), deleted=State.DELETED in others):
        visited.add(found.page)
        if found.label != Label.LIVE or not asked.is_ordered:
            yield found
    yield from table.remains(visited, asked.include)
