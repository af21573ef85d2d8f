"""Operations in trees that were given back while their transactions were open: nothing to undo.

An index that is being made gets entries of other transactions, too. When its creation is rolled
back its space is given back at once, and what those transactions did in it is over: its pages may
have another use by now, and before images were never logged. Its row in the catalog tells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.catalogschema import CATALOG_ROOT, RowType
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.recovery.core import FLAG_DELETE, Version
from hotsplit.ese.recovery.pages import PageAccess

_OBJECTS = 2  # object id of the catalog
_TREES = (RowType.TABLE, RowType.INDEX, RowType.LONG_VALUE)
_KEY = 13  # bytes of a catalog key: table, type, id, each with a byte in front
_SIGN = 1 << 31
_DEPTH = 32


def find_over(pages: PageAccess) -> Callable[[Version], bool]:
    """Return what tells of a version of an open transaction whether it is over.

    To be called before anything is undone. Nothing is over where a catalog cannot be read.
    """
    versions = [version for *_, found in pages.core.open_sessions() for version in found]
    trees = {dbid: _trees(pages, dbid, versions) for dbid in {v.dbid for v in versions}}

    def is_over(version: Version) -> bool:
        known = trees[version.dbid]
        return known is not None and version.objid not in known

    return is_over


def _trees(pages: PageAccess, dbid: int, versions: list[Version]) -> set[int] | None:
    """Return the object ids of all trees, with those that an open transaction deleted."""
    if dbid not in pages.stores:
        return None
    deleted = {
        v.key for v in versions if (v.dbid, v.objid, v.operation) == (dbid, _OBJECTS, FLAG_DELETE)
    }
    found = set()
    try:
        for node in _catalog(pages, dbid):
            is_tree = len(node.key) >= _KEY and node.key[7] in _TREES
            if is_tree and (not node.is_deleted or node.key in deleted):
                found.add(int.from_bytes(node.key[9:_KEY], "big") ^ _SIGN)
    except HotsplitError:
        return None
    return found if _OBJECTS in found else None


def _catalog(pages: PageAccess, dbid: int) -> Iterator[Node]:
    """Yield the rows of the catalog. Raises what loading a page raises."""
    pgno = CATALOG_ROOT
    for _ in range(_DEPTH):
        page = Page(pages.load(dbid, pgno), pgno)
        if page.is_leaf or not page.node_count:
            break
        pgno = int.from_bytes(page.node(0).data, "little")
    seen = set()
    while pgno and pgno not in seen:
        seen.add(pgno)
        page = Page(pages.load(dbid, pgno), pgno)
        yield from page.nodes()
        pgno = page.next
