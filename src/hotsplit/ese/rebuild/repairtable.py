"""Repair of one table: its rows, the long values that they refer to, its indexes.

Source: format specification 7 (records), 8 (long values), 10.5 (index entries).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.format.longvalue import chunk_size
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.rebuild.builder import Batch, TreeContent
from hotsplit.ese.rebuild.longvaluemender import LongValueMender
from hotsplit.ese.rebuild.longvalues import LivingLongValues
from hotsplit.ese.rebuild.losses import MendedRecord, TreeLoss
from hotsplit.ese.rebuild.objects import TableTrees
from hotsplit.ese.rebuild.recordmender import ALL_TAGGED, ALL_VARIABLE, RecordMender
from hotsplit.ese.rebuild.repairindex import IndexRepair, NewTable
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.sorting import first_of_each
from hotsplit.ese.rebuild.space import (
    DATABASE_ROOT,
    TreePlace,
    write_provisional_root,
    write_root,
)
from hotsplit.ese.rebuild.walk import TreeName
from hotsplit.ese.rebuild.workshop import Workshop

_SAMPLE = 200
_OF_CHUNKS = {"L54", "L57"}
_CLASSES = {ALL_TAGGED: "all tagged columns", ALL_VARIABLE: "all variable and tagged columns"}


class TableRepair:
    """One table. shape: None if the catalog does not define it any more."""

    def __init__(self, shop: Workshop, table: TableTrees, shape: TableShape | None) -> None:
        self._shop, self._table, self._shape = shop, table, shape
        self._database = shop.builder.database
        self._rows = shop.salvage(table.rows, 0)
        self._values: TreeSalvage | None = None
        trees = [table.rows]
        if table.long_values is not None:
            self._values = shop.salvage(table.long_values, PageFlag.LONG_VALUE)
            trees.append(table.long_values)
        faults = set().union(*map(shop.faults, trees))
        unseen = self._values is not None and not shop.is_checked(self._values.tree)
        strict = unseen or bool(faults & _OF_CHUNKS)
        self._mender = LongValueMender(self._chunk, shop.room, strict=strict)
        whole = self._values is None or self._mender.survey(self._values.batches())
        values_damaged = self._values is not None and self._values.damaged
        sound = all(map(shop.is_checked, trees)) and whole and not faults
        self._damaged = self._rows.damaged or values_damaged or not sound
        # Pages of different times: keys that are not made anew may be those of earlier rows.
        self._stale = not shop.result.was_clean and (
            self._damaged or any(shop.faults(tree) for tree in table.indexes)
        )
        self._references: array[int] | None = array("Q")
        self._new_values = RowValues(None)
        self._changed: set[int] = set()
        self._strict = shop.strict
        self._root = 0

    @property
    def _chunk(self) -> int:
        defined = self._shape.table.chunk_size if self._shape is not None else 0
        return defined or chunk_size(self._database.page_size)

    def run(self) -> None:
        """Write the table. Raises what writing raises."""
        builder, table = self._shop.builder, self._table
        self._root = builder.roots[table.objid] = self._database.take()
        mark = self._mark()
        loss = TreeLoss.of(self._rows)
        mender = self._record_mender(mark) if self._damaged else None
        batches = self._mended(mender, loss) if self._damaged else self._rows.batches()
        filled = builder.fill(table.rows, TreeContent(self._rows.kind, batches, mark))
        if mark is not None and mender is not None:
            mark = max(mark, mender.highest)
        place = TreePlace(self._root, table.objid, DATABASE_ROOT, mark)
        write_provisional_root(self._database, place, filled)
        loss.repeated = self._rows.repeated
        loss.unsound += self._rows.doubled
        if self._rows.damaged or loss.unsound or loss.mended_count:
            self._shop.result.trees.append(loss)
        if self._values is not None:
            self._write_values(self._values)
        self._write_indexes(loss)
        write_root(self._database, place, filled)
        builder.tables += 1

    def _mark(self) -> int | None:
        """Return the autoincrement mark of the root page, None if there is none or it is lost."""
        try:
            page = self._rows.root_page()
            return None if page is None else SpaceHeader.unpack(page.external).autoincrement
        except (HotsplitError, ValueError):
            return None

    # Rows

    def _record_mender(self, mark: int | None) -> RecordMender | None:
        if self._shape is None:
            return None
        size = self._database.page_size
        try:
            return RecordMender(
                self._shape,
                size,
                self._fetch,
                mark,
                makes_keys=not self._shop.has_other_weights(self._table.rows),
            )
        except ValueError:
            return None

    def _mended(self, mender: RecordMender | None, loss: TreeLoss) -> Iterator[Batch]:
        """Yield the records, made sound; take down the long values that they refer to."""
        if mender is None:
            self._references = None
            yield from self._rows.batches()
            return
        self._strict = self._shop.strict or self._defines(mender)
        batches = (
            Batch(kind, self._sound(mender, kind, nodes, loss))
            for kind, nodes in self._rows.batches()
        )
        if not self._may_move():
            yield from batches
            return
        nodes = self._shop.sorter().sorted(node for batch in batches for node in batch.nodes)
        yield Batch(self._rows.kind, first_of_each(nodes, lambda node: loss.add_unsound(node.key)))

    def _may_move(self) -> bool:
        """True if records may get other keys: some are damaged, or were not looked at."""
        rows = self._table.rows
        broken = any(rule[0] == "R" for rule in self._shop.faults(rows))
        return broken or self._rows.damaged or not self._shop.is_checked(rows)

    def _defines(self, mender: RecordMender) -> bool:
        """True if most of the first records fit the definition, so that it must be the table's."""
        nodes = ((kind, node) for kind, nodes in self._rows.batches() for node in nodes)
        fit = [
            mender.mend(node, old=not kind & PageFlag.NEW_RECORD)[2:] == (frozenset(), False)
            for kind, node in islice(nodes, _SAMPLE)
        ]
        return 2 * sum(fit) > len(fit)

    def _sound(
        self, mender: RecordMender, kind: int, nodes: Iterable[Node], loss: TreeLoss
    ) -> Iterator[Node]:
        old = not kind & PageFlag.NEW_RECORD
        for node in nodes:
            found = mender.mend(node, old=old)
            changed = found.node is None or found.changed or found.new_key
            if changed and not self._strict:  # the definition, not the record, may be at fault
                self._references = None
                yield node
                continue
            if found.node is None:
                loss.add_unsound(node.key)
                continue
            if changed:
                self._changed |= found.changed
                names = self._column_names(found.changed)
                loss.add_mended(MendedRecord(node.key, names, found.new_key))
            if self._references is not None:
                self._references.extend(found.references)
            yield found.node

    def _column_names(self, ids: Iterable[int]) -> list[str]:
        columns = self._shape.table.columns if self._shape is not None else []
        known = {column.id: column.name for column in columns} | _CLASSES
        return [known.get(number, f"column {number}") for number in sorted(ids) if number]

    def _fetch(self, separated: bool, data: bytes, most: int) -> bytes | None:
        """Return the bytes of a value that is compressed, or lies apart in the new tree."""
        return self._new_values.fetch(separated, data, most)

    # Long values

    def _write_values(self, values: TreeSalvage) -> None:
        tree = values.tree
        if self._damaged:
            batches = self._mender.batches(values.batches(), values.kind, self._references)
            self._write(tree, values.kind, batches)
            if self._mender.lost:
                self._shop.result.values[self._table.name] = self._mender.lost
        else:
            self._write(tree, values.kind, LivingLongValues().batches(values.batches()))
        if values.damaged:
            self._shop.result.trees.append(TreeLoss.of(values))
        root = self._shop.builder.roots[tree.objid]
        self._new_values = RowValues(LongValues(self._shop.new_tree(root, tree), self._chunk))

    def _write_indexes(self, loss: TreeLoss) -> None:
        new = NewTable(
            self._table.rows,
            self._root,
            self._shape,
            self._new_values,
            loss,
            self._damaged,
            self._stale,
            self._changed,
            bool(self._mender.lost),
        )
        for tree in self._table.indexes:
            IndexRepair(self._shop, new, tree).run()

    def _write(self, tree: TreeName, kind: int, batches: Iterable[Batch]) -> None:
        self._shop.builder.write_child(self._root, tree, TreeContent(kind, batches))
