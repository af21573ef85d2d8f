"""Everything readable of one tree, whatever is left of its upper pages.

The tree is walked as far as its pages are sound. Where they are not, leaf pages that carry the
tree's object id and lie within the keys that are missing take their place, unless a sound neighbour
says that they were unlinked.

Source: format specification 4.1 to 4.3.
"""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, groupby
from typing import NamedTuple

from hotsplit import _native
from hotsplit.errors import DataDamaged, HotsplitError
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.builder import Batch
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.walk import Child, Hole, TreeName, TreeWalk

_kernel = _native.load("lookup")
_DELETED = int(NodeFlag.DELETED)
_REACHED, _FOUND = 0, 1

Place = tuple[bytes, bytes]
"""Key, and data where keys are not unique: what nodes are in order by."""


class _Leaf(NamedTuple):
    first: Place
    rank: int
    page: int


class _Item(NamedTuple):
    place: Place
    rank: int
    age: int
    serial: int
    kind: int
    node: Node


class _Gaps:
    """The keys that are missing: of holes in order of their low ends, the farthest high end yet."""

    def __init__(self, holes: list[Hole]) -> None:
        ends = sorted((hole.low or b"", hole.high is None, hole.high or b"") for hole in holes)
        self._lows = [low for low, *_ in ends]
        self._highs = list(accumulate((end for _, *end in ends), max))

    def has(self, low: bytes, high: bytes) -> bool:
        """True if one hole has both bookmarks."""
        at = bisect_right(self._lows, low)
        return at > 0 and self._highs[at - 1] > [False, high]


class TreeSalvage:
    """One tree. kind: page flags that it should have.

    distrust: why its upper pages cannot be right, even if they look sound.

    holes: pages of it that cannot be used. found: leaf pages that no pointer leads to but that
    belong to it. missing: numbers of leaf pages that are lost. bad_nodes: nodes on readable pages
    that do not fit their page. nodes: those that are readable and live. doubled: nodes that others
    on their page lie upon.
    """

    def __init__(
        self,
        source: RunSource,
        inventory: Inventory,
        tree: TreeName,
        kind: int,
        *,
        distrust: DataDamaged | None = None,
    ) -> None:
        self._source, self._inventory = source, inventory
        self.tree, self.kind = tree, kind
        self._unique = not kind & PageFlag.NON_UNIQUE
        self.holes: list[Hole] = []
        self.reached, self.found = array("I"), array("I")
        self.missing: set[int] = set()
        self.bad_nodes = self.nodes = self.repeated = self.doubled = 0
        self._in_order = True
        if distrust is not None:
            self.holes.append(Hole(tree.root, None, None, False, distrust))
        self._look()

    @property
    def damaged(self) -> bool:
        """True if anything of the tree is not as it should be."""
        return bool(self.holes or self.bad_nodes or not self._in_order)

    @property
    def lost_nodes(self) -> int | None:
        """About how many nodes are lost: those of an average leaf for each missing one.

        None if not a single leaf is left to go by.
        """
        leaves = len(self.reached) + len(self.found)
        if self.holes and not leaves:
            return None
        average = self.nodes / leaves if leaves else 0
        return round(average * len(self.missing)) + self.bad_nodes

    def _place(self, key: bytes, data: bytes) -> Place:
        return key, b"" if self._unique else data

    # What there is

    def _look(self) -> None:
        walk = TreeWalk(self._source, self.tree, self.holes.append, self._is_in_place)
        last: Place | None = None
        for page in walk.pages():
            if not page.is_leaf:
                continue
            self.reached.append(page.number)
            for key, data, flags in self._readable(page):
                place = self._place(key, data)
                self._in_order = self._in_order and (last is None or last < place)
                last = place
                self.nodes += not flags & _DELETED
        if not self.holes:
            return
        gaps = _Gaps(self.holes)
        for pgno in self._inventory.leaves.get(self.tree.objid, ()):
            if pgno not in walk.visited and self._belongs(pgno, gaps):
                self.found.append(pgno)
        self._count_missing()

    def _readable(self, page: Page) -> list[Node]:
        try:
            nodes = _kernel.nodes(page.data, 0)
        except ValueError:
            self.bad_nodes += page.node_count
            return []
        good = [Node(*node) for node in nodes if node is not None]
        self.bad_nodes += len(nodes) - len(good)
        return good

    def _page(self, pgno: int) -> Page | None:
        """Return a leaf page of the tree, None if there is none at this place."""
        try:
            page = Page(memoryview(bytearray(self._source.read_page(pgno))), pgno)
        except HotsplitError:
            return None
        mine = page.objid == self.tree.objid and page.is_leaf
        return page if mine and not page.flags & PageFlag.SPACE_TREE else None

    def _belongs(self, pgno: int, gaps: _Gaps) -> bool:
        """True for a page within the missing keys that no sound neighbour disowns."""
        page = self._page(pgno)
        nodes = self._readable(page) if page is not None else []
        if page is None or not nodes:
            return False
        before = self._page(page.previous) if page.previous else None
        after = self._page(page.next) if page.next else None
        if before is not None and before.next != pgno:
            return False
        if after is not None and after.previous != pgno:
            return False
        inside = gaps.has(*self._bounds(nodes))
        self.nodes += inside * sum(not node.is_deleted for node in nodes)
        return inside

    def _bounds(self, nodes: list[Node]) -> list[bytes]:
        """Return the lowest and the highest bookmark of a leaf's nodes in order."""
        return sorted(key if self._unique else key + data for key, data, _ in (nodes[0], nodes[-1]))

    def _is_in_place(self, page: Page, child: Child) -> bool:
        """True unless all nodes of a leaf lie before or behind the keys that the page above has."""
        if not page.node_count:
            return True
        try:
            low, high = self._bounds([page.node(0), page.node(page.node_count - 1)])
        except HotsplitError:
            return True
        return (child.low is None or high >= child.low) and (child.high is None or low < child.high)

    def _count_missing(self) -> None:
        """Leaf pages that something points to and that are not there."""
        known = {*self.reached, *self.found}
        holes = [hole.page for hole in self.holes if hole.is_leaf]
        self.missing = set(holes)
        if len(self.found) >= len(holes):  # which of them were met elsewhere is no matter then
            self.missing -= known
        for pgno in known:
            page = self._page(pgno)
            if page is not None:
                self.missing.update(p for p in (page.previous, page.next) if p and p not in known)

    def root_page(self) -> Page | None:
        """Return the root page, None if it cannot be used."""
        lost = any(hole.page == self.tree.root for hole in self.holes)
        return None if lost else Page(self._source.read_page(self.tree.root), self.tree.root)

    # The nodes

    def batches(self) -> Iterator[Batch]:
        """Yield the live nodes in order, each once."""
        if self.damaged:
            items = self._merged()
            for kind, group in groupby(items, key=lambda item: item.kind):
                yield Batch(kind, (item.node for item in group))
            return
        for pgno in self.reached:
            page = self._page(pgno)
            if page is not None:
                nodes = [node for node in self._readable(page) if not node.is_deleted]
                yield Batch(self._kind_of(page), nodes)

    def _kind_of(self, page: Page) -> int:
        return self.kind & ~PageFlag.NEW_RECORD | page.flags & PageFlag.NEW_RECORD

    def _merged(self) -> Iterator[_Item]:
        """Yield live nodes in order; of those with the same place only the most credible one.

        That is one which the tree leads to, else the one of the page that was changed last.
        """
        last: Place | None = None
        page = 0
        for item in self._sorted():
            if item.place == last:
                one_page = page == item.serial >> 16
                self.doubled += one_page and not item.node.is_deleted
                self.repeated += not one_page and not item.node.is_deleted
                continue
            last, page = item.place, item.serial >> 16
            if not item.node.is_deleted:
                yield item

    def _sorted(self) -> Iterator[_Item]:
        """Merge the leaves: in memory are those whose keys overlap."""
        self.bad_nodes = 0
        heap: list[_Item] = []
        for leaf in self._leaves():
            while heap and heap[0].place < leaf.first:
                yield heapq.heappop(heap)
            page = self._page(leaf.page)
            if page is None:
                continue
            kind = self._kind_of(page)
            for i, node in enumerate(self._readable(page)):
                place = self._place(node.key, node.data)
                serial = leaf.page << 16 | i
                heapq.heappush(heap, _Item(place, leaf.rank, -page.dbtime, serial, kind, node))
        while heap:
            yield heapq.heappop(heap)

    def _leaves(self) -> list[_Leaf]:
        leaves = []
        for rank, numbers in ((_REACHED, self.reached), (_FOUND, self.found)):
            for pgno in numbers:
                page = self._page(pgno)
                nodes = self._readable(page) if page is not None else []
                if nodes:
                    first = min(self._place(node.key, node.data) for node in nodes)
                    leaves.append(_Leaf(first, rank, pgno))
        self.bad_nodes = 0
        return sorted(leaves)
