"""Salvage of a damaged database: everything readable in a new one, and a list of what is not.

The source is only read. The catalog comes from its shadow where it must; each table is repaired by
itself (`repairtable`).

Source: format specification 4, 6, 13.1, 14.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from hotsplit.errors import HotsplitError
from hotsplit.ese.check.integrity import find_faults
from hotsplit.ese.check.ownlists import LOCALE_LIST, OBJECT_COLUMNS, OBJECT_LIST
from hotsplit.ese.check.rowplan import TableShape
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import located
from hotsplit.ese.format.basics import LogTime, is_large
from hotsplit.ese.format.catalogschema import RowType, catalog_key
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.format.record import encode_record
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.builder import Batch, DatabaseBuilder, TreeContent
from hotsplit.ese.rebuild.compact import EXTENT_CACHE
from hotsplit.ese.rebuild.inventory import Inventory
from hotsplit.ese.rebuild.localelist import LocaleList, locale_counts
from hotsplit.ese.rebuild.losses import Repaired
from hotsplit.ese.rebuild.objects import CATALOG, NAME_INDEX, ROOT_INDEX, SHADOW, TableTrees
from hotsplit.ese.rebuild.repaircatalog import SalvagedCatalog
from hotsplit.ese.rebuild.repairtable import TableRepair
from hotsplit.ese.rebuild.rowfacts import EntryMaker
from hotsplit.ese.rebuild.sorting import first_of_each
from hotsplit.ese.rebuild.source import OnPage, Pass, Watched, is_clean, no_progress
from hotsplit.ese.rebuild.space import FIRST_FREE_PAGE
from hotsplit.ese.rebuild.target import NewDatabase
from hotsplit.ese.rebuild.workshop import Workshop

PASSES = 3
"""How often as many pages are dealt with as the database has: looked at, checked, written."""

_OWN_OBJECTS = 1  # the database's root tree
_FIXED = (_OWN_OBJECTS, CATALOG.objid, SHADOW.objid, NAME_INDEX.objid, ROOT_INDEX.objid)


def repair(
    env: Env, source: RunSource, path: str, into: str, on_page: OnPage | None = None
) -> Repaired:
    """Write a new database `into` with everything readable of the one at `path`.

    source: its pages; a dirty database is taken as it lies. on_page: is told of `PASSES` times as
    many pages as it has. Raises TargetExists; DataDamaged
    (-1220) if not one row of the catalog is readable; and what writing raises.
    """
    watched = Watched(source)
    header = source.header
    result = Repaired(path, source.page_size, source.page_count, is_clean(header))
    with located(path), NewDatabase(env, into, header, FIRST_FREE_PAGE) as database:
        last_object = _Repair(env, source, database, result, on_page or no_progress).run()
        made = database.new_header()
        made.objid_last = max(made.objid_last, last_object)
        made.repair_count_old = header.repair_count_old
        made.repair_count = (header.repair_count + 1) & 0xFFFFFFFF
        made.repair_time = LogTime.from_datetime(env.now())
        result.pages, result.signature = database.last, str(made.db_signature)
        watched.check()
        database.finish(made)
    return result


class _Repair:
    def __init__(
        self,
        env: Env,
        source: RunSource,
        database: NewDatabase,
        result: Repaired,
        on_page: OnPage,
    ) -> None:
        self._env, self._database, self._result = env, database, result
        looking, checking, self._writing = (Pass(source.page_count, on_page) for _ in range(PASSES))
        inventory = Inventory(source, looking.advance)
        looking.finish()
        result.damaged_pages = list(inventory.damaged)
        self._catalog = SalvagedCatalog(source, inventory, result)
        size = source.page_size
        faults = find_faults(source, lambda read: checking.advance(read // size))
        checking.finish()
        database.on_page = self._writing.advance
        self._builder = DatabaseBuilder(database)
        room = source.page_count * source.page_size
        self._shop = Workshop(
            env,
            source,
            inventory,
            self._builder,
            result,
            self._catalog.kind,
            room,
            self._catalog.whole,
            faults,
        )

    def run(self) -> int:
        """Write everything; return the highest object id."""
        tables = self._catalog.tables()
        lists = [table for table in tables if table.name in (OBJECT_LIST, LOCALE_LIST)]
        for table in tables:
            if table.name == EXTENT_CACHE:
                self._write_plain(table, [])
            elif table not in lists:
                TableRepair(self._shop, table, self._catalog.shape(table)).run()
        for table in lists:  # they say what the new database has
            if table.name == OBJECT_LIST:
                self._write_object_list(table)
            else:
                self._write_locale_list(table)
        self._write_catalogs()
        self._find_strangers(tables)
        self._writing.finish()
        self._result.tables, self._result.nodes = self._builder.tables, self._builder.nodes
        return max(self._builder.roots)

    def _write_plain(self, table: TableTrees, nodes: Iterable[Node]) -> None:
        """Write a system table whose rows are made anew; it has no more trees."""
        kind = self._catalog.kind
        batches = [Batch(kind, nodes)]
        self._builder.write_table(
            replace(table, long_values=None, indexes=[]), lambda _: TreeContent(kind, batches)
        )

    def _write_object_list(self, table: TableTrees) -> None:
        """Make the list of all objects anew from the catalog."""
        shape = self._catalog.shape(table)
        columns = shape.table.columns if shape is not None else []
        found = {(column.name, column.coltyp) for column in columns}
        if shape is None or not found >= set(OBJECT_COLUMNS.values()) or table.indexes:
            TableRepair(self._shop, table, shape).run()
            return
        self._write_plain(table, self._object_rows(shape))

    def _write_locale_list(self, table: TableTrees) -> None:
        """Write the list of the locales of indexes with the right counts."""
        shape, catalog = self._catalog.shape(table), self._catalog
        try:
            if shape is None or table.indexes or not catalog.new_format:
                raise ValueError("not the table that it should be")
            counts = locale_counts(catalog.by_table(), self._builder.omitted)
            locales = LocaleList(shape, self._database.page_size, counts)
        except (HotsplitError, ValueError):
            TableRepair(self._shop, table, shape).run()
            return
        salvage = self._shop.salvage(table.rows, 0)
        old = (node for _, nodes in salvage.batches() for node in nodes)
        self._write_plain(table, locales.nodes(old))

    def _object_rows(self, shape: TableShape) -> Iterator[Node]:
        large = is_large(self._database.page_size)
        rows = {}
        for key, data, _ in self._catalog.nodes():
            row = self._catalog.rows.read(key, data)
            if row.has_tree and not row.is_primary and not self._builder.omits(row):
                kind = RowType.TABLE if row.type == RowType.TABLE else row.type
                rows[row.id] = {"objid": row.id, "objidTable": row.table, "type": kind}
        for objid in sorted(rows):
            yield Node(catalog_key(objid), encode_record(shape.table.columns, rows[objid], large))

    # The catalogs

    def _write_catalogs(self) -> None:
        catalog, kind = self._catalog, self._catalog.kind
        contents = {
            CATALOG: TreeContent(kind, [Batch(kind, self._catalog_nodes())]),
            SHADOW: TreeContent(
                kind, [Batch(kind, self._catalog_nodes() if catalog.has_shadow else ())]
            ),
        }
        shape = catalog.own_shape()
        for tree in (NAME_INDEX, ROOT_INDEX):
            index_kind = kind | PageFlag.INDEX
            entries = self._entries(shape, tree.objid) if shape is not None else iter(())
            contents[tree] = TreeContent(index_kind, [Batch(index_kind, entries)])
        self._builder.write_catalogs(contents)

    def _catalog_nodes(self) -> Iterator[Node]:
        return self._builder.catalog_nodes(self._catalog.nodes(), self._catalog.rows)

    def _entries(self, shape: TableShape, objid: int) -> Iterator[Node]:
        """Yield the entries of an index of the catalog, in order."""
        index = next((index for index in shape.table.indexes if index.objid == objid), None)
        if index is None:
            self._result.notes.append("the catalog does not describe its own indexes any more")
            return
        maker = EntryMaker(shape, index, self._database.page_size, lambda *_: None)
        entries = (
            entry
            for node in self._catalog_nodes()
            for entry in maker.entries(node, old=not self._catalog.new_format)
        )
        yield from first_of_each(self._shop.sorter().sorted(entries))

    def _find_strangers(self, tables: list[TableTrees]) -> None:
        """Report readable pages of objects that the catalog does not know."""
        known = {*_FIXED}
        for table in tables:
            trees = [table.rows, *table.indexes]
            known.update(tree.objid for tree in trees)
            if table.long_values is not None:
                known.add(table.long_values.objid)
        self._result.strangers = {
            objid: len(pages)
            for objid, pages in self._shop.inventory.leaves.items()
            if objid not in known
        }
