"""Repair of a secondary index: taken over, made anew from the rows, or left out.

Source: format specification 10.5 (index entries).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from hotsplit.ese.check.rowplan import Compare, TableShape, compare_loosely, is_unicode
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.format.catalogschema import IndexDef, IndexFlag
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.rebuild.builder import Batch, TreeContent
from hotsplit.ese.rebuild.losses import TreeLoss
from hotsplit.ese.rebuild.recordmender import ALL_TAGGED, ALL_VARIABLE
from hotsplit.ese.rebuild.rowfacts import EntryMaker, EntryRuns, can_make
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.sorting import begun, first_of_each
from hotsplit.ese.rebuild.walk import TreeName
from hotsplit.ese.rebuild.workshop import Workshop

_SAMPLE = 40  # entries
_NO_NULLS = int(IndexFlag.NO_NULL_SEGMENTS)


@dataclass
class NewTable:
    """A table whose rows and long values are written already.

    values: gives its long values. loss: what happened to its rows. damaged: rows or long values are
    not simply what they were; stale: its pages were of different times. changed: ids of columns
    that lost values; values_lost: long values are not whole.
    """

    rows: TreeName
    root: int
    shape: TableShape | None
    values: RowValues
    loss: TreeLoss
    damaged: bool
    stale: bool
    changed: set[int] = field(default_factory=set)
    values_lost: bool = False

    def index(self, tree: TreeName) -> IndexDef | None:
        """Return the definition of an index."""
        indexes = self.shape.table.indexes if self.shape is not None else []
        return next((index for index in indexes if index.objid == tree.objid), None)

    def has_other_keys(self, index: IndexDef | None) -> bool:
        """True if keys of an index may come from values that the rows do not have."""
        if self.stale:
            return True
        if index is None or self.shape is None:
            return self.values_lost or bool(self.changed)
        found = [self.shape.column(segment) for segment in index.key]
        return any(
            column is None
            or (self.values_lost and column[0].is_long)
            or column[0].id in self.changed
            or (column[0].is_tagged and ALL_TAGGED in self.changed)
            or (not column[0].is_fixed and ALL_VARIABLE in self.changed)
            for column in found
        )


class IndexRepair:
    """One index of a new table."""

    def __init__(self, shop: Workshop, table: NewTable, tree: TreeName) -> None:
        self._shop, self._table, self._tree = shop, table, tree
        self._index = table.index(tree)
        unique = self._index is not None and self._index.is_unique
        kind = PageFlag.INDEX | (0 if unique else PageFlag.NON_UNIQUE)
        self._old = shop.salvage(tree, kind)

    def run(self) -> None:
        """Write the index. Raises what writing raises."""
        shop, table, tree, old = self._shop, self._table, self._tree, self._old
        checked = shop.is_checked(tree)
        sound = not old.damaged and not shop.faults(tree)
        if sound and checked and not table.damaged:
            self._write(old.batches())
            return
        loss = TreeLoss.of(old)
        if sound and table.loss.lost != 0 and not table.loss.lost_keys:
            self._name_lost_rows()
        made = self._made(at_once=not sound)
        if made is not None:
            loss.action = "made anew from the rows"
            self._rebuild(made)
        elif sound and not table.has_other_keys(self._index) and (checked or self._is_complete()):
            loss.action = "entries of lost rows left out"
            self._write(self._filtered(old))
        else:
            loss.action = "left out: its keys cannot be made anew"
            shop.builder.omitted.trees.add(tree.objid)
            shop.result.left_out.append(tree.text)
        if not sound:
            shop.result.trees.append(loss)

    def _write(self, batches: Iterable[Batch]) -> None:
        content = TreeContent(self._old.kind, batches)
        self._shop.builder.write_child(self._table.root, self._tree, content)

    def _rows(self) -> Iterator[Batch]:
        return self._shop.new_rows(self._table.root, self._table.rows)

    def _name_lost_rows(self) -> None:
        """Take down the keys that this index has of rows that are gone."""
        entries = (node.data for _, nodes in self._old.batches() for node in nodes)
        rows = (node.key for _, nodes in self._rows() for node in nodes)
        loss, count = self._table.loss, 0
        for key in self._shop.without(entries, rows):
            loss.add_lost_key(key)
            count += 1
        loss.lost = max(loss.lost or 0, count)

    # From the rows

    def _runs(self, compare: Compare | None = None) -> EntryRuns | None:
        """Return what makes the entries of all rows, None if the index is not defined any more.

        compare: how it only tells which rows have entries, None to make them.
        """
        if self._table.shape is None or self._index is None:
            return None
        size = self._shop.builder.database.page_size
        try:
            return EntryRuns(self._table.shape, self._index, size, self._table.values, compare)
        except ValueError:
            return None

    def _entries(self, runs: EntryRuns) -> Iterator[Node]:
        """Yield the entries of all rows, in order."""
        leaves = self._shop.new_leaves(self._table.root, self._table.rows)
        return self._shop.sorter().merged(runs.runs(leaves))

    def _made(self, *, at_once: bool) -> Iterator[Node] | None:
        """Return the entries that the rows make, in order; None if they cannot be made.

        at_once: some entries are better than none, but for those of Unicode text: if the keys of
        some rows are not known here nobody would find these by an index that others are in.
        """
        runs, shape, index = self._runs(), self._table.shape, self._index
        if index is not None and index.flags & _NO_NULLS and self._lacks_entries():
            return None  # those would be of rows that it cannot have
        if runs is None or shape is None or index is None or not can_make(shape, index):
            return None
        if is_unicode(shape, index) and not self._sorts_as_known(shape, index):
            return None
        nodes = begun(self._entries(runs))
        if runs.failed and (not at_once or is_unicode(shape, index)):
            return None
        if runs.failed:
            self._shop.result.notes.append(
                f"{self._tree.text}: the entries of {runs.failed} rows could not be made"
            )
        return nodes

    def _lacks_entries(self) -> bool:
        return "X59b" in self._shop.faults(self._tree)

    def _sorts_as_known(self, shape: TableShape, index: IndexDef) -> bool:
        """True unless most of some entries that are there have other keys than rows make here.

        They are then sorted by other weights of characters than the catalog says.
        """
        size = self._shop.builder.database.page_size
        maker = EntryMaker(shape, index, size, self._table.values.fetch)
        rows = self._shop.new_tree(self._table.root, self._table.rows)
        same, judged = 0, 0
        for entry in islice((node for _, nodes in self._old.batches() for node in nodes), _SAMPLE):
            found = rows.locate(entry.data)
            if found is None:
                continue
            page, _, row = found
            made = maker.entries(
                Node(entry.data, row.data), old=not page.flags & PageFlag.NEW_RECORD
            )
            same += entry.key in {node.key for node in made}
            judged += 1
        return 2 * same >= judged

    def _is_complete(self) -> bool:
        """True if there are entries of all rows that must have some."""
        runs = None if self._index is None else self._runs(compare_loosely(self._index))
        if runs is None:
            return True
        there = (node.data for _, nodes in self._old.batches() for node in nodes)
        due = (entry.data for entry in self._entries(runs))
        return next(self._shop.without(due, there), None) is None

    def _rebuild(self, nodes: Iterator[Node]) -> None:
        if self._index is not None and self._index.is_unique:
            nodes = self._unique(nodes)
        self._write([Batch(self._old.kind, nodes)])

    def _unique(self, nodes: Iterable[Node]) -> Iterator[Node]:
        count = 0

        def repeated(_: Node) -> None:
            nonlocal count
            count += 1

        yield from first_of_each(nodes, repeated)
        if count:
            self._shop.result.notes.append(
                f"{self._tree.text}: {count} rows have the key of others"
            )

    # As it was

    def _filtered(self, old: TreeSalvage) -> Iterator[Batch]:
        """Yield the entries that lead to rows of the new table."""
        rows = self._shop.new_tree(self._table.root, self._table.rows)
        for kind, nodes in old.batches():
            yield Batch(kind, (node for node in nodes if rows.locate(node.data) is not None))
