"""Filling a new index with the rows that are there: collected, sorted, entered in order.

The lock is taken for some rows at a time: others read meanwhile, and write to other tables. To this
table nobody else can write before the index is committed (`TableState.writable_by`).

Source: format specification 10.1, 10.5.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hotsplit.ese.engine.trees.bulk import insert_sorted
from hotsplit.ese.format.page import Node
from hotsplit.ese.rebuild.sorting import EntrySorter

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.table import Table
    from hotsplit.ese.engine.tables.tablestate import SecondaryIndex

_RUN = 16 << 20  # bytes of entries that are sorted in memory
_BATCH = 1000


def fill_index(session: Session, table: Table, index: SecondaryIndex, since: int) -> None:
    """Enter all rows of a table into an index. Raises KeyDuplicate, InvalidUse.

    since: number of versions that the transaction had as the statement began.
    """
    settings, tree = session.context.settings, index.tree
    number = f"{tree.database.dbid}-{tree.objid}"
    path = f"{settings.temp_path}/{settings.base}.hotsplit-sort{number}"
    sorter = EntrySorter(session.context.env, path, _RUN)
    nodes = sorter.sorted(_entries(session, table, index))
    while batch := list(itertools.islice(nodes, _BATCH)):
        keys, marks = [node.key for node in batch], [node.data for node in batch]
        with session.context.lock:
            session.context.check()
            insert_sorted(index.tree, session, keys, marks, since)
            session.context.safe_point()


def _entries(session: Session, table: Table, index: SecondaryIndex) -> Iterator[Node]:
    """Yield the entries of all rows that the session sees."""
    state = table.state
    mark, inclusive = b"", True
    while True:
        with session.context.lock:
            session.context.check()
            found = state.tree.entries_after(session, (mark, b""), inclusive=inclusive)
            made = [
                Node(entry, key)
                for key, record in found
                for entry in index.keys.keys(state.rows.split(record), table.reader)
            ]
            session.context.safe_point()  # so that the pages read do not outgrow the cache
        if not found:
            return
        yield from made
        mark, inclusive = found[-1][0], False
