"""Walking all pages of a tree from its root in key order.

Nothing is gone around in silence: a page that cannot be read leaves a `Hole`, and the caller says
whether that ends the walk. No page is met twice, so no damage makes it endless.

Source: format specification 4.1, 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hotsplit.errors import HotsplitError, Jet, PageDamaged
from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.read.pages import PageSet, PageSource

_DEEPEST = 16
_KINDS = PageFlag.INDEX | PageFlag.LONG_VALUE | PageFlag.NON_UNIQUE | PageFlag.NEW_RECORD


class TreeName(NamedTuple):
    """A tree: root page, object id, words for messages."""

    root: int
    objid: int
    text: str


class Hole(NamedTuple):
    """A page of a tree that cannot be used, and which keys it had: from `low` to below `high`.

    low, high: None for no bound. is_leaf: the page above says that this one is a leaf.
    """

    page: int
    low: bytes | None
    high: bytes | None
    is_leaf: bool
    error: HotsplitError


class Child(NamedTuple):
    """A page that a pointer leads to: as the fields of `Hole`."""

    page: int
    low: bytes | None
    high: bytes | None
    is_leaf: bool


def tree_kind(flags: int) -> int:
    """Return those page flags that all pages of a tree share."""
    return flags & _KINDS


def refuse(hole: Hole) -> None:
    """End a walk at the first hole."""
    raise hole.error


class TreeWalk:
    """One walk over one tree. on_hole: called for each page that cannot be used.

    fits: says of a leaf whether it belongs where a pointer leads to it; another pointer may then
    lead to it, too. Without it that is not asked.
    """

    def __init__(
        self,
        source: PageSource,
        tree: TreeName,
        on_hole: Callable[[Hole], None] = refuse,
        fits: Callable[[Page, Child], bool] | None = None,
    ) -> None:
        self._source, self._tree, self._on_hole, self._fits = source, tree, on_hole, fits
        self.visited = PageSet()

    def pages(self) -> Iterator[Page]:
        """Yield internal pages before what is below them, and leaves, in key order."""
        stack = [[Child(self._tree.root, None, None, False)]]
        while stack:
            if not stack[-1]:
                stack.pop()
                continue
            child = stack[-1].pop()
            try:
                page = self._read(child, len(stack))
                below = [] if page.is_leaf else self._children(page, child)
            except HotsplitError as error:
                self.visited.add_bad(child.page)
                self._on_hole(Hole(*child, self._named(error)))
                continue
            if self._fits is not None and page.is_leaf and not self._fits(page, child):
                stray = _damaged("the page has the keys of another place", child.page,
                                 Jet.errBadParentPageLink)  # fmt: skip
                self._on_hole(Hole(*child, self._named(stray)))
                continue
            self.visited.add(child.page)
            yield page
            if below:
                stack.append(below[::-1])

    def _named(self, error: HotsplitError) -> HotsplitError:
        error.message = f"{self._tree.text}: {error.message}"
        return error

    def _read(self, child: Child, depth: int) -> Page:
        pgno = child.page
        if pgno in self.visited:
            raise _damaged("two pointers lead to the page", pgno, Jet.errBadParentPageLink)
        if depth > _DEEPEST:
            raise _damaged("the tree is too deep", pgno, Jet.errBadParentPageLink)
        page = Page(memoryview(bytearray(self._source.read_page(pgno))), pgno)
        if page.objid != self._tree.objid:
            raise _damaged(
                f"the page is of object {page.objid}, not of {self._tree.objid}",
                pgno, Jet.errBadPageLink,
            )  # fmt: skip
        if page.is_root != (depth == 1):
            raise _damaged("a root page where none belongs, or none where one does", pgno,
                           Jet.errBadPageLink)  # fmt: skip
        return page

    @staticmethod
    def _children(page: Page, place: Child) -> list[Child]:
        """Return the children of an internal page with the keys that bound them."""
        nodes = page.nodes()
        if not nodes or any(len(node.data) != 4 for node in nodes):
            raise _damaged("an internal page without proper pointers", page.number,
                           Jet.errBadParentPageLink)  # fmt: skip
        found, low = [], place.low
        above_leaves = bool(page.flags & PageFlag.PARENT_OF_LEAF)
        for i, node in enumerate(nodes):
            high = place.high if i + 1 == len(nodes) else node.key
            found.append(Child(int.from_bytes(node.data, "little"), low, high, above_leaves))
            low = high
        return found


def _damaged(why: str, pgno: int, jet: Jet) -> PageDamaged:
    return PageDamaged(why, jet=jet, position=f"page {pgno}")


def linked_leaves(walk: TreeWalk, tree: TreeName) -> Iterator[Page]:
    """Yield the leaves of a tree that has no damage. Raises a HotsplitError where it has.

    The links between leaves must be those of the tree.
    """
    before: Page | None = None
    for page in walk.pages():
        if not page.is_leaf:
            continue
        expected = (0, page.number) if before is None else (before.number, page.number)
        found = (page.previous, page.number if before is None else before.next)
        if found != expected:
            raise _damaged(f"{tree.text}: the links between leaves are not those of the tree",
                           page.number, Jet.errBadPageLink)  # fmt: skip
        before = page
        yield page
    if before is not None and before.next:
        raise _damaged(f"{tree.text}: the last leaf has a next one", before.number,
                       Jet.errBadPageLink)  # fmt: skip


def live_nodes(page: Page) -> list[Node]:
    """Return the nodes of a page that are not flagged deleted. Raises PageDamaged."""
    return [node for node in page.nodes() if not node.is_deleted]
