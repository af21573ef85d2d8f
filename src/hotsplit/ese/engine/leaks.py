"""Pages in nobody's hands: a crash leaves them where space was on its way from one tree to another.

A tree owns extents. What of them it does not use itself, does not keep free and has not given to a
tree below it is lost. That is found out tree by tree, from the trees of extents and the pages above
the leaves, and goes back to the free space of the tree that owns it.

Nothing may be under way meanwhile: the space of a table that was dropped belongs to nobody until
the last view of it has ended.

Source: format specification 5.1 to 5.4, 13.1 (S34).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hotsplit import _native
from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.files.opened import decoded
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import Extent, split_buffer

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tablestate import TableState
    from hotsplit.ese.engine.tree import Tree

_kernel = _native.load("tree")
_SHELVED = 2


def reclaim(session: Session, database: OpenDatabase) -> int:
    """Give pages that are in nobody's hands back to the trees that own them; return how many.

    Does nothing while somebody is in a transaction. Raises InvalidUse (-1108) if the session is
    itself, PageDamaged.
    """
    if session.level:
        raise InvalidUse("The session is in a transaction", jet=Jet.errInTransaction)
    count = 0
    lock, path = session.context.lock, database.path
    with lock, decoded(path):
        states = [state.latest for state in database.tables()]
    for state in states:
        if state is not None:
            with lock, decoded(path):
                count += _reclaim_table(session, state)
    with lock, decoded(path):
        below = [database.tree_at(root) for root in database.root_trees()]
        return count + _reclaim(session, database.root, below)


def _reclaim_table(session: Session, state: TableState) -> int:
    """Look at a table and at its indexes and long values."""
    if state.successor is not None or state.outdated:
        return 0
    table, *below = state.trees
    return sum(_reclaim(session, tree, []) for tree in below) + _reclaim(session, table, below)


def _reclaim(session: Session, tree: Tree, below: Iterable[Tree]) -> int:
    """Give back what a tree owns that neither it nor a tree below it has."""
    context = session.context
    context.safe_point()
    versions = context.versions
    if versions.open_transactions or versions.dropped or tree.dropped is not None:
        return 0
    used = _Marks(tree, _used(tree, below))
    lost = [run for extent in _owned(tree) for run in used.gaps(extent)]
    with session.transaction(lazy=True):
        for run in lost:
            tree.space.free(session, run.first, run.pages)
    return sum(run.pages for run in lost)


class _Marks:
    """A set of pages."""

    def __init__(self, tree: Tree, extents: Iterable[Extent]) -> None:
        self._marks = bytearray(tree.database.store.page_count + 1)
        for extent in extents:
            if not 0 < extent.first <= extent.last < len(self._marks):
                raise tree.damaged(f"{extent} lies behind the end of the file", tree.root)
            self._marks[extent.first : extent.last + 1] = b"\1" * extent.pages

    def gaps(self, extent: Extent) -> Iterator[Extent]:
        """Yield the runs of an extent that are not in the set."""
        end = extent.last + 1
        first = self._marks.find(0, extent.first, end)
        while first >= 0:
            behind = self._marks.find(1, first, end)
            behind = end if behind < 0 else behind
            yield Extent(behind - 1, behind - first)
            first = self._marks.find(0, behind, end)


def _owned(tree: Tree) -> list[Extent]:
    """Return all extents that a tree owns."""
    header = tree.space.header
    if header.is_multiple:
        return [e for e in tree.space.extents(tree.space.owned) if not e.pool]
    return [tree.space.single]


def _used(tree: Tree, below: Iterable[Tree]) -> Iterator[Extent]:
    """Yield what of the space of a tree is somewhere: in use, free, or given to trees below."""
    space = tree.space
    yield from _pages(tree)
    for child in below:
        yield from _owned(child)
    if space.header.is_multiple:
        yield from (e for e in space.extents(space.available) if e.pool != _SHELVED)
        for extents in space.owned, space.available:
            yield from _pages(extents)
            yield from split_buffer(Page(tree.page(extents.root)).external)
    elif space.single.pages:
        yield from (Extent(pgno, 1) for pgno in space.header.free_pages(tree.root))


def _pages(tree: Tree) -> Iterator[Extent]:
    """Yield the pages of a tree; leaves are told by the pages above them."""
    level, left = [tree.root], tree.database.store.page_count
    yield Extent(tree.root, 1)
    while level:
        following: list[int] = []
        for pgno in level:
            page, left = Page(tree.page(pgno), pgno), left - 1
            if page.is_leaf:
                return
            if not left:
                raise tree.damaged("the way from the root has no end", tree.root)
            count = _kernel.count(page.data)
            children = [int.from_bytes(n[1], "little") for n in _kernel.nodes(page.data, 0, count)]
            yield from (Extent(child, 1) for child in children)
            if not page.flags & PageFlag.PARENT_OF_LEAF:
                following += children
        level = following
