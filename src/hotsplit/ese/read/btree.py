"""Reading a B+ tree: scans in key order, seeks by key, both safe on damaged trees.

A scan follows the links between leaves. Where a leaf cannot be read it goes on with the next leaf
that the internal pages name. No page is visited twice, so no damage can make it endless.

Source: format specification 4.1 (invariants), 4.3 (seek and scan).
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.read.pages import CachedPages
from hotsplit.report import Finding, Reporter, Severity

_DEEPEST = 16  # levels; a tree of 2^31 pages has fewer


class _PageSet:
    """A set of page numbers: one bit for each page that exists, and the few that could not be read.

    Only numbers of pages that were read may go to `add`, so its size is bounded by the file.
    """

    def __init__(self) -> None:
        self._bits = bytearray()
        self._bad: set[int] = set()

    def add(self, pgno: int) -> None:
        at = pgno >> 3
        if at >= len(self._bits):
            self._bits.extend(bytes(at + 1 - len(self._bits) + len(self._bits) // 4))
        self._bits[at] |= 1 << (pgno & 7)

    def add_bad(self, pgno: int) -> None:
        self._bad.add(pgno)

    def __contains__(self, pgno: int) -> bool:
        at = pgno >> 3
        known = at < len(self._bits) and self._bits[at] >> (pgno & 7) & 1
        return bool(known) or pgno in self._bad


class BTree:
    """One tree, known by its root page.

    objid: the tree's object id if known; pages of other trees are refused then.
    name: for findings, e.g. ``table Orders``.
    """

    def __init__(
        self, pages: CachedPages, root: int, *, name: str, reporter: Reporter, objid: int = 0
    ) -> None:
        self.root = root
        self.name = name
        self._pages = pages
        self._reporter = reporter
        self._objid = objid

    # Pages

    def _check(self, page: Page) -> Page:
        """Refuse a page that is not of this tree."""
        objid = page.objid
        if not self._objid:
            self._objid = objid
        if objid != self._objid:
            raise PageDamaged(
                f"the page is of object {objid}, not of {self.name} (object {self._objid})",
                jet=Jet.errBadPageLink,
                position=f"page {page.number}",
            )
        return page

    def _internal(self, pgno: int) -> Page:
        """Return a page met on the way down; it may be a leaf."""
        return self._check(Page(self._pages.read_page(pgno), pgno))

    def _leaf(self, pgno: int) -> Page:
        return self._as_leaf(self._check(Page(self._pages.source.read_page(pgno), pgno)))

    def _as_leaf(self, page: Page) -> Page:
        if not page.is_leaf:
            raise PageDamaged(
                f"not a leaf page of {self.name}",
                jet=Jet.errBadPageLink,
                position=f"page {page.number}",
            )
        return page

    def report(self, error: HotsplitError, rule: str = "tree-page") -> None:
        """Take down damage that a scan goes around."""
        self._reporter.report(
            Finding(
                rule,
                Severity.ERROR,
                f"{self.name}: {error.message}",
                file=error.file,
                position=error.position,
                jet=error.jet,
            )
        )

    @staticmethod
    def _children(page: Page) -> list[int]:
        return [_child(page, node) for node in page.nodes()]

    # Scan

    def leaves(self) -> Iterator[Page]:
        """Yield all readable leaf pages in key order; report the others.

        Raises a HotsplitError if the root page cannot be read.
        """
        visited = _PageSet()
        self._internal(self.root)
        yield from self._chain(self._first_leaf(), visited)
        for pgno in self._leaf_order():
            if pgno not in visited:
                self._report_lost(pgno)
                yield from self._chain(pgno, visited)

    def _chain(self, pgno: int, visited: _PageSet) -> Iterator[Page]:
        """Yield leaves by their links until the end, a damaged leaf, or one that was met before."""
        while pgno and pgno not in visited:
            try:
                page = self._leaf(pgno)
            except HotsplitError as error:
                self.report(error)
                visited.add_bad(pgno)
                return
            visited.add(pgno)
            yield page
            pgno = 0 if page.is_root else page.next

    def _report_lost(self, pgno: int) -> None:
        self._reporter.report(
            Finding(
                "leaf-chain",
                Severity.WARNING,
                f"{self.name}: the links between leaves do not lead to a leaf of the tree",
                position=f"page {pgno}",
                jet=Jet.errBadPageLink,
            )
        )

    def _first_leaf(self) -> int:
        """Return the first leaf by internal pages; 0 if it cannot be found."""
        return next(self._leaf_order(), 0)

    def _leaf_order(self) -> Iterator[int]:
        """Yield the leaves that readable internal pages name, in key order."""
        seen = _PageSet()
        stack = [iter([self.root])]
        while stack:
            pgno = next(stack[-1], 0)
            if not pgno:
                stack.pop()
                continue
            if pgno in seen:
                continue
            try:
                page = self._internal(pgno)
                children = [] if page.is_leaf else self._children(page)
            except HotsplitError as error:
                self.report(error)
                seen.add_bad(pgno)
                continue
            seen.add(pgno)
            if page.is_leaf:
                yield pgno
            elif page.flags & PageFlag.PARENT_OF_LEAF:
                yield from children
            elif len(stack) < _DEEPEST:
                stack.append(iter(children))

    def nodes(self) -> Iterator[Node]:
        """Yield all live nodes in key order; damage is reported."""
        for page in self.leaves():
            yield from self._live_nodes(page, 0)

    def _live_nodes(self, page: Page, start: int) -> Iterator[Node]:
        for i in range(start, page.node_count):
            try:
                node = page.node(i)
            except PageDamaged as error:
                self.report(error, "node")
                continue
            if not node.is_deleted:
                yield node

    # Seek

    def nodes_from(self, key: bytes) -> Iterator[Node]:
        """Yield live nodes in key order from the first with a key >= `key` on.

        For trees with unique keys. The way goes over internal pages only, so links between leaves
        need not be right. Raises PageDamaged where a page on the way is damaged: unlike a scan, a
        seek has one right answer.
        """
        seen = _PageSet()
        path: list[tuple[Page, int]] = []
        page = self._descend(self.root, path, key, seen)
        yield from self._live_nodes(page, _lower_bound(page, key))
        while path:
            parent, child = path.pop()
            if child + 1 < parent.node_count:
                path.append((parent, child + 1))
                page = self._descend(_child(parent, parent.node(child + 1)), path, b"", seen)
                yield from self._live_nodes(page, 0)

    def _descend(self, pgno: int, path: list[tuple[Page, int]], key: bytes, seen: _PageSet) -> Page:
        """Go down to the leaf where `key` belongs; (page, child number) on the way go to `path`.

        Raises PageDamaged at a page that was met before.
        """
        while True:
            page = self._internal(pgno)
            if pgno in seen:
                raise PageDamaged(
                    "two pointers lead to the page",
                    jet=Jet.errBadParentPageLink,
                    position=f"page {pgno}",
                )
            seen.add(pgno)
            if page.is_leaf:
                return page
            if len(path) > _DEEPEST:
                raise PageDamaged(f"{self.name} is too deep", jet=Jet.errBadParentPageLink)
            child = _child_for(page, key)
            path.append((page, child))
            pgno = _child(page, page.node(child))


def _child_for(page: Page, key: bytes) -> int:
    """Return the number of the child below which `key` belongs: its separator is greater."""
    low, high = 0, page.node_count - 1  # the last child takes everything else
    if high < 0:
        raise PageDamaged("an internal page has no children", position=f"page {page.number}")
    while low < high:
        middle = (low + high) // 2
        separator = page.node(middle).key
        if separator and separator <= key:
            low = middle + 1
        else:
            high = middle
    return low


def _child(page: Page, node: Node) -> int:
    """Return the page that a node of an internal page points to."""
    if len(node.data) != 4:
        raise PageDamaged(
            "a child pointer is not 4 bytes long",
            jet=Jet.errNodeCorrupted,
            position=f"page {page.number}",
        )
    return int.from_bytes(node.data, "little")


def _lower_bound(page: Page, key: bytes) -> int:
    low, high = 0, page.node_count
    while low < high:
        middle = (low + high) // 2
        if page.node(middle).key < key:
            low = middle + 1
        else:
            high = middle
    return low
