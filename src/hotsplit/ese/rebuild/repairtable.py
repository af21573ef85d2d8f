"""Repair of one table: its rows, the long values that they refer to, its indexes.

Source: format specification 7 (records), 8 (long values), 10.5 (index entries).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.compression import decompress
from hotsplit.ese.format.longvalue import chunk_size, parse_lid
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.pages import CachedPages, RunSource
from hotsplit.ese.rebuild.builder import Batch, DatabaseBuilder, TreeContent
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.longvaluemender import LongValueMender
from hotsplit.ese.rebuild.longvalues import LivingLongValues
from hotsplit.ese.rebuild.losses import Repaired, TreeLoss
from hotsplit.ese.rebuild.objects import TableTrees
from hotsplit.ese.rebuild.rowfacts import EntryMaker, RecordTest, can_make
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.sorting import EntrySorter
from hotsplit.ese.rebuild.space import (
    DATABASE_ROOT,
    TreePlace,
    write_provisional_root,
    write_root,
)
from hotsplit.ese.rebuild.walk import TreeName
from hotsplit.report import Reporter

_EXPANDED_MOST = 0x7FFF


@dataclass(frozen=True)
class Workshop:
    """What the repair of each table works with.

    room: bytes of zeros for missing chunks. strict: the definitions are complete, so a record that
    does not fit them is damaged.
    """

    env: Env
    source: RunSource
    inventory: Inventory
    builder: DatabaseBuilder
    result: Repaired
    kind: int
    room: int
    strict: bool


class TableRepair:
    """One table. shape: None if the catalog does not define it any more."""

    def __init__(self, shop: Workshop, table: TableTrees, shape: TableShape | None) -> None:
        self._shop, self._table, self._shape = shop, table, shape
        self._database = shop.builder.database
        self._rows = self._salvage(table.rows, 0)
        self._values: TreeSalvage | None = None
        if table.long_values is not None:
            self._values = self._salvage(table.long_values, PageFlag.LONG_VALUE)
        self._mender = LongValueMender(self._chunk, shop.room)
        self._whole = self._values is None or self._mender.survey(self._values.batches())
        self._references: array[int] | None = array("Q")
        self._new_values: LongValues | None = None
        self._changed_values = False
        self._root = 0

    def _salvage(self, tree: TreeName, kind: int) -> TreeSalvage:
        return TreeSalvage(self._shop.source, self._shop.inventory, tree, self._shop.kind | kind)

    @property
    def _chunk(self) -> int:
        defined = self._shape.table.chunk_size if self._shape is not None else 0
        return defined or chunk_size(self._database.page_size)

    @property
    def damaged(self) -> bool:
        """True if rows or long values cannot be taken over as they are."""
        values = self._values is not None and self._values.damaged
        return self._rows.damaged or values or not self._whole

    def run(self) -> None:
        """Write the table. Raises what writing raises."""
        builder, table = self._shop.builder, self._table
        self._root = builder.roots[table.objid] = self._database.take()
        mark = self._mark()
        loss = TreeLoss.of(self._rows)
        batches = self._tested(loss) if self.damaged else self._rows.batches()
        filled = builder.fill(table.rows, TreeContent(self._rows.kind, batches, mark))
        place = TreePlace(self._root, table.objid, DATABASE_ROOT, mark)
        write_provisional_root(self._database, place, filled)
        loss.repeated = self._rows.repeated
        if self._rows.damaged or loss.unsound:
            self._shop.result.trees.append(loss)
        if self._values is not None:
            self._write_values(self._values)
        for tree in table.indexes:
            self._write_index(tree)
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

    def _tested(self, loss: TreeLoss) -> Iterator[Batch]:
        """Yield the records that hold together; take down the long values that they refer to."""
        test = self._record_test()
        if test is None:
            self._references = None
            yield from self._rows.batches()
            return
        for kind, nodes in self._rows.batches():
            yield Batch(kind, self._sound(test, kind, nodes, loss))

    def _record_test(self) -> RecordTest | None:
        if self._shape is None:
            return None
        try:
            return RecordTest(self._shape, self._database.page_size, self._fetch)
        except ValueError:
            return None

    def _sound(
        self, test: RecordTest, kind: int, nodes: Iterable[Node], loss: TreeLoss
    ) -> Iterator[Node]:
        old = not kind & PageFlag.NEW_RECORD
        for node in nodes:
            found = test.references(node, old=old)
            if found is None and self._shop.strict:
                loss.unsound += 1
                continue
            if found is None:
                self._references = None
            elif self._references is not None:
                self._references.extend(found)
            yield node

    def _fetch(self, separated: bool, data: bytes, most: int) -> bytes | None:
        """Return the bytes of a value that is compressed, or lies apart in the new tree."""
        try:
            if not separated:
                return decompress(data, max(most, _EXPANDED_MOST))
            return self._long_value(parse_lid(data), most)
        except (HotsplitError, ValueError):
            return None

    def _long_value(self, lid: int, most: int) -> bytes | None:
        if self._new_values is None:
            return None
        found = bytearray()
        for piece in self._new_values.stream(lid):
            found += piece
            if len(found) >= most:
                break
        return bytes(found[:most])

    # Long values

    def _write_values(self, values: TreeSalvage) -> None:
        tree = values.tree
        if self.damaged:
            batches = self._mender.batches(values.batches(), values.kind, self._references)
            self._write(tree, values.kind, batches)
            self._changed_values = bool(self._mender.lost)
            if self._mender.lost:
                self._shop.result.values[self._table.name] = self._mender.lost
        else:
            self._write(tree, values.kind, LivingLongValues().batches(values.batches()))
        if values.damaged:
            self._shop.result.trees.append(TreeLoss.of(values))
        root = self._shop.builder.roots[tree.objid]
        self._new_values = LongValues(self._new_tree(root, tree), self._chunk)

    def _write(self, tree: TreeName, kind: int, batches: Iterable[Batch]) -> None:
        self._shop.builder.write_child(self._root, tree, TreeContent(kind, batches))

    def _new_tree(self, root: int, tree: TreeName) -> BTree:
        pages = CachedPages(self._database)
        return BTree(pages, root, name=tree.text, reporter=Reporter(limit=0), objid=tree.objid)

    # Indexes

    def _write_index(self, tree: TreeName) -> None:
        index = self._definition(tree)
        unique = index is not None and index.is_unique
        kind = PageFlag.INDEX | (0 if unique else PageFlag.NON_UNIQUE)
        salvage = self._salvage(tree, kind)
        if not salvage.damaged and not self.damaged:
            self._write(tree, salvage.kind, salvage.batches())
            return
        loss = TreeLoss.of(salvage)
        if index is not None and self._shape is not None and can_make(self._shape, index):
            loss.action = "made anew from the rows"
            self._rebuild(tree, salvage.kind, index)
        elif not salvage.damaged and not self._changes_keys(index):
            loss.action = "entries of lost rows left out"
            self._write(tree, salvage.kind, self._filtered(salvage))
        else:
            loss.action = "left out: only Windows can make its keys anew"
            self._shop.builder.omitted.trees.add(tree.objid)
            self._shop.result.left_out.append(tree.text)
        if salvage.damaged:
            self._shop.result.trees.append(loss)

    def _changes_keys(self, index: IndexDef | None) -> bool:
        """True if keys of the index come from long values of which a part is lost."""
        if not self._changed_values or index is None or self._shape is None:
            return self._changed_values
        found = [self._shape.column(segment) for segment in index.key]
        return any(column is None or column[0].is_long for column in found)

    def _definition(self, tree: TreeName) -> IndexDef | None:
        indexes = self._shape.table.indexes if self._shape is not None else []
        return next((index for index in indexes if index.objid == tree.objid), None)

    def _new_rows(self) -> Iterator[Batch]:
        rows = self._new_tree(self._root, self._table.rows)
        for page in rows.leaves():
            yield Batch(page.flags & PageFlag.NEW_RECORD, page.nodes())

    def _rebuild(self, tree: TreeName, kind: int, index: IndexDef) -> None:
        assert self._shape is not None
        maker = EntryMaker(self._shape, index, self._database.page_size, self._fetch)
        self._database.flush()
        sorter = EntrySorter(self._shop.env, f"{self._database.path}.hotsplit-sort")
        entries = (
            entry
            for new, nodes in self._new_rows()
            for node in nodes
            for entry in maker.entries(node, old=not new)
        )
        nodes = sorter.sorted(entries)
        if index.is_unique:
            nodes = self._unique(tree, nodes)
        self._write(tree, kind, [Batch(kind, nodes)])
        if maker.failed:
            self._shop.result.notes.append(
                f"{tree.text}: the entries of {maker.failed} rows could not be made"
            )

    def _unique(self, tree: TreeName, nodes: Iterable[Node]) -> Iterator[Node]:
        last: bytes | None = None
        for node in nodes:
            if node.key == last:
                self._shop.result.notes.append(f"{tree.text}: two rows have key {last.hex()}")
                continue
            last = node.key
            yield node

    def _filtered(self, salvage: TreeSalvage) -> Iterator[Batch]:
        """Yield the entries that lead to rows of the new table."""
        rows = self._new_tree(self._root, self._table.rows)
        for kind, nodes in salvage.batches():
            yield Batch(kind, (node for node in nodes if _has(rows, node.data)))


def _has(rows: BTree, key: bytes) -> bool:
    found = next(rows.nodes_from(key), None)
    return found is not None and found.key == key
