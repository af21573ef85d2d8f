"""Offline defragmentation: a database written anew, tree by tree, live nodes only.

Keys, records, long-value ids and object ids stay what they are; only root page numbers change. The
source must be free of damage. Memory does not depend on the size of the database.

Source: format specification 4 (trees), 5 (space), 6 (catalog), 14.2 (a database from nothing).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from hotsplit.errors import DataDamaged, PageDamaged
from hotsplit.ese.check.ownlists import OBJECT_LIST
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import located
from hotsplit.ese.format.page import Node, PageFlag
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.builder import Batch, DatabaseBuilder, TreeContent
from hotsplit.ese.rebuild.longvalues import LivingLongValues
from hotsplit.ese.rebuild.objects import (
    CATALOG,
    NAME_INDEX,
    ROOT_INDEX,
    SHADOW,
    TableTrees,
)
from hotsplit.ese.rebuild.reader import SOUND_HINT, SoundReader
from hotsplit.ese.rebuild.source import OnPage, Watched, check_clean, no_progress
from hotsplit.ese.rebuild.space import FIRST_FREE_PAGE
from hotsplit.ese.rebuild.target import NewDatabase
from hotsplit.ese.rebuild.walk import TreeName, live_nodes, tree_kind

EXTENT_CACHE = "MSysExtentPageCountCache"
"""A table of how many pages other trees have: the engine fills it anew."""


@dataclass
class Compacted:
    """What compaction did. pages: of the result, pages_before: of the source.

    nodes: live nodes of all trees; deleted: nodes flagged deleted, dropped: long values
    that nothing refers to any more; neither are in the result.
    """

    path: str
    page_size: int
    pages_before: int
    pages: int = 0
    tables: int = 0
    trees: int = 0
    nodes: int = 0
    deleted: int = 0
    dropped: int = 0
    signature: str = ""


def compact(
    env: Env, source: RunSource, path: str, into: str, on_page: OnPage | None = None
) -> Compacted:
    """Write a new database `into` with what is live in the one at `path`.

    source: its pages, verified. Raises DirtyDatabase; TargetExists; and for damage the error of the
    place where it is met, the result then does not appear.
    """
    check_clean(source.header, path)
    watched = Watched(source)
    result = Compacted(path, source.page_size, source.page_count)
    try:
        with located(path), NewDatabase(env, into, source.header, FIRST_FREE_PAGE) as database:
            _Compaction(source, database, result, on_page or no_progress).run()
            header = database.new_header()
            result.pages, result.signature = database.last, str(header.db_signature)
            watched.check()
            database.finish(header)
    except (DataDamaged, PageDamaged) as error:
        error.hint = SOUND_HINT
        raise
    return result


class _Compaction:
    def __init__(
        self, source: RunSource, database: NewDatabase, result: Compacted, on_page: OnPage
    ) -> None:
        self._result, self._on_page = result, on_page
        self._builder = DatabaseBuilder(database)
        self._living = LivingLongValues()
        self._reader = SoundReader(source)

    def run(self) -> None:
        builder = self._builder
        later: list[TableTrees] = []
        for table in self._reader.tables():
            if self._reader.root(table.rows).flags & PageFlag.FDP_DELETE:
                self._omit(table)
            elif table.name == OBJECT_LIST:  # it lists what is omitted
                later.append(table)
            else:
                builder.write_table(table, self._content)
        for table in later:
            builder.write_table(table, lambda tree: self._filtered(tree, builder.object_nodes))
        self._write_catalogs()
        self._result.tables, self._result.trees = builder.tables, builder.trees
        self._result.nodes = builder.nodes
        self._result.dropped = self._living.dropped

    def _omit(self, table: TableTrees) -> None:
        """Leave out a table that was deleted and only awaits its removal."""
        trees = [*table.indexes, *([table.long_values] if table.long_values else [])]
        self._builder.omitted.tables.add(table.objid)
        self._builder.omitted.trees.update(tree.objid for tree in trees)

    # Reading

    def _batches(self, tree: TreeName, kind: int) -> Iterator[Batch]:
        for page in self._reader.leaves(tree):
            nodes = live_nodes(page)
            self._result.deleted += page.node_count - len(nodes)
            new = tree_kind(page.flags) & PageFlag.NEW_RECORD
            yield Batch(kind & ~PageFlag.NEW_RECORD | new, nodes)
            self._on_page(1)

    def _content(self, tree: TreeName) -> TreeContent:
        root = self._reader.root(tree)
        kind = tree_kind(root.flags)
        mark = self._reader.space(tree).autoincrement
        if tree.text == f"table {EXTENT_CACHE}":
            return TreeContent(kind, [], mark)
        batches = self._batches(tree, kind)
        if kind & PageFlag.LONG_VALUE:
            batches = self._living.batches(batches)
        return TreeContent(kind, batches, mark)

    def _filtered(
        self, tree: TreeName, keep: Callable[[Iterable[Node]], Iterator[Node]]
    ) -> TreeContent:
        content = self._content(tree)
        content.batches = (Batch(kind, keep(nodes)) for kind, nodes in content.batches)
        return content

    # The catalogs

    def _write_catalogs(self) -> None:
        builder = self._builder

        def rows(nodes: Iterable[Node]) -> Iterator[Node]:
            return builder.catalog_nodes(nodes, self._reader.rows)

        found = {tree: self._filtered(tree, rows) for tree in (CATALOG, SHADOW)}
        for tree in (NAME_INDEX, ROOT_INDEX):
            found[tree] = self._filtered(self._reader.catalog_index(tree), builder.entry_nodes)
        builder.write_catalogs(found)
