"""Reading a sound database tree by tree: the catalog's rows, root pages, live nodes.

Every method raises the HotsplitError of the place where the database is damaged.
"""

from __future__ import annotations

from collections.abc import Iterator

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.space import SpaceHeader
from hotsplit.ese.read.pages import PageSource
from hotsplit.ese.rebuild.objects import CATALOG, CatalogRow, RowReader, TableTrees, tables_of
from hotsplit.ese.rebuild.walk import TreeName, TreeWalk, linked_leaves, live_nodes

SOUND_HINT = "Run `hotsplit check` on it; `hotsplit repair` salvages what is readable."


class SoundReader:
    """The trees of one database that has no damage."""

    def __init__(self, source: PageSource) -> None:
        self.source = source
        new_format = bool(self.root(CATALOG).flags & PageFlag.NEW_RECORD)
        self.rows = RowReader(source.page_size, new_format=new_format)

    def root(self, tree: TreeName) -> Page:
        """Return the root page of a tree."""
        return next(TreeWalk(self.source, tree).pages())

    def space(self, tree: TreeName) -> SpaceHeader:
        """Return what the root page of a tree says of its pages."""
        try:
            return SpaceHeader.unpack(self.root(tree).external)
        except ValueError as error:
            raise DataDamaged(f"{tree.text}: {error}", position=f"page {tree.root}") from error

    def leaves(self, tree: TreeName) -> Iterator[Page]:
        """Yield the leaves of a tree in key order."""
        return linked_leaves(TreeWalk(self.source, tree), tree)

    def catalog_rows(self) -> Iterator[CatalogRow]:
        """Yield the rows of the catalog."""
        for page in self.leaves(CATALOG):
            for key, data, _ in live_nodes(page):
                yield self.rows.read(key, data)

    def tables(self) -> Iterator[TableTrees]:
        """Yield all tables but the two catalogs."""
        return tables_of(self.catalog_rows())

    def catalog_index(self, tree: TreeName) -> TreeName:
        """Return an index of the catalog with the root page that it has in this database."""
        for row in self.catalog_rows():
            if row.table == CATALOG.objid and row.has_tree and row.id == tree.objid:
                return tree._replace(root=row.root)
            if row.table > CATALOG.objid:
                break
        raise DataDamaged(f"{tree.text} is missing", jet=Jet.errCatalogCorrupted)
