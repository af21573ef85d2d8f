"""Repair of one table: its rows, the long values that they refer to, its indexes.

Source: format specification 7 (records), 8 (long values), 10.5 (index entries).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.integrity import Faults
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.check.treewalk import key_most
from hotsplit.ese.check.values import RowValues
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.catalogschema import IndexDef
from hotsplit.ese.format.longvalue import chunk_size
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.longvalues import LongValues
from hotsplit.ese.read.pages import CachedPages, RunSource
from hotsplit.ese.rebuild.builder import Batch, DatabaseBuilder, TreeContent
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.longvaluemender import LongValueMender
from hotsplit.ese.rebuild.longvalues import LivingLongValues
from hotsplit.ese.rebuild.losses import MendedRecord, Repaired, TreeLoss
from hotsplit.ese.rebuild.objects import TableTrees
from hotsplit.ese.rebuild.recordmender import ALL_TAGGED, ALL_VARIABLE, RecordMender
from hotsplit.ese.rebuild.rowfacts import EntryMaker, can_make
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

_CONTENT = "RLXT"
"""First letters of the rules about what trees hold."""
_SAMPLE = 200
_NORMAL = {"T26", "L56c", "T18b", "L58"}
_OF_CHUNKS = {"L54", "L57"}
_CLASSES = {ALL_TAGGED: "all tagged columns", ALL_VARIABLE: "all variable and tagged columns"}


@dataclass(frozen=True)
class Workshop:
    """What the repair of each table works with.

    room: bytes of zeros for missing chunks. strict: all definitions are complete, so a record that
    does not fit them is damaged. faults: what the check says of the trees that can be read.
    """

    env: Env
    source: RunSource
    inventory: Inventory
    builder: DatabaseBuilder
    result: Repaired
    kind: int
    room: int
    strict: bool
    faults: Faults


class TableRepair:
    """One table. shape: None if the catalog does not define it any more."""

    def __init__(self, shop: Workshop, table: TableTrees, shape: TableShape | None) -> None:
        self._shop, self._table, self._shape = shop, table, shape
        self._database = shop.builder.database
        self._rows = self._salvage(table.rows, 0)
        self._values: TreeSalvage | None = None
        if table.long_values is not None:
            self._values = self._salvage(table.long_values, PageFlag.LONG_VALUE)
        faults = self._faults(table.rows)
        if table.long_values is not None:
            faults |= self._faults(table.long_values)
        self._mender = LongValueMender(self._chunk, shop.room, strict=bool(faults & _OF_CHUNKS))
        whole = self._values is None or self._mender.survey(self._values.batches())
        values_damaged = self._values is not None and self._values.damaged
        trees = [table.rows, *([table.long_values] if table.long_values is not None else [])]
        self._checked = all(tree.objid in shop.faults.checked for tree in trees)
        sound = self._checked and whole and not faults
        self._damaged = self._rows.damaged or values_damaged or not sound
        self._references: array[int] | None = array("Q")
        self._new_values = RowValues(None)
        self._changed: set[int] = set()
        self._strict = shop.strict
        self._root = 0

    def _faults(self, tree: TreeName) -> set[str]:
        """Return the rules that a tree breaks, as far as a repair has to see to them."""
        return {rule for rule in self._shop.faults.of(tree.objid) if rule[0] in _CONTENT} - _NORMAL

    def _salvage(self, tree: TreeName, kind: int) -> TreeSalvage:
        return TreeSalvage(self._shop.source, self._shop.inventory, tree, self._shop.kind | kind)

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
        for tree in table.indexes:
            self._write_index(tree, loss)
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
            return RecordMender(self._shape, size, self._fetch, key_most(size), mark)
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
        if "R51" not in self._faults(self._table.rows):
            yield from batches
            return
        nodes = self._sorter().sorted(node for batch in batches for node in batch.nodes)
        yield Batch(self._rows.kind, self._unique_rows(nodes, loss))

    def _defines(self, mender: RecordMender) -> bool:
        """True if most of the first records fit the definition, so that it must be the table's."""
        nodes = ((kind, node) for kind, nodes in self._rows.batches() for node in nodes)
        fit = [
            mender.mend(node, old=not kind & PageFlag.NEW_RECORD)[2:] == (frozenset(), False)
            for kind, node in islice(nodes, _SAMPLE)
        ]
        return 2 * sum(fit) > len(fit)

    def _sorter(self) -> EntrySorter:
        return EntrySorter(self._shop.env, f"{self._database.path}.hotsplit-sort")

    @staticmethod
    def _unique_rows(nodes: Iterable[Node], loss: TreeLoss) -> Iterator[Node]:
        last: bytes | None = None
        for node in nodes:
            if node.key == last:
                loss.add_unsound(node.key)
            else:
                yield node
            last = node.key

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
        self._new_values = RowValues(LongValues(self._new_tree(root, tree), self._chunk))

    def _write(self, tree: TreeName, kind: int, batches: Iterable[Batch]) -> None:
        self._shop.builder.write_child(self._root, tree, TreeContent(kind, batches))

    def _new_tree(self, root: int, tree: TreeName) -> BTree:
        pages = CachedPages(self._database)
        return BTree(pages, root, name=tree.text, reporter=Reporter(limit=0), objid=tree.objid)

    # Indexes

    def _write_index(self, tree: TreeName, rows: TreeLoss) -> None:
        index = self._definition(tree)
        unique = index is not None and index.is_unique
        kind = PageFlag.INDEX | (0 if unique else PageFlag.NON_UNIQUE)
        salvage = self._salvage(tree, kind)
        checked = tree.objid in self._shop.faults.checked
        sound = not salvage.damaged and not self._faults(tree)
        if sound and checked and not self._damaged:
            self._write(tree, salvage.kind, salvage.batches())
            return
        loss = TreeLoss.of(salvage)
        if sound and rows.lost and not rows.lost_keys:
            self._name_lost_rows(salvage, rows)
        if index is not None and self._can_make(index, at_once=not sound):
            loss.action = "made anew from the rows"
            self._rebuild(tree, salvage.kind, index)
        elif (
            sound
            and not self._changes_keys(index)
            and (checked or self._is_complete(salvage, index))
        ):
            loss.action = "entries of lost rows left out"
            self._write(tree, salvage.kind, self._filtered(salvage))
        else:
            loss.action = "left out: only Windows can make its keys anew"
            self._shop.builder.omitted.trees.add(tree.objid)
            self._shop.result.left_out.append(tree.text)
        if not sound:
            self._shop.result.trees.append(loss)

    def _can_make(self, index: IndexDef, *, at_once: bool) -> bool:
        """True if an index can be made from the rows.

        at_once: some entries are better than none; else they are tried first.
        """
        if self._shape is None or not can_make(self._shape, index):
            return False
        if at_once:
            return True
        maker = EntryMaker(self._shape, index, self._database.page_size, self._fetch)
        for _ in self._made(maker):
            if maker.failed:
                return False
        return not maker.failed

    def _name_lost_rows(self, salvage: TreeSalvage, loss: TreeLoss) -> None:
        """Take down the keys that a sound index has of rows that are gone."""
        self._database.flush()
        entries = (node.data for _, nodes in salvage.batches() for node in nodes)
        rows = (node.key for _, nodes in self._new_rows() for node in nodes)
        for key in self._without(entries, rows):
            loss.add_lost_key(key)

    def _is_complete(self, salvage: TreeSalvage, index: IndexDef | None) -> bool:
        """True if an index has entries of all rows that it must have some of."""
        if index is None or self._shape is None:
            return True
        try:
            maker = EntryMaker(self._shape, index, self._database.page_size, self._fetch)
        except ValueError:
            return True
        there = (node.data for _, nodes in salvage.batches() for node in nodes)
        due = (entry.data for entry in self._made(maker))
        return not any(True for _ in self._without(due, there))

    def _without(self, some: Iterable[bytes], others: Iterable[bytes]) -> Iterator[bytes]:
        """Yield those of the first that are not among the second, in order, each once."""
        left = (node.key for node in self._sorter().sorted(Node(key, b"") for key in others))
        other = next(left, None)
        last: bytes | None = None
        for key, _, _ in self._sorter().sorted(Node(key, b"") for key in some):
            while other is not None and other < key:
                other = next(left, None)
            if key not in (other, last):
                yield key
            last = key

    def _changes_keys(self, index: IndexDef | None) -> bool:
        """True if keys of the index come from values of which a part is lost."""
        lost = bool(self._mender.lost)
        if index is None or self._shape is None:
            return lost or bool(self._changed)
        found = [self._shape.column(segment) for segment in index.key]
        return any(
            column is None
            or (lost and column[0].is_long)
            or column[0].id in self._changed
            or (column[0].is_tagged and ALL_TAGGED in self._changed)
            or (not column[0].is_fixed and ALL_VARIABLE in self._changed)
            for column in found
        )

    def _definition(self, tree: TreeName) -> IndexDef | None:
        indexes = self._shape.table.indexes if self._shape is not None else []
        return next((index for index in indexes if index.objid == tree.objid), None)

    def _new_rows(self) -> Iterator[Batch]:
        rows = self._new_tree(self._root, self._table.rows)
        for page in rows.leaves():
            yield Batch(page.flags & PageFlag.NEW_RECORD, page.nodes())

    def _made(self, maker: EntryMaker) -> Iterator[Node]:
        """Yield the entries that the rows of the new table make."""
        self._database.flush()
        for new, nodes in self._new_rows():
            for node in nodes:
                yield from maker.entries(node, old=not new)

    def _rebuild(self, tree: TreeName, kind: int, index: IndexDef) -> None:
        assert self._shape is not None
        maker = EntryMaker(self._shape, index, self._database.page_size, self._fetch)
        nodes = self._sorter().sorted(self._made(maker))
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
