"""Reading a B+ tree: scans in key order, seeks by key, both safe on damaged trees.

A scan follows the links between leaves. Where a leaf cannot be read it goes on with the next leaf
that the internal pages name. No page is visited twice, so no damage can make it endless.

Source: format specification 4.1 (invariants), 4.3 (seek and scan).
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit import _native
from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.read.pages import CachedPages, PageSet
from hotsplit.report import Finding, Reporter, Severity

_kernel = _native.load("lookup")
_DEEPEST = 16  # levels; a tree of 2^31 pages has fewer


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
        self.pages = pages
        self.objid = objid
        self._reporter = reporter

    # Pages

    def _check(self, page: Page) -> Page:
        """Refuse a page that is not of this tree."""
        objid = page.objid
        if not self.objid:
            self.objid = objid
        if objid != self.objid:
            raise PageDamaged(
                f"the page is of object {objid}, not of {self.name} (object {self.objid})",
                jet=Jet.errBadPageLink,
                position=f"page {page.number}",
            )
        return page

    def page(self, pgno: int) -> Page:
        """Return a page of the tree, read only. Raises PageDamaged and what the source raises."""
        return self._check(Page(memoryview(self.pages.read_page(pgno)), pgno))

    def leaf(self, pgno: int) -> Page:
        """Return a leaf page of the tree, read only and not kept. Raises as `page` does."""
        page = self._check(Page(memoryview(self.pages.source.read_page(pgno)), pgno))
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

    def report_lost(self, pgno: int) -> None:
        """Take down that links between leaves miss a leaf."""
        self._reporter.report(
            Finding(
                "leaf-chain",
                Severity.WARNING,
                f"{self.name}: the links between leaves do not lead to a leaf of the tree",
                position=f"page {pgno}",
                jet=Jet.errBadPageLink,
            )
        )

    # Scan

    def leaves(self) -> Iterator[Page]:
        """Yield all readable leaf pages in key order; report the others.

        Raises a HotsplitError if the root page cannot be read.
        """
        visited = PageSet()
        self.page(self.root)
        yield from self._chain(next(self.leaf_order(), 0), visited)
        for pgno in self.leaf_order():
            if pgno not in visited:
                self.report_lost(pgno)
                yield from self._chain(pgno, visited)

    def _chain(self, pgno: int, visited: PageSet) -> Iterator[Page]:
        """Yield leaves by their links until the end, a damaged leaf, or one that was met before."""
        while pgno and pgno not in visited:
            try:
                page = self.leaf(pgno)
            except HotsplitError as error:
                self.report(error)
                visited.add_bad(pgno)
                return
            visited.add(pgno)
            yield page
            pgno = 0 if page.is_root else page.next

    def leaf_order(self, *, reverse: bool = False) -> Iterator[int]:
        """Yield the leaves that readable internal pages name, in key order or against it.

        Damaged internal pages are reported and left out.
        """
        seen = PageSet()
        stack = [iter([self.root])]
        while stack:
            pgno = next(stack[-1], 0)
            if not pgno:
                stack.pop()
                continue
            if pgno in seen:
                continue
            try:
                page = self.page(pgno)
                children = [] if page.is_leaf else self._children(page)
            except HotsplitError as error:
                self.report(error)
                seen.add_bad(pgno)
                continue
            seen.add(pgno)
            if reverse:
                children.reverse()
            if page.is_leaf:
                yield pgno
            elif page.flags & PageFlag.PARENT_OF_LEAF:
                yield from children
            elif len(stack) < _DEEPEST:
                stack.append(iter(children))

    @staticmethod
    def _children(page: Page) -> list[int]:
        try:
            children: list[int] = _kernel.children(page.data)
        except ValueError as error:
            raise _damaged(page, error) from error
        return children

    def nodes(self) -> Iterator[Node]:
        """Yield all live nodes in key order; damage is reported."""
        for page in self.leaves():
            yield from self._live(page, 0)

    def _live(self, page: Page, start: int) -> Iterator[Node]:
        return filter(None, (self._alive(page, node) for node in _nodes(page, start)))

    def _alive(self, page: Page, node: tuple[bytes, bytes, int] | None) -> Node | None:
        if node is None:
            self.report(_damaged(page, "a node does not fit its line"), "node")
            return None
        return None if node[2] & NodeFlag.DELETED.value else Node(*node)

    def report_node(self, page: Page, node: int) -> None:
        """Take down that a node of a page cannot be read."""
        self.report(_damaged(page, f"node {node} does not fit its page"), "node")

    def page_estimate(self) -> int:
        """Return about how many pages the tree has: the fan-outs on a way through its middle.

        Raises as `page` does.
        """
        pgno, level, total = self.root, 1, 1
        for _ in range(_DEEPEST):
            page = self.page(pgno)
            if page.is_leaf or not page.node_count:
                break
            level *= page.node_count
            total += level
            if page.flags & PageFlag.PARENT_OF_LEAF:
                break
            pgno = _child(page, page.node_count // 2)
        return total

    # Seek

    def nodes_from(self, key: bytes) -> Iterator[Node]:
        """Yield live nodes in key order from the first with a key >= `key` on.

        The way goes over internal pages only, so links between leaves need not be right. Raises
        PageDamaged where a page on the way is damaged: unlike a scan, a seek has one right answer.
        """
        start: int | None = None
        for page in self.leaves_from(key):
            start = _lower_bound(page, key) if start is None else 0
            yield from self._live(page, start)

    def locate(self, key: bytes) -> tuple[Page, int, Node] | None:
        """Return the live node with this very key, its page and its number there; None without.

        Raises as `nodes_from`.
        """
        page = self._descend(self.root, [], key, PageSet())
        number = _lower_bound(page, key)
        if number >= page.node_count:
            return None
        node = self._alive(page, _nodes(page, number)[0])
        return (page, number, node) if node is not None and node.key == key else None

    def leaves_from(self, key: bytes) -> Iterator[Page]:
        """Yield leaves in key order from the one where `key` belongs on; see `nodes_from`."""
        seen = PageSet()
        path: list[tuple[Page, int]] = []
        yield self._descend(self.root, path, key, seen)
        while path:
            parent, child = path.pop()
            if child + 1 < parent.node_count:
                path.append((parent, child + 1))
                yield self._descend(_child(parent, child + 1), path, b"", seen)

    def nodes_before(self, key: bytes | None) -> Iterator[Node]:
        """Yield live nodes against key order from the last with a key < `key` on, or from the end.

        Otherwise like `nodes_from`.
        """
        seen = PageSet()
        path: list[tuple[Page, int]] = []
        page = self._descend(self.root, path, key, seen)
        end = page.node_count if key is None else _lower_bound(page, key)
        yield from reversed(list(self._live_to(page, end)))
        while path:
            parent, child = path.pop()
            if child:
                path.append((parent, child - 1))
                page = self._descend(_child(parent, child - 1), path, None, seen)
                yield from reversed(list(self._live(page, 0)))

    def _live_to(self, page: Page, end: int) -> Iterator[Node]:
        return filter(None, (self._alive(page, node) for node in _nodes(page, 0)[:end]))

    def leaf_for(self, key: bytes) -> int:
        """Return the number of the leaf where `key` belongs, unread. Raises as `nodes_from`."""
        pgno = self.root
        for _ in range(_DEEPEST):
            page = self.page(pgno)
            if page.is_leaf:
                return pgno
            _, pgno = _child_for(page, key)
            if page.flags & PageFlag.PARENT_OF_LEAF:
                return pgno
        raise PageDamaged(f"{self.name} is too deep", jet=Jet.errBadParentPageLink)

    def _descend(
        self, pgno: int, path: list[tuple[Page, int]], key: bytes | None, seen: PageSet
    ) -> Page:
        """Go down to the leaf where `key` belongs, None being greater than all keys.

        (page, child number) on the way go to `path`. Raises PageDamaged at a page that was met
        before.
        """
        while True:
            page = self.page(pgno)
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
            child, pgno = _last_child(page) if key is None else _child_for(page, key)
            path.append((page, child))


def _damaged(page: Page, why: object) -> PageDamaged:
    return PageDamaged(str(why), jet=Jet.errNodeCorrupted, position=f"page {page.number}")


def _nodes(page: Page, start: int) -> list[tuple[bytes, bytes, int] | None]:
    try:
        nodes: list[tuple[bytes, bytes, int] | None] = _kernel.nodes(page.data, start)
    except ValueError as error:
        raise _damaged(page, error) from error
    return nodes


def _child_for(page: Page, key: bytes) -> tuple[int, int]:
    """Return (number, page) of the child below which `key` belongs: its separator is greater."""
    try:
        child: tuple[int, int] = _kernel.child_for(page.data, key)
    except ValueError as error:
        raise _damaged(page, error) from error
    return child


def _last_child(page: Page) -> tuple[int, int]:
    last = page.node_count - 1
    if last < 0:
        raise _damaged(page, "an internal page has no children")
    return last, _child(page, last)


def _child(page: Page, i: int) -> int:
    """Return the page that node `i` of an internal page points to."""
    data = page.node(i).data
    if len(data) != 4:
        raise _damaged(page, "a child pointer is not 4 bytes long")
    return int.from_bytes(data, "little")


def _lower_bound(page: Page, key: bytes) -> int:
    try:
        found: int = _kernel.lower_bound(page.data, key)
    except ValueError as error:
        raise _damaged(page, error) from error
    return found
