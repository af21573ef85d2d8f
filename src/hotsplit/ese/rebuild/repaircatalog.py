"""The catalog of a damaged database, from what is readable of it and of its shadow.

Source: format specification 6.1 (shadow), 6.2, 6.3 (rows).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hotsplit.errors import DataDamaged, HotsplitError, Jet
from hotsplit.ese.check.catalogrows import CatalogRows
from hotsplit.ese.check.rowplan import LastIds, TableShape
from hotsplit.ese.format.catalogschema import CATALOG_COLUMNS, TableDef
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.read.catalog import Catalog, TableEntry
from hotsplit.ese.read.pages import CachedPages, RunSource
from hotsplit.ese.rebuild.catalogmender import CatalogMender
from hotsplit.ese.rebuild.catalogrecords import broken_records
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.losses import Repaired, TreeLoss
from hotsplit.ese.rebuild.memorytree import MemoryCatalog
from hotsplit.ese.rebuild.objects import (
    CATALOG,
    SHADOW,
    RowReader,
    TableTrees,
    tables_of,
)
from hotsplit.ese.rebuild.reader import SoundReader
from hotsplit.ese.rebuild.salvage import TreeSalvage
from hotsplit.ese.rebuild.walk import TreeName, live_nodes
from hotsplit.report import Reporter

_SHADOWING_OFF = 0x1
_SORTED_TAGGED_FROM = 9  # update-major


class _Mended(NamedTuple):
    """The rows of a catalog, mended. readable: how many could be read before."""

    rows: dict[bytes, bytes]
    readable: int
    notes: list[str]
    left_out: list[str]

    def rank(self) -> tuple[int, int]:
        """The lower the better: what is missing, what had to be changed."""
        return -self.readable, len(self.notes) + len(self.left_out)


def _rows_of(*salvages: TreeSalvage) -> dict[bytes, bytes]:
    """Return rows by key; what is in several trees from the first."""
    found: dict[bytes, bytes] = {}
    for salvage in salvages:
        for _, nodes in salvage.batches():
            for key, data, _ in nodes:
                found.setdefault(key, data)
    return found


class SalvagedCatalog:
    """Rows and definitions. `pages` has the rows as a tree.

    whole: no row is lost, so what a record has beyond it is wrong.
    """

    def __init__(self, source: RunSource, inventory: Inventory, result: Repaired) -> None:
        header = source.header
        self.new_format = header.update_major >= _SORTED_TAGGED_FROM
        self.kind = int(PageFlag.NEW_RECORD) if self.new_format else 0
        self.rows = RowReader(source.page_size, new_format=self.new_format)
        self._source, self._inventory, self._result = source, inventory, result
        self.has_shadow = not header.flags & _SHADOWING_OFF or self._salvage(SHADOW).nodes > 0
        nodes = self._nodes()
        if not nodes:
            raise DataDamaged("Neither the catalog nor its shadow has a readable row",
                              jet=Jet.errCatalogCorrupted)  # fmt: skip
        self.pages = MemoryCatalog(header, self.kind, nodes)
        cached = CachedPages(self.pages)
        self._catalog = Catalog(cached, Reporter(limit=0))
        self._cached = cached
        self._last_ids = {group.objid: group.last_ids for group in self.by_table().tables()}

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
        choices = [[one] for one in salvages if not one.damaged] or [salvages, salvages[::-1]]
        best = self._best([_rows_of(*choice) for choice in choices])
        self._result.notes += best.notes
        self._result.left_out += best.left_out
        return [Node(key, data) for key, data in best.rows.items()]

    def _best(self, choices: list[dict[bytes, bytes]]) -> _Mended:
        """Mend what there is to choose from; return what is the least wrong, the first of these."""
        if all(choice == choices[0] for choice in choices):
            return self._mended(choices[0])
        return min(map(self._mended, choices), key=_Mended.rank)

    def _mended(self, records: dict[bytes, bytes]) -> _Mended:
        notes: list[str] = []
        left_out: list[str] = []
        mender = CatalogMender(
            self._source.page_size,
            self._inventory,
            notes.append,
            left_out.append,
            new_format=self.new_format,
        )
        nodes = (Node(key, records[key]) for key in sorted(records))
        broken = broken_records(self._source.header, self.kind, nodes)
        rows = mender.mend(records, broken)
        notes += [
            f"a row of the catalog is damaged: {key.hex()}" for key in sorted(broken & {*rows})
        ]
        return _Mended(rows, mender.readable, notes, left_out)

    def _salvage(self, tree: TreeName, distrust: DataDamaged | None = None) -> TreeSalvage:
        return TreeSalvage(self._source, self._inventory, tree, self.kind, distrust=distrust)

    def nodes(self) -> Iterator[Node]:
        """Yield the rows of the catalog."""
        for page in SoundReader(self.pages).leaves(CATALOG):
            yield from live_nodes(page)

    def by_table(self) -> CatalogRows:
        """Return the rows of the catalog with all their columns."""
        return CatalogRows(self._cached, CATALOG.root, CATALOG.objid)

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
