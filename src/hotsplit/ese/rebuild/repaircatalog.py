"""The catalog of a damaged database, from what is readable of it and of its shadow.

Source: format specification 6.1 (shadow), 6.2, 6.3 (rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hotsplit.errors import DataDamaged, HotsplitError, Jet
from hotsplit.ese.check.catalogrows import CatalogRows
from hotsplit.ese.check.rowplan import LastIds, TableShape
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, RowType, TableDef, catalog_key
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.read.catalog import Catalog, TableEntry
from hotsplit.ese.read.pages import CachedPages, RunSource
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.losses import Repaired, TreeLoss
from hotsplit.ese.rebuild.memorytree import MemoryCatalog
from hotsplit.ese.rebuild.objects import (
    CATALOG,
    SHADOW,
    CatalogRow,
    RowReader,
    TableTrees,
    tables_of,
)
from hotsplit.ese.rebuild.reader import SoundReader
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.walk import TreeName, live_nodes
from hotsplit.report import Reporter

_SHADOWING_OFF = 0x1
_LAST_TYPE = 7
_SORTED_TAGGED_FROM = 9  # update-major


class SalvagedCatalog:
    """Rows and definitions. `pages` has the rows as a tree.

    whole: no row is lost, so what a record has beyond it is wrong.
    """

    def __init__(self, source: RunSource, inventory: Inventory, result: Repaired) -> None:
        header = source.header
        self.new_format = header.update_major >= _SORTED_TAGGED_FROM
        self.kind = int(PageFlag.NEW_RECORD) if self.new_format else 0
        self.has_shadow = not header.flags & _SHADOWING_OFF
        self.rows = RowReader(source.page_size, new_format=self.new_format)
        self._source, self._inventory, self._result = source, inventory, result
        nodes = self._nodes()
        if not nodes:
            raise DataDamaged("Neither the catalog nor its shadow has a readable row",
                              jet=Jet.errCatalogCorrupted)  # fmt: skip
        self.pages = MemoryCatalog(header, self.kind, nodes)
        cached = CachedPages(self.pages)
        self._catalog = Catalog(cached, Reporter(limit=0))
        groups = CatalogRows(cached, CATALOG.root, CATALOG.objid).tables()
        self._last_ids = {group.objid: group.last_ids for group in groups}

    # Rows

    def _nodes(self) -> list[Node]:
        trees = (CATALOG, SHADOW) if self.has_shadow else (CATALOG,)
        salvages = [self._salvage(tree) for tree in trees]
        most = max(salvage.nodes for salvage in salvages)
        whole = next((one for one in salvages if not one.damaged and one.nodes == most), None)
        if whole is None:
            why = DataDamaged("it has fewer rows than its copy", jet=Jet.errCatalogCorrupted)
            salvages = [one if one.damaged else self._salvage(one.tree, why) for one in salvages]
        for salvage in salvages:
            if salvage.damaged:
                loss = TreeLoss.of(salvage)
                loss.action = "rows taken from both catalogs"
                self._result.trees.append(loss)
        if whole is not None:
            for loss in self._result.trees:
                loss.action, loss.lost = f"all rows taken from {whole.tree.text}", 0
        self.whole = whole is not None
        found: dict[bytes, bytes] = {}
        for salvage in [whole] if whole is not None else salvages:
            for _, nodes in salvage.batches():
                for key, data, _ in nodes:
                    found.setdefault(key, data)
        return [Node(key, found[key]) for key in self._usable(found)]

    def _salvage(self, tree: TreeName, distrust: DataDamaged | None = None) -> TreeSalvage:
        return TreeSalvage(self._source, self._inventory, tree, self.kind, distrust=distrust)

    def _usable(self, found: dict[bytes, bytes]) -> Iterator[bytes]:
        """Yield the keys of rows that can be read and that belong to a table, in order."""
        tables: set[int] = set()
        strays: dict[int, int] = {}
        for key in sorted(found):
            try:
                row = self.rows.read(key, found[key])
            except DataDamaged:
                row = None
            if row is None or key != _key_of(row):
                self._result.notes.append(f"a row of the catalog cannot be read: {key.hex()}")
                continue
            if row.type == RowType.TABLE and row.id == row.table:
                tables.add(row.table)
            if row.table in tables:
                yield key
            else:
                strays[row.table] = strays.get(row.table, 0) + 1
        for objid, count in strays.items():
            self._result.notes.append(
                f"the catalog has lost table {objid}: {count} rows about its parts remain"
            )

    def nodes(self) -> Iterator[Node]:
        """Yield the rows of the catalog."""
        for page in SoundReader(self.pages).leaves(CATALOG):
            yield from live_nodes(page)

    def tables(self) -> list[TableTrees]:
        """Return all tables but the two catalogs."""
        return list(tables_of(self.rows.read(key, data) for key, data, _ in self.nodes()))

    # Definitions

    def shape(self, table: TableTrees) -> TableShape | None:
        """Return the definition of a table, None if its rows make none."""
        entry = TableEntry(table.name, table.objid, table.rows.root, 0)
        return self._guarded(lambda: self._shape(entry))

    def _shape(self, entry: TableEntry) -> TableShape:
        definition = self._catalog.table(entry)
        shape = TableShape(definition, self._last_ids.get(entry.objid, LastIds()))
        template = self._catalog.entries().get(definition.template)
        if template is not None and template.objid != entry.objid:
            shape.template = self._catalog.table(template)
            shape.template_last = self._last_ids.get(template.objid, LastIds())
        return shape

    def own_shape(self) -> TableShape | None:
        """Return the catalog as a table, to make the entries of its indexes."""

        def make() -> TableShape:
            entry = TableEntry("MSysObjects", CATALOG.objid, CATALOG.root, 0)
            definition: TableDef = self._catalog.table(entry)
            definition.columns = list(CATALOG_COLUMNS)
            return TableShape(definition, LastIds.of([column.id for column in CATALOG_COLUMNS]))

        return self._guarded(make)

    @staticmethod
    def _guarded(make: Callable[[], TableShape]) -> TableShape | None:
        try:
            return make()
        except (HotsplitError, ValueError):
            return None


def _key_of(row: CatalogRow) -> bytes:
    """Return the key that a row must have, empty for a type of row that does not exist."""
    if not 1 <= row.type <= _LAST_TYPE:
        return b""
    return catalog_key(row.table, row.type) + catalog_key(row.id)
