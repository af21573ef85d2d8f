"""What an administrator asks of a database in use: defragment, shrink, scrub.

All of it goes on in small steps while others work; each step is a transaction of its own, so it can
be broken off at any time.

Source: log specification 4.6 (Scrub), 4.10, 4.11, 4.12 (ShrinkDB); format specification 4.4, 5.4.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotsplit.errors import HotsplitError, ObjectNotFound
from hotsplit.ese.engine.trees import records
from hotsplit.ese.engine.trees.joining import FILLED, part, whole
from hotsplit.ese.engine.trees.merge import carry_out, discard
from hotsplit.ese.engine.trees.pagemove import can_vacate, vacate
from hotsplit.ese.engine.upkeep.leaks import reclaim
from hotsplit.ese.files.opened import decoded
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.recovery.trees import DATA_FILL, unused

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.versions import Bookmark

    _Work = Callable[[Tree, Session, Bookmark, "Done"], Bookmark | None]

_STEP = 32  # pages of a transaction
_UNUSED_PAGE = 1
_DATA = b"\1"
_KEPT = b"\0"


@dataclass
class Done:
    """What was done, in pages. given_back: by trees to their parents. cut: off the end of the file.

    reclaimed: that were in nobody's hands. size: of the database afterwards.
    """

    joined: int = 0
    moved: int = 0
    given_back: int = 0
    cut: int = 0
    scrubbed: int = 0
    reclaimed: int = 0
    size: int = 0


def trees_of(database: OpenDatabase, table: str = "") -> list[Tree]:
    """Return the trees of one table, or of all: those first that lie in the space of others.

    Raises ObjectNotFound (-1305), InvalidUse (-1010).
    """
    found: list[Tree] = []
    with database.context.lock:
        if table and database.find_table(table) is None:
            raise ObjectNotFound(f"There is no table {table}", file=database.path)
        for known in [database.find_table(table)] if table else database.tables():
            state = None if known is None else known.latest
            if state is not None:
                found += reversed(state.trees)
    return found


def _leaf_by_leaf(tree: Tree, session: Session, done: Done, work: _Work) -> None:
    """Do some work at all leaves of a tree, at some of them in one transaction."""
    mark: Bookmark | None = (b"", b"")
    stays = 0
    while mark is not None:
        with _step(session, tree.database):
            for _ in range(_STEP):
                if mark is not None:
                    last, mark = mark, None if tree.dropped else work(tree, session, mark, done)
                    stays = stays + 1 if mark == last else 0
                    if mark is not None and (mark < last or stays > tree.database.store.page_count):
                        raise tree.damaged(
                            "the leaves are not in the order of their keys", tree.root
                        )


@contextlib.contextmanager
def _held(session: Session, database: OpenDatabase) -> Iterator[None]:
    """Hold the lock. Raises InvalidUse (-1010) if the database was detached meanwhile."""
    with session.context.lock, decoded(database.path):
        database.check(session.context)
        yield


@contextlib.contextmanager
def _step(session: Session, database: OpenDatabase) -> Iterator[None]:
    """Hold the lock for a small transaction."""
    with _held(session, database), session.transaction(lazy=True):
        yield


def _give_back(tree: Tree, session: Session, done: Done) -> None:
    """Give extents of a tree that are free back to its parent."""
    with _step(session, tree.database):
        if not tree.dropped:
            done.given_back += tree.space.give_back(session)


# The trees


def defragment(session: Session, database: OpenDatabase, table: str = "") -> Done:
    """Fill the leaves of all trees and give extents that become free back to their parents.

    In a whole database pages that a crash left in nobody's hands come back, too: see `reclaim`.
    """
    done = Done()
    if not table:
        done.reclaimed = reclaim(session, database)
    for tree in trees_of(database, table):
        _leaf_by_leaf(tree, session, done, _fill)
        _give_back(tree, session, done)
    done.size = database.store.page_count
    return done


def _fill(tree: Tree, session: Session, mark: Bookmark, done: Done) -> Bookmark | None:
    """Put the leaf of a bookmark together with the next one; return where to go on."""
    if _remove_deleted(tree, session, mark):
        return mark  # another leaf may lie there now
    path = tree.path(*mark)
    leaf = Page(path[-1].page, path[-1].pgno)
    if leaf.is_root:
        return None
    join = whole(tree, path, FILLED)
    if join is not None and carry_out(tree, session, path, join):
        done.joined += 1
        return mark
    if not leaf.next:
        return None
    following = tree.path(*_first(tree, leaf.next))
    join = part(tree, following)
    if join is not None:
        carry_out(tree, session, following, join)
    return _first(tree, leaf.next)


def _remove_deleted(tree: Tree, session: Session, mark: Bookmark) -> bool:
    """Remove deleted nodes of a leaf, which after a crash nobody else knows; tell if any went."""
    found = tree.find(*mark)
    removed = 0
    for key, data, flags in Page(found.page, found.pgno).nodes():
        if flags & NodeFlag.DELETED and tree.bookmark(key, data) not in tree.versions:
            # Others may have gone with one before: they are left behind when leaves are joined.
            if tree.find(key, data).exact:
                discard(tree, session, key, data)
            removed += not tree.find(key, data).exact
    return removed > 0


def _first(tree: Tree, pgno: int) -> Bookmark:
    node = Page(tree.page(pgno), pgno).node(0)
    return node.key, node.data


# The size of the file


def shrink(session: Session, database: OpenDatabase) -> Done:
    """Move pages from the end of the file to its begin and return what is free at its end.

    What lies in the last extents and cannot move, such as the root of a tree, ends it. Raises
    InvalidUse (-505) while a backup reads the database: it was told how long the file is.
    """
    done = Done()
    with _held(session, database):
        session.context.holds.check_detach(database.dbid)
    done.reclaimed = reclaim(session, database)
    for tree in trees_of(database):
        _vacate(session, tree, 1, done, grow=False)
    while _cut(session, database, done) or _empty_end(session, database, done):
        pass
    done.size = database.store.page_count
    return done


def _cut(session: Session, database: OpenDatabase, done: Done) -> bool:
    """Cut the last extent off the file if it is free; tell whether it was."""
    with _held(session, database):
        session.context.holds.check_detach(database.dbid)
        with _step(session, database):
            extent = database.root.space.cut_end(session)
        if extent is None:
            return False
        database.cut_file(extent.first - 1, extent.pages)
    done.cut += extent.pages
    return True


def _empty_end(session: Session, database: OpenDatabase, done: Done) -> bool:
    """Move pages out of the last extent of the file; tell whether that freed an extent in it."""
    with _held(session, database):
        end = max(database.root.space.extents(database.root.space.owned))
    before = done.given_back
    for tree in trees_of(database):
        _vacate(session, tree, end.first, done, grow=True)
    return done.given_back > before


def _vacate(session: Session, tree: Tree, first: int, done: Done, *, grow: bool) -> None:
    """Empty extents of a tree from page `first` on, the last ones first, and give them back."""
    database = tree.database
    with _held(session, database):
        if tree.dropped or not tree.space.header.is_multiple:
            return
        extents = [e for e in tree.space.extents(tree.space.owned) if e.first >= first]
    for extent in reversed(extents):
        with _held(session, database):
            moved = _STEP if not tree.dropped and can_vacate(tree, extent, grow=grow) else 0
        while moved == _STEP and not tree.dropped:
            with _step(session, database):
                moved = vacate(tree, session, extent, _STEP)
                done.moved += moved
    _give_back(tree, session, done)


# Deleted data


def scrub(session: Session, database: OpenDatabase) -> Done:
    """Overwrite what is deleted: between the nodes of pages, and on pages that are free."""
    done = Done()
    trees = trees_of(database)
    for tree in trees:
        _leaf_by_leaf(tree, session, done, _scrub)
    for tree in [*trees, database.root]:
        first = 0
        while first >= 0:
            with _step(session, database):
                free = () if tree.dropped else tree.space.free_pages(first)
                pages = list(itertools.islice(free, _STEP))
                done.scrubbed += sum(_scrub_free(tree, session, pgno) for pgno in pages)
            first = pages[-1] + 1 if pages else -1
    done.size = database.store.page_count
    return done


def _scrub(tree: Tree, session: Session, mark: Bookmark, done: Done) -> Bookmark | None:
    """Scrub the leaf of a bookmark; return the first one of the next leaf."""
    found = tree.find(*mark)
    leaf = Page(found.page, found.pgno)
    nodes = leaf.nodes()
    codes = b"".join(_code(tree, node) for node in nodes)
    if not _is_scrubbed(leaf, nodes) or _DATA in codes:
        _log_scrub(tree, session, leaf, 0, codes)
        done.scrubbed += 1
    return _first(tree, leaf.next) if leaf.next else None


def _code(tree: Tree, node: Node) -> bytes:
    gone = not node.data.strip(DATA_FILL) or not any(node.data)
    if not node.is_deleted or not tree.unique or gone:
        return _KEPT
    return _KEPT if tree.bookmark(node.key, node.data) in tree.versions else _DATA


def _scrub_free(tree: Tree, session: Session, pgno: int) -> bool:
    try:
        page = Page(tree.page(pgno), pgno)
    except HotsplitError:
        return False  # never used: there is nothing on it
    if _is_scrubbed(page, []):
        return False
    _log_scrub(tree, session, page, _UNUSED_PAGE, b"")
    return True


def _is_scrubbed(page: Page, nodes: list[Node]) -> bool:
    """Tell whether a page was scrubbed and holds nothing but these nodes.

    The flag alone does not tell: earlier editions of this engine did not take it back.
    """
    packed = Page(bytes(page.data), page.number)
    packed.fill(page.external, nodes)
    room = unused(packed)
    content = slice(page.header_size, room.start)
    same = packed.data[content] == page.data[content] and len(set(page.data[room])) <= 1
    return bool(page.flags & PageFlag.SCRUBBED) and same


def _log_scrub(tree: Tree, session: Session, page: Page, flags: int, codes: bytes) -> None:
    session.prepare()
    times = tree.database.tick(), page.dbtime
    record = records.scrub(session, tree.place, page.number, times, flags, codes)
    tree.database.context.journal.apply(record, tree.database.dbid, page.number)
