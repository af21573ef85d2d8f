"""One pass of a batch builder over the leaves of a tree.

The kernel follows the links between leaves inside runs of pages; here is what it cannot do: reading
the next run, pages that need correcting, and leaves that no link leads to.

Source: format specification 4.1 (invariants), 4.3 (scan).
"""

from __future__ import annotations

import sys
from typing import Any

from hotsplit import _native
from hotsplit.errors import HotsplitError
from hotsplit.ese.format.checksum import RUN_GOOD
from hotsplit.ese.read.btree import BTree
from hotsplit.ese.read.pages import PageRun, PageSet, RunReader
from hotsplit.ese.read.parts import LeafRange, OutOfOrder

_kernel = _native.load("batch")
_LEAST_ENOUGH = 64


class Sweep:
    """Takes the leaves of `tree` into `builder`, in key order or against it.

    Damaged leaves are reported and gone around, as `BTree.leaves` does. Raises a HotsplitError if
    the root page cannot be read. part: only these leaves, in key order; OutOfOrder where they
    cannot be read or do not lead to each other.
    """

    def __init__(
        self, tree: BTree, builder: Any, *, reverse: bool = False, part: LeafRange | None = None
    ) -> None:
        self.visited = part.visited() if part else PageSet()
        self._tree, self._builder, self._reverse = tree, builder, reverse
        self._reader = RunReader(tree.pages.source)
        tree.page(tree.root)
        self._part, self._led_to = part, 0
        self._pgno = part.leaves[0] if part else next(tree.leaf_order(reverse=reverse), 0)
        self._skip, self._again = 0, False
        self._named = iter(()) if part else tree.leaf_order(reverse=reverse)
        self._run = PageRun(0, b"", b"")
        self._enough = sys.maxsize  # pending values; fewer once a batch was cut for its long values

    def advance(self) -> bool:
        """Take leaves until the builder must stop; False when there are no more leaves."""
        while self._pgno or self._begin_lost():
            if self._pgno in self._run:
                reason = self._walk()
                if reason == _kernel.FULL:
                    self._again = True
                    return True
                if reason in (_kernel.END, _kernel.MET):
                    self._led_to, self._pgno = self._pgno, 0
                elif reason == _kernel.REFUSED:
                    self._take_hard()
            elif self._builder.pending_count >= self._enough:
                return True
            else:
                self._read()
        if self._part is not None:
            self._part.check(self.visited, self._led_to)
        return False

    def go_back(self, row: int) -> None:
        """Forget row `row` of the builder and all after it; `advance` takes them again."""
        self._pgno, node, _ = self._builder.place(row)
        self._builder.truncate(row, self.visited.bits)
        self._enough = max(_LEAST_ENOUGH, self._builder.pending_count)
        if self._reverse:
            node = self._tree.leaf(self._pgno).node_count - 1 - node
        self._skip, self._again = node, True

    def _walk(self) -> int:
        run = self._run
        reason, self._pgno, self._skip = self._builder.walk(
            run.data,
            run.states,
            RUN_GOOD,
            run.first,
            self.visited.bits,
            self._tree.objid,
            self._pgno,
            self._skip,
            reverse=self._reverse,
            again=self._again,
        )
        self._again = False
        return int(reason)

    def _read(self) -> None:
        """Read the run that the next leaf is in."""
        if self._pgno in self.visited and not self._again:
            self._led_to, self._pgno = self._pgno, 0
            return
        try:
            self._take_run(self._reader.read(self._pgno, reverse=self._reverse))
        except HotsplitError as error:
            self._give_up(error)

    def _take_run(self, run: PageRun) -> None:
        self.visited.cover(run.first + len(run.states))
        self._run = run

    def _take_hard(self) -> None:
        """Take a page that the kernel refuses: corrected, if that is what it needs."""
        try:
            page = self._tree.leaf(self._pgno)
        except HotsplitError as error:
            self._give_up(error)
            return
        if page.tag_count * 4 + page.header_size > page.size:
            self._give_up(page._damaged("the tag array overlaps the page header"))
            return
        self._take_run(PageRun.single(self._pgno, bytes(page.data)))

    def _give_up(self, error: HotsplitError) -> None:
        if self._part is not None:
            raise OutOfOrder from error
        self._tree.report(error)
        self.visited.add_bad(self._pgno)
        self._pgno = 0

    def _begin_lost(self) -> bool:
        """Go on with a leaf that an internal page names and no link led to."""
        for pgno in self._named:
            if pgno not in self.visited:
                self._tree.report_lost(pgno)
                self._pgno, self._skip, self._again = pgno, 0, False
                return True
        return False
