"""Writing a new database table by table, the catalogs last: only then all root pages are known.

Source: format specification 5.1 (ownership), 6.4 (catalog indexes), 6.9 (system tables).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from hotsplit.errors import DataDamaged, Jet
from hotsplit.ese.format.catalogschema import RowType, catalog_key
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.rebuild.objects import (
    CATALOG,
    NAME_INDEX,
    ROOT_INDEX,
    SHADOW,
    CatalogRow,
    RowReader,
    TableTrees,
    with_root,
)
from hotsplit.ese.rebuild.space import (
    CATALOG_PLACE,
    DATABASE_ROOT,
    NAME_PLACE,
    ROOT_PLACE,
    SHADOW_PLACE,
    FixedPlace,
    Pool,
    TreePlace,
    appended,
    header_size,
    write_database_root,
    write_fixed_root,
    write_root,
)
from hotsplit.ese.rebuild.target import NewDatabase
from hotsplit.ese.rebuild.treewriter import RootContent, TreeWriter
from hotsplit.ese.rebuild.walk import TreeName

_FIXED_ROOTS = {tree.objid: tree.root for tree in (CATALOG, SHADOW, NAME_INDEX, ROOT_INDEX)}


class Batch(NamedTuple):
    """Nodes in order that belong on pages with these kind flags."""

    kind: int
    nodes: Iterable[Node]


@dataclass
class TreeContent:
    """What a tree is to hold. mark: its highest autoincrement value, None if it keeps none."""

    kind: int
    batches: Iterable[Batch]
    mark: int | None = None


@dataclass
class Omitted:
    """Objects that the new database does not have, by object id: whole tables, single trees."""

    tables: set[int] = field(default_factory=set)
    trees: set[int] = field(default_factory=set)

    def row(self, table: int, kind: int, number: int) -> bool:
        """True for a catalog row of such an object."""
        of_tree = kind in (RowType.INDEX, RowType.LONG_VALUE) and number in self.trees
        return table in self.tables or of_tree

    def objid(self, number: int) -> bool:
        """True for the object id of such an object."""
        return number in self.tables or number in self.trees


class DatabaseBuilder:
    """Builds one database. Tables come first, `write_catalogs` and `finish` after the last."""

    def __init__(self, database: NewDatabase) -> None:
        self.database = database
        self.roots = dict(_FIXED_ROOTS)
        self.omitted = Omitted()
        self.tables = self.trees = self.nodes = 0

    def fill(
        self, tree: TreeName, content: TreeContent, take: Callable[[], int] | None = None
    ) -> RootContent:
        """Write all pages of a tree but its root."""
        writer = TreeWriter(
            self.database,
            take or self.database.take,
            tree.objid,
            content.kind,
            name=tree.text,
            external=header_size(content.mark),
        )
        for batch in content.batches:
            writer.leaf_kind = batch.kind
            for key, data, _ in batch.nodes:
                writer.add(key, data)
        self.trees += 1
        self.nodes += writer.count
        return writer.finish()

    def write_table(self, table: TableTrees, content_of: Callable[[TreeName], TreeContent]) -> None:
        """Write a table and what it owns: long values and secondary indexes."""
        root = self.roots[table.objid] = self.database.take()
        rows = content_of(table.rows)
        filled = self.fill(table.rows, rows)
        children = [table.long_values] if table.long_values is not None else []
        for tree in [*children, *table.indexes]:
            self.write_child(root, tree, content_of(tree))
        write_root(self.database, TreePlace(root, table.objid, DATABASE_ROOT, rows.mark), filled)
        self.tables += 1

    def write_child(self, parent: int, tree: TreeName, content: TreeContent) -> None:
        """Write a tree that gets its space from a table."""
        root = self.roots[tree.objid] = self.database.take()
        filled = self.fill(tree, content)
        write_root(self.database, TreePlace(root, tree.objid, parent, content.mark), filled)

    # The catalogs

    def write_catalogs(self, contents: dict[TreeName, TreeContent]) -> None:
        """Write catalog, its two indexes and the shadow; contents by name of the tree."""
        database = self.database
        first, pool = database.next, Pool(database, CATALOG_PLACE)
        filled = self.fill(CATALOG, contents[CATALOG], pool.take)
        self._write_fixed(NAME_INDEX, NAME_PLACE, contents[NAME_INDEX])
        self._write_fixed(ROOT_INDEX, ROOT_PLACE, contents[ROOT_INDEX])
        place = TreePlace(CATALOG.root, CATALOG.objid, DATABASE_ROOT)
        more = list(appended(first, database))
        write_fixed_root(database, CATALOG_PLACE, place, filled, more, pool.unused)
        self._write_fixed(SHADOW, SHADOW_PLACE, contents[SHADOW])
        self.tables += 2
        write_database_root(database, contents[CATALOG].kind & PageFlag.NEW_RECORD)

    def _write_fixed(self, tree: TreeName, place: FixedPlace, content: TreeContent) -> None:
        database = self.database
        first, pool = database.next, Pool(database, place)
        filled = self.fill(tree, content, pool.take)
        parent = DATABASE_ROOT if tree == SHADOW else CATALOG.root
        more = list(appended(first, database))
        write_fixed_root(
            database, place, TreePlace(place.root, tree.objid, parent), filled, more, pool.unused
        )

    def catalog_nodes(self, nodes: Iterable[Node], reader: RowReader) -> Iterator[Node]:
        """Yield catalog rows with the new root pages, those of omitted objects left out.

        Raises DataDamaged for a tree that was not written.
        """
        for key, data, _ in nodes:
            row = reader.read(key, data)
            if self.omits(row):
                continue
            if row.has_tree and row.id not in self.roots:
                message = f"the catalog has a tree {row.id} that no table has"
                raise DataDamaged(message, jet=Jet.errCatalogCorrupted)
            yield Node(key, with_root(data, self.roots[row.id]) if row.has_tree else data)

    def omits(self, row: CatalogRow) -> bool:
        """True for a catalog row of an object that the new database does not have."""
        return self.omitted.row(row.table, row.type, row.id)

    def entry_nodes(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """Yield the entries of an index of the catalog, those of omitted rows left out."""
        return (node for node in nodes if not self.omitted.row(*_split_key(node.data)))

    def object_nodes(self, nodes: Iterable[Node]) -> Iterator[Node]:
        """Yield the rows of MSysObjids, those of omitted objects left out."""
        keys = {catalog_key(objid) for objid in self.omitted.tables | self.omitted.trees}
        return (node for node in nodes if node.key not in keys)


def _split_key(key: bytes) -> tuple[int, int, int]:
    """Return table, row type and id of the key of a catalog row; zeros for another key."""
    if len(key) != 13:
        return 0, 0, 0
    table, kind, number = key[1:5], key[6:8], key[9:13]
    return (
        int.from_bytes(table, "big") ^ 0x80000000,
        int.from_bytes(kind, "big") ^ 0x8000,
        int.from_bytes(number, "big") ^ 0x80000000,
    )
