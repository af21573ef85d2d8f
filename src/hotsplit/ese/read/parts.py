"""Parts of a tree: leaves that follow each other, so that several readers share a table.

A part ends where the next begins, so the rows of all parts one after the other are those of the
table. That holds only if links between leaves and internal pages agree; where they do not, the
tree is read as a whole, which goes around damage.

Source: format specification 4.1 (invariants), 4.3 (scan).
"""

from __future__ import annotations

from array import array
from typing import NamedTuple

from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import PageSet, PageSource, RunSource


class OutOfOrder(Exception):
    """The links between leaves do not lead over the leaves of a part as internal pages have them.

    What was read of the part is not to be used.
    """


class LeafRange(NamedTuple):
    """Leaves that follow each other, by page numbers; stop: the one behind them, 0 at the end."""

    leaves: array[int]
    stop: int

    def visited(self) -> PageSet:
        """Return what a reader of these leaves has seen when it begins: the leaf behind them."""
        found = PageSet()
        if self.stop:
            found.add(self.stop)
        return found

    def check(self, visited: PageSet, led_to: int) -> None:
        """Raise OutOfOrder if a reader saw other leaves than these.

        led_to: the page that the link of the last one led to.
        """
        wanted = self.visited()
        for pgno in self.leaves:
            wanted.add(pgno)
        if led_to != self.stop or not wanted.same(visited):
            raise OutOfOrder


def leaf_ranges(tree: BTree, count: int) -> list[LeafRange]:
    """Return the leaves in at most `count` parts of about one size.

    The numbers come from internal pages, which are all read; damage there is reported. A tree that
    names a leaf twice, or one that cannot be there, has one part. Raises a HotsplitError if the
    root cannot be read.
    """
    leaves = array("I", tree.leaf_order())
    if not _are_different(leaves, tree.pages.source):
        count = 1
    ends = [len(leaves) * i // count for i in range(count + 1)]
    stops = [*(leaves[end] if end < len(leaves) else 0 for end in ends[1:])]
    parts = zip(ends[:-1], ends[1:], stops, strict=True)
    return [LeafRange(leaves[begin:end], stop) for begin, end, stop in parts if end > begin]


def _are_different(leaves: array[int], source: PageSource) -> bool:
    """Say whether these are pages that the file has, each once."""
    if not isinstance(source, RunSource) or not leaves:
        return False
    if not 1 <= min(leaves) <= max(leaves) <= source.page_count:
        return False
    seen = PageSet()
    for pgno in leaves:
        if pgno in seen:
            return False
        seen.add(pgno)
    return True
