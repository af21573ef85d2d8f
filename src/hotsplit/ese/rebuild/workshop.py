"""What the repair of each table and each of its trees works with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hotsplit.ese.check.integrity import Faults
from hotsplit.ese.files.env import Env
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import CachedPages, RunSource
from hotsplit.ese.rebuild.builder import Batch, DatabaseBuilder
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.sorting import EntrySorter
from hotsplit.ese.rebuild.walk import TreeName
from hotsplit.report import Reporter

_CONTENT = "RLXT"
"""First letters of the rules about what trees hold."""
_OTHER_WEIGHTS = "X61"
_NORMAL = {"T26", "L56c", "T18b", "L58", _OTHER_WEIGHTS}


@dataclass(frozen=True)
class Workshop:
    """One repair.

    room: bytes of zeros for missing chunks. strict: all definitions are complete, so a record that
    does not fit them is damaged. found: what the check says of the trees that can be read.
    """

    env: Env
    source: RunSource
    inventory: Inventory
    builder: DatabaseBuilder
    result: Repaired
    kind: int
    room: int
    strict: bool
    found: Faults

    def salvage(self, tree: TreeName, kind: int) -> TreeSalvage:
        """Return what is readable of a tree."""
        return TreeSalvage(self.source, self.inventory, tree, self.kind | kind)

    def faults(self, tree: TreeName) -> set[str]:
        """Return the rules that a tree breaks, as far as a repair has to see to them."""
        return {rule for rule in self.found.of(tree.objid) if rule[0] in _CONTENT} - _NORMAL

    def has_other_weights(self, tree: TreeName) -> bool:
        """True for a tree whose keys of Unicode text cannot be made here, whatever is said."""
        return _OTHER_WEIGHTS in self.found.of(tree.objid)

    def is_checked(self, tree: TreeName) -> bool:
        """True for a tree that was gone over whole and held against others."""
        return tree.objid in self.found.checked

    def sorter(self) -> EntrySorter:
        """Return what sorts more than fits into memory."""
        return EntrySorter(self.env, f"{self.builder.database.path}.hotsplit-sort")

    def new_tree(self, root: int, tree: TreeName) -> BTree:
        """Return a tree of the new database."""
        pages = CachedPages(self.builder.database)
        return BTree(pages, root, name=tree.text, reporter=Reporter(limit=0), objid=tree.objid)

    def new_rows(self, root: int, tree: TreeName) -> Iterator[Batch]:
        """Yield the rows of a table of the new database."""
        self.builder.database.flush()
        for page in self.new_tree(root, tree).leaves():
            yield Batch(page.flags & PageFlag.NEW_RECORD, page.nodes())

    def new_leaves(self, root: int, tree: TreeName) -> Iterator[bytes]:
        """Yield the leaves of a tree of the new database."""
        self.builder.database.flush()
        for page in self.new_tree(root, tree).leaves():
            yield bytes(page.data)

    def without(self, some: Iterable[bytes], others: Iterable[bytes]) -> Iterator[bytes]:
        """Yield those of the first that are not among the second, in order, each once."""
        left = (node.key for node in self.sorter().sorted(Node(key, b"") for key in others))
        other = next(left, None)
        last: bytes | None = None
        for key, _, _ in self.sorter().sorted(Node(key, b"") for key in some):
            while other is not None and other < key:
                other = next(left, None)
            if key not in (other, last):
                yield key
            last = key
