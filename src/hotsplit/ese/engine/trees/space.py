"""The pages that a tree owns: taken for new pages, for child trees, given back.

A small tree has one extent and a map of its free pages; a larger one has two trees of extents,
those it owns and those that are free. More space comes from the parent tree; the database's root
tree extends the file.

Source: format specification 5; log specification 4.7, 4.12.
"""

from __future__ import annotations

import contextlib
import functools
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hotsplit.errors import Jet, PageDamaged
from hotsplit.ese.engine.trees import records
from hotsplit.ese.engine.trees.merge import discard
from hotsplit.ese.format.logrecord import UNIQUE, encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.format.space import Extent, SpaceHeader

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree

DATABASE_ROOT = 1
_SMALL_TREE = 16
_SMALL_GROWTH = 4
_SPACE_ROOTS = 2
_MOST_BYTES = 100 << 20
_MAP_BITS = 32
_NOTHING = Extent(0, 0)
_NO_LIMIT = 1 << 32


_SHELVED = 2  # pool of extents behind the end of the file


class Space:
    """The space of one tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._database = tree.database
        self._owned_pages = 0
        self._new = self._reserved = _NOTHING

    @property
    def header(self) -> SpaceHeader:
        """What the root page says now."""
        return SpaceHeader.unpack(Page(self._tree.page(self._tree.root)).external)

    @functools.cached_property
    def owned(self) -> Tree:
        """The tree of the extents owned."""
        return self._space_tree(self.header.owned)

    @functools.cached_property
    def available(self) -> Tree:
        """The tree of the extents that are free."""
        return self._space_tree(self.header.owned + 1)

    def _space_tree(self, root: int) -> Tree:
        from hotsplit.ese.engine.trees.tree import Tree

        tree = self._tree
        kind = tree.kind | PageFlag.SPACE_TREE
        found = Tree(self._database, root, tree.objid, kind)
        found.place.fdp = tree.root
        found.__dict__["space"] = self  # its own pages come from the same space
        return found

    def extents(self, tree: Tree) -> Iterator[Extent]:
        """Yield the extents in one of the two trees. Raises PageDamaged for impossible ones."""
        for node in tree.scan():
            extent = Extent.unpack(node.key, node.data)
            if extent.pool != _SHELVED:
                self._check(extent)
            yield extent

    def free_pages(self, first: int = 0) -> Iterator[int]:
        """Yield the pages that are free, from number `first` on. Raises PageDamaged."""
        header = self.header
        if header.is_multiple:
            for extent in self._from(self.available, first):
                if not extent.pool:
                    self._check(extent)
                    yield from range(max(first, extent.first), extent.last + 1)
        elif self.single.pages:
            yield from (pgno for pgno in header.free_pages(self._tree.root) if pgno >= first)

    @property
    def single(self) -> Extent:
        """The extent of a tree that has only one. Raises PageDamaged for an impossible one."""
        pages = self.header.pages
        extent = Extent(self._tree.root + pages - 1, pages)
        self._check(extent)
        return extent

    def _check(self, extent: Extent) -> None:
        if extent.last > self._tree.database.store.page_count:
            raise self._tree.damaged(f"{extent} lies behind the end of the file", self._tree.root)

    # Taking

    def allocate(self, session: Session) -> int:
        """Take one page."""
        if self._reserved.pages:
            first = self._reserved.first
            self._reserved = self._reserved._replace(pages=self._reserved.pages - 1)
            return first
        return self.allocate_extent(session, 1)

    @contextlib.contextmanager
    def reserving(self, session: Session, count: int) -> Iterator[None]:
        """Take up to `count` adjacent pages at once for what is allocated inside.

        What is left is given back. After a crash it is in nobody's hands.
        """
        if count > 1 and not self._reserved.pages and self.header.is_multiple:
            session.prepare()
            self._reserved = self._first_available(session, count)
        try:
            yield
        finally:
            left, self._reserved = self._reserved, _NOTHING
            if left.pages and self._database.context.failure is None:
                self.free(session, left.first, left.pages)

    def _first_available(self, session: Session, most: int) -> Extent:
        """Take pages of the first free extent, at most so many; no pages if none is free."""
        for extent in self.extents(self.available):
            if not extent.pool:
                count = min(extent.pages, most)
                first = self._from_available(session, count)
                return Extent(first + count - 1, count)
        return _NOTHING

    def allocate_extent(self, session: Session, count: int) -> int:
        """Take `count` adjacent pages; return the first. They belong to the tree already."""
        session.prepare()
        header = self.header
        if not header.is_multiple:
            first = self._from_map(session, header, count)
            if first:
                return first
            self._convert(session, header, count)
        if self._new.pages >= count:
            first = self._new.first
            self._new = self._new._replace(pages=self._new.pages - count)
            return first
        while not (first := self._from_available(session, count)):
            self._grow(session, count)
        return first

    def allocate_below(self, session: Session, count: int, limit: int) -> int:
        """Take `count` adjacent pages in front of page `limit`; return the first, 0 if none is.

        The database does not grow for that.
        """
        if not self.header.is_multiple:
            return 0
        first = self._from_available(session, count, limit)
        if first or self._tree.root == DATABASE_ROOT:
            return first
        size = max(count, _SMALL_GROWTH)
        outer = self._parent().allocate_below(session, size, limit)
        if not outer:
            return 0
        self._take(session, Extent(outer + size - 1, size))
        return self._from_available(session, count, limit)

    def _from_map(self, session: Session, header: SpaceHeader, count: int) -> int:
        """Take pages of a single extent; 0 if the map has no such run."""
        run = (1 << count) - 1
        most = min(header.pages - 1, _MAP_BITS)
        for bit in range(most - count + 1):
            if header.owned >> bit & run == run:
                left = header._replace(owned=header.owned & ~(run << bit))
                self._tree.set_external(session, left.pack())
                return self._tree.root + 1 + bit
        return 0

    def _from_available(self, session: Session, count: int, limit: int = _NO_LIMIT) -> int:
        available = self.available
        for extent in self.extents(available):
            if extent.pool or extent.pages < count or extent.first + count > limit:
                continue
            key, data = extent._replace(pages=extent.pages - count).pack()
            if extent.pages == count:
                discard(available, session, key)
            else:
                available.replace(session, key, data)
            return extent.first
        return 0

    def _growth(self, count: int) -> int:
        """Pages to ask the parent for: a quarter of what the tree owns, within bounds."""
        if not self._owned_pages:
            self._owned_pages = sum(e.pages for e in self.extents(self.owned))
        most = _MOST_BYTES // self._database.context.settings.page_size
        small = self._owned_pages <= _SMALL_TREE
        return max(count, _SMALL_GROWTH if small else min(self._owned_pages // 4, most))

    def _grow(self, session: Session, count: int) -> None:
        """Get a secondary extent."""
        if self._tree.root == DATABASE_ROOT:
            extent = self._database.extend(session, count)
        else:
            size = self._growth(count)
            extent = Extent(self._parent().allocate_extent(session, size) + size - 1, size)
        self._take(session, extent)

    def _take(self, session: Session, extent: Extent) -> None:
        """Enter an extent that was taken from the parent."""
        self._owned_pages += extent.pages
        # Owned first: what a crash leaves in between is lost to all, but never in two hands. If the
        # owned extents need a page for that, it is one of these.
        outer, self._new = self._new, extent
        self.owned.insert(session, *extent.pack())
        extent, self._new = self._new, outer
        if extent.pages:
            self.available.insert(session, *extent.pack())

    def _parent(self) -> Space:
        return self._database.tree_at(self.header.parent).space

    def _convert(self, session: Session, header: SpaceHeader, count: int) -> None:
        """Go from one extent to trees of extents, which lie in a second one."""
        tree, database = self._tree, self._database
        more = max(_SMALL_GROWTH, count + _SPACE_ROOTS)
        first = self._parent().allocate_extent(session, more)
        page = Page(tree.page(tree.root))
        record = encode(
            T.CONVERT_FDP2, procid=session.procid, dbid=database.dbid, pgno=tree.root,
            dbtime=database.tick(), dbtime_before=page.dbtime, trx=session.trx,
            level=session.level, flags=tree.place.flags & UNIQUE, objid=tree.objid,
            pgno_oe=first, pgno_ae=first + 1, pgno_parent=header.parent, pgno_secondary=first,
            cpg_primary=header.pages, cpg_secondary=more, available=header.owned,
            page_flags=tree.kind,
        )  # fmt: skip
        database.context.journal.apply(record, database.dbid, tree.root)

    # Giving back

    def free(self, session: Session, first: int, count: int) -> None:
        """Give adjacent pages of one owned extent back to the tree's free space.

        Raises PageDamaged (-343) if the tree does not own them.
        """
        session.prepare()
        header, extent = self.header, Extent(first + count - 1, count)
        around = self._around(header, extent)
        if not header.is_multiple:
            bits = ((1 << count) - 1) << (first - self._tree.root - 1)
            self._tree.set_external(session, header._replace(owned=header.owned | bits).pack())
            return
        available = self.available
        # A free extent never reaches beyond the owned one that it lies in.
        before = available.get(session, _key(first - 1)) if first > around.first else None
        if before is not None:
            extent = Extent(extent.last, count + int.from_bytes(before, "little"))
            discard(available, session, _key(first - 1))
        after = next((e for e in self._from(available, extent.last + 1) if not e.pool), None)
        if after is not None and after.first == extent.last + 1 and extent.last < around.last:
            key, data = after._replace(pages=after.pages + extent.pages).pack()
            available.replace(session, key, data)
        else:
            available.insert(session, *extent.pack())

    def _around(self, header: SpaceHeader, extent: Extent) -> Extent:
        """Return the owned extent that pages lie in: without the root page of a single one."""
        if header.is_multiple:
            around = next(self._from(self.owned, extent.last), _NOTHING)
        else:
            last = min(self.single.last, self._tree.root + _MAP_BITS)
            around = Extent(last, last - self._tree.root)
        if not around.first <= extent.first <= extent.last <= around.last:
            raise PageDamaged(
                f"{extent} is given back to a tree that does not own it",
                jet=Jet.errSPOwnExtCorrupted, position=f"page {self._tree.root}",
            )  # fmt: skip
        return around

    def give_back(self, session: Session) -> int:
        """Give extents that are wholly free back to the parent; return the number of pages."""
        if self._tree.root == DATABASE_ROOT or not self.header.is_multiple:
            return 0
        session.prepare()
        owned = {extent.last: extent for extent in self.extents(self.owned)}
        free = [e for e in self.extents(self.available) if owned.get(e.last) == e]
        count = 0
        for extent in free:
            key, data = extent.pack()
            if self.available.get(session, key) != data:
                continue  # the trees of extents took a page of it meanwhile
            self._give_up(session, extent)
            self._parent().free(session, extent.first, extent.pages)
            count += extent.pages
        return count

    def cut_end(self, session: Session) -> Extent | None:
        """Give up the last extent of the database if all of it is free; return it.

        The first extent stays, which holds the catalog.
        """
        session.prepare()
        owned = list(self.extents(self.owned))
        extent = owned[-1]
        if len(owned) < 2 or extent not in self.extents(self.available):
            return None
        self._give_up(session, extent)
        return extent

    def _give_up(self, session: Session, extent: Extent) -> None:
        """Take an extent that is free out of both trees: in nobody's hands for the moment."""
        discard(self.available, session, _key(extent.last))
        discard(self.owned, session, _key(extent.last))
        self._owned_pages = 0

    @staticmethod
    def _from(tree: Tree, last: int) -> Iterator[Extent]:
        """Yield the extents that end at page `last` or behind it."""
        for node in tree.scan(_key(last)):
            yield Extent.unpack(node.key, node.data)


def _key(last: int) -> bytes:
    return Extent(last, 1).pack()[0]


def make_tree(
    session: Session, parent: Tree, root: int, objid: int, kind: int, pages: int, *, unique: bool
) -> Tree:
    """Make a tree whose primary extent, `pages` pages at `root`, is taken from `parent` already."""
    from hotsplit.ese.engine.trees.tree import Tree

    database = parent.database
    tree = Tree(database, root, objid, kind, unique=unique)
    record = encode(
        T.CREATE_SINGLE_EXTENT_FDP, procid=session.procid, dbid=database.dbid, pgno=root,
        dbtime=database.tick(), dbtime_before=records.IN_MACRO, trx=session.trx,
        level=session.level, flags=tree.place.flags, objid=objid, pgno_parent=parent.root,
        cpg_primary=pages, page_flags=kind,
    )  # fmt: skip
    database.context.journal.apply(record, database.dbid, root)
    return tree


def make_large_tree(
    session: Session, database_tree: Tree, root: int, pages: int, parent: int
) -> None:
    """Make a tree with trees of extents: root, owned, available are its first three pages."""
    database = database_tree.database
    record = encode(
        T.CREATE_MULTIPLE_EXTENT_FDP, procid=session.procid, dbid=database.dbid, pgno=root,
        dbtime=database.tick(), dbtime_before=records.IN_MACRO, trx=session.trx,
        level=session.level, flags=database_tree.place.flags, objid=database_tree.objid,
        pgno_oe=root + 1, pgno_ae=root + 2, pgno_parent=parent, cpg_primary=pages,
        page_flags=database_tree.kind & ~PageFlag.NEW_RECORD,
    )  # fmt: skip
    database.context.journal.apply(record, database.dbid, root)


def free_tree(tree: Tree, session: Session) -> None:
    """Give all that a tree owns back to its parent: the trees below it go with it.

    No catalog names it any more and nobody reads it, so what a crash leaves undone is only lost.
    """
    database, space = tree.database, tree.space
    session.prepare()
    header = space.header
    if header.is_multiple:
        extents = list(space.extents(space.owned))
    else:
        extents = [Extent(tree.root + header.pages - 1, header.pages)]
    parent = database.tree_at(header.parent).space
    for extent in extents:
        parent.free(session, extent.first, extent.pages)


def extension(dbid: int, last: int) -> bytes:
    """Return the ExtendDB record: the file grows to page `last`."""
    return encode(T.EXTEND_DB, content=struct.pack("<BI", dbid, last))
