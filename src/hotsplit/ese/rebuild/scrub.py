"""A copy of a database without what was deleted: pages stay where they are, their rests do not.

Deleted nodes, long values without references, free space inside pages and pages of no tree are
gone. What remains of them are keys: those that separate pages, and the key (in an index also the
row it leads to) of one node on a page that holds nothing but deleted ones. `compact` leaves none.

Source: format specification 2.5 (free space), 3.2 (prefix), 5.2, 5.4 (space trees), 2.2 (flags).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hotsplit.errors import DataDamaged, PageDamaged
from hotsplit.ese.files.env import Env
from hotsplit.ese.files.opened import located
from hotsplit.ese.format.basics import LogTime
from hotsplit.ese.format.header import DatabaseHeader
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.read.pages import RunSource
from hotsplit.ese.rebuild.longvalues import LivingLongValues
from hotsplit.ese.rebuild.objects import CATALOG, NAME_INDEX, ROOT_INDEX, SHADOW
from hotsplit.ese.rebuild.pack import shared_size
from hotsplit.ese.rebuild.reader import SOUND_HINT, SoundReader
from hotsplit.ese.rebuild.source import OnPage, Watched, check_clean, no_progress
from hotsplit.ese.rebuild.target import NewDatabase, clean_header
from hotsplit.ese.rebuild.walk import TreeName, TreeWalk

_DATABASE = TreeName(1, 1, "the database's root")

Keep = Callable[[Node], bool]


@dataclass
class Scrubbed:
    """What scrubbing did. pages: of the file; used: pages of trees, the others are zero now.

    deleted: nodes flagged deleted; dropped: long values without references.
    """

    path: str
    page_size: int
    pages: int
    used: int = 0
    deleted: int = 0
    dropped: int = 0
    signature: str = ""


def scrub(
    env: Env, source: RunSource, path: str, into: str, on_page: OnPage | None = None
) -> Scrubbed:
    """Write a copy `into` of the database at `path` without what was deleted.

    source: its pages, verified. Raises DirtyDatabase; TargetExists; and for damage the error of the
    place where it is met, the result then does not appear.
    """
    check_clean(source.header, path)
    watched = Watched(source)
    result = Scrubbed(path, source.page_size, source.page_count)
    try:
        with (
            located(path),
            NewDatabase(env, into, source.header, source.page_count + 1) as database,
        ):
            _Scrubbing(source, database, result, on_page or no_progress).run()
            header = _header(source.header, env)
            result.signature = str(header.db_signature)
            watched.check()
            database.finish(header)
    except (DataDamaged, PageDamaged) as error:
        error.hint = SOUND_HINT
        raise
    return result


def _header(like: DatabaseHeader, env: Env) -> DatabaseHeader:
    header = clean_header(like, env)
    header.flags, header.dbtime_last_scrub = like.flags, like.dbtime
    header.scrub_time = LogTime.from_datetime(env.now())
    return header


class _Scrubbing:
    def __init__(
        self, source: RunSource, database: NewDatabase, result: Scrubbed, on_page: OnPage
    ) -> None:
        self._source, self._database = source, database
        self._result, self._on_page = result, on_page
        self._reader = SoundReader(source)

    def run(self) -> None:
        for tree in self._trees():
            header = self._reader.space(tree)
            self._copy(tree)
            if header.is_multiple:
                owned, available = f"owned extents of {tree.text}", f"free extents of {tree.text}"
                self._copy(TreeName(header.owned, tree.objid, owned))
                self._copy(TreeName(header.owned + 1, tree.objid, available))

    def _trees(self) -> Iterator[TreeName]:
        reader = self._reader
        yield from (_DATABASE, CATALOG, SHADOW)
        yield from (reader.catalog_index(tree) for tree in (NAME_INDEX, ROOT_INDEX))
        for table in reader.tables():
            yield table.rows
            if table.long_values is not None:
                yield table.long_values
            yield from table.indexes

    def _copy(self, tree: TreeName) -> None:
        living = LivingLongValues()
        for page in TreeWalk(self._source, tree).pages():
            if page.is_leaf:
                holds_chunks = page.flags & (PageFlag.LONG_VALUE | PageFlag.SPACE_TREE)
                self._scrub_leaf(
                    page, living.lives if holds_chunks == PageFlag.LONG_VALUE else None
                )
            else:
                _refill(page, page.nodes())
            self._database.put(page)
            self._result.used += 1
            self._on_page(1)
        self._result.dropped += living.dropped

    def _scrub_leaf(self, page: Page, keep: Keep | None) -> None:
        nodes = page.nodes()
        live = [node for node in nodes if not node.is_deleted]
        self._result.deleted += len(nodes) - len(live)
        if keep is not None:
            live = list(filter(keep, live))
        if nodes and not live and not page.is_root:  # no other leaf may be empty
            data = nodes[0].data  # where keys are not unique, it is a part of the order
            data = data if page.flags & PageFlag.NON_UNIQUE else bytes(len(data))
            live = [Node(nodes[0].key, data, NodeFlag.DELETED)]
        _refill(page, live)


def _refill(page: Page, nodes: list[Node]) -> None:
    """Write the nodes anew, and of the prefix only what they share."""
    external, prefix = page.external, page.prefix
    used = max((shared_size(prefix, node.key) for node in nodes), default=0)
    external = external[: len(external) - len(prefix) + used]
    page.uncommitted_free = 0
    page.flags |= PageFlag.SCRUBBED
    page.fill(external, nodes)
