"""Where the pages of a new database lie: every tree in one run, a table's trees inside its run.

The catalogs keep their fixed places; what does not fit there follows behind the tables.

Source: format specification 5.2 to 5.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from hotsplit.ese.format.page import Node, Page, PageFlag
from hotsplit.ese.format.space import Extent, SpaceFlag, SpaceHeader
from hotsplit.ese.rebuild.target import NewDatabase
from hotsplit.ese.rebuild.treewriter import RootContent

DATABASE_ROOT = 1
FIRST_FREE_PAGE = 29
_DATABASE_OBJID = 1
_SPLIT_BUFFER = bytes(16)
_SINGLE_MOST = 32  # pages of a tree whose free pages are a map


class FixedPlace(NamedTuple):
    """Pages that a catalog tree always has: its first extent, and which of it are for its pages."""

    root: int
    last: int
    pool: range

    @property
    def extent(self) -> Extent:
        """The first extent: root page, the two roots of space, the pool and what children have."""
        return Extent(self.last, self.last - self.root + 1)


CATALOG_PLACE = FixedPlace(4, 23, range(13, 24))
SHADOW_PLACE = FixedPlace(24, 28, range(27, 29))
NAME_PLACE = FixedPlace(7, 9, range(0))
ROOT_PLACE = FixedPlace(10, 12, range(0))


class Pool:
    """Takes the pages of a fixed place first, then new ones at the end."""

    def __init__(self, database: NewDatabase, place: FixedPlace) -> None:
        self._database = database
        self._left = list(place.pool)[::-1]

    def take(self) -> int:
        """Return the number of the next page."""
        return self._left.pop() if self._left else self._database.take()

    @property
    def unused(self) -> list[Extent]:
        """The pages that are left over."""
        return [Extent(self._left[0], len(self._left))] if self._left else []


class TreePlace(NamedTuple):
    """A tree whose root page is to be written: its root, object id, parent and what it keeps.

    mark: highest autoincrement value handed out, None if the tree does not keep it.
    """

    root: int
    objid: int
    parent: int
    mark: int | None = None


def write_root(database: NewDatabase, tree: TreePlace, content: RootContent) -> None:
    """Write the root of a tree that has all pages from its root page to the end of the file."""
    kind = content.flags
    pages = database.last - tree.root + 1
    if pages <= _SINGLE_MOST:
        header = SpaceHeader(pages, tree.parent, _unique(kind), 0, tree.mark)
        _write_root_page(database, tree, content, header)
        return
    roots = database.take(), database.take()
    extent = Extent(database.last, pages + len(roots))
    _write_multiple(database, tree, content, roots[0], ([extent], []))


def write_provisional_root(database: NewDatabase, tree: TreePlace, content: RootContent) -> None:
    """Write a root page whose space is not known yet, so that the tree can be read already."""
    _write_root_page(database, tree, content, SpaceHeader(1, tree.parent, 0, 0, tree.mark))


def write_fixed_root(
    database: NewDatabase,
    place: FixedPlace,
    tree: TreePlace,
    content: RootContent,
    more: Sequence[Extent],
    unused: Sequence[Extent],
) -> None:
    """Write the root of a catalog tree. more: extents behind the tables; unused: free pages."""
    extents = [place.extent, *more]
    _write_multiple(database, tree, content, place.root + 1, (extents, unused))


def _unique(kind: int) -> int:
    return int(SpaceFlag.NON_UNIQUE) if kind & PageFlag.NON_UNIQUE else 0


def _write_multiple(
    database: NewDatabase,
    tree: TreePlace,
    content: RootContent,
    owned_root: int,
    extents: tuple[Sequence[Extent], Sequence[Extent]],
) -> None:
    kind = content.flags & ~(PageFlag.ROOT | PageFlag.LEAF | PageFlag.PARENT_OF_LEAF)
    for pgno, found in zip((owned_root, owned_root + 1), extents, strict=True):
        flags = kind | PageFlag.ROOT | PageFlag.LEAF | PageFlag.SPACE_TREE
        page = Page.new(database.page_size, pgno, tree.objid, 0, flags)
        page.fill(_SPLIT_BUFFER, [Node(*extent.pack()) for extent in found])
        database.write(page)
    space_flags = SpaceFlag.MULTIPLE | _unique(kind)
    header = SpaceHeader(extents[0][0].pages, tree.parent, space_flags, owned_root, tree.mark)
    _write_root_page(database, tree, content, header)


def _write_root_page(
    database: NewDatabase, tree: TreePlace, content: RootContent, header: SpaceHeader
) -> None:
    page = Page.new(database.page_size, tree.root, tree.objid, 0, content.flags)
    page.fill(header.pack(), content.nodes)
    database.write(page)


def write_database_root(database: NewDatabase, kind: int) -> None:
    """Write pages 1 to 3: the database owns the file to its end, and nothing is free."""
    content = RootContent(kind | PageFlag.ROOT | PageFlag.LEAF, [], 0, 1)
    tree = TreePlace(DATABASE_ROOT, _DATABASE_OBJID, 0)
    extents = [Extent(database.last, database.last)]
    _write_multiple(database, tree, content, DATABASE_ROOT + 1, (extents, []))


def header_size(mark: int | None) -> int:
    """Return the bytes of the space header."""
    return len(SpaceHeader(0, 0, 0, 0, mark).pack())


def appended(first: int, database: NewDatabase) -> Iterator[Extent]:
    """Yield the extent of the pages from `first` to the end of the file, if there are any."""
    if database.last >= first:
        yield Extent(database.last, database.last - first + 1)
