"""Pages in nobody's hands: a crash leaves them where space was on its way from one tree to another.

A tree owns extents. What of them it does not use itself, does not keep free and has not given to a
tree below it is lost. That is found out tree by tree, from the trees of extents and the pages above
the leaves, and goes back to the free space of the tree that owns it.

Nothing may be under way meanwhile: the space of a table that was dropped belongs to nobody until
the last view of it has ended.

Source: format specification 5.1 to 5.4, 13.1 (S34).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from hotsplit import _native
from hotsplit.errors import HotsplitError, InvalidUse, Jet
from hotsplit.ese.files.opened import decoded
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import Extent, split_buffer

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tables.tablestate import TableState
    from hotsplit.ese.engine.trees.tree import Tree

_kernel = _native.load("tree")
_SHELVED = 2


def reclaim(session: Session, database: OpenDatabase) -> int:
    """Give pages that are in nobody's hands back to the trees that own them; return how many.

    Does nothing while somebody is in a transaction. Raises InvalidUse (-1108 if the session is
    itself, -1010), PageDamaged.
    """
    if session.level:
        raise InvalidUse("The session is in a transaction", jet=Jet.errInTransaction)
    search, count = Search(database), 0
    while not search.is_over:
        with session.context.lock:
            database.check(session.context)
            count += search.step(session)
    return count


class Search:
    """A search of a database for what is in nobody's hands, in steps: one for each table.

    is_over: all has been looked at.
    """

    def __init__(self, database: OpenDatabase) -> None:
        self._database = database
        self._tables: list[TableState] | None = None
        self.is_over = False

    def step(self, session: Session) -> int:
        """Go on, with the lock; return how many pages were given back. Raises PageDamaged.

        What is damaged is not looked at again. Nothing is given back while somebody is in a
        transaction: see `may_go_on`.
        """
        database = self._database
        with decoded(database.path):
            if self._tables is None:
                found = (state.latest for state in database.tables())
                self._tables = [state for state in found if state is not None]
            if self._tables:
                return _reclaim_table(session, self._tables.pop(0))
            self.is_over = True
            below = [database.tree_at(root) for root in database.root_trees()]
            return _reclaim(session, database.root, below)


class Searches:
    """Searches of databases that were recovered, for when there is time.

    on_damage: is told what could not be looked at. reclaimed: pages given back so far.
    """

    def __init__(self, session: Session, on_damage: Callable[[HotsplitError], None]) -> None:
        self._session, self._on_damage = session, on_damage
        self._searches: dict[int, Search] = {}
        self.reclaimed = 0

    def begin(self, database: OpenDatabase) -> None:
        """Search a database from now on."""
        self._searches[database.dbid] = Search(database)

    def end(self, database: OpenDatabase) -> None:
        """Search a database no longer."""
        self._searches.pop(database.dbid, None)

    def step(self) -> bool:
        """Look at one table, with the lock; tell whether there was one to look at."""
        if not self._searches or not may_go_on(self._session):
            return False
        dbid, search = next(iter(self._searches.items()))
        try:
            self.reclaimed += search.step(self._session)
        except HotsplitError as error:
            self._on_damage(error)
        if search.is_over:
            del self._searches[dbid]
        return True


def may_go_on(session: Session) -> bool:
    """Tell whether nothing is under way that would look like a leak."""
    versions = session.context.versions
    return not (versions.open_transactions or versions.dropped)


def _reclaim_table(session: Session, state: TableState) -> int:
    """Look at a table and at its indexes and long values."""
    if state.successor is not None or state.outdated:
        return 0
    table, *below = state.trees
    return sum(_reclaim(session, tree, []) for tree in below) + _reclaim(session, table, below)


def _reclaim(session: Session, tree: Tree, below: Iterable[Tree]) -> int:
    """Give back what a tree owns that neither it nor a tree below it has."""
    session.context.safe_point()
    if not may_go_on(session) or tree.dropped is not None:
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
