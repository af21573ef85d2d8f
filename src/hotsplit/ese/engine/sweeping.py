"""Nodes that were flagged as deleted before a crash: nobody remembers them, so they are looked for.

Only pages that replay has changed are looked at: a node that was flagged before has been removed
before, or waits for the next defragmentation.

Source: log specification 6.5, 6.6.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hotsplit.ese.format.page import Page, PageFlag

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session


def find_deleted(session: Session, database: OpenDatabase) -> None:
    """Hand all deleted nodes of changed pages to the cleaner."""
    found = _deleted_nodes(database)
    with session.reading():
        roots = database.catalog.roots(session, found.keys()) if found else {}
    for objid, root in roots.items():
        tree = database.tree_at(root)
        for key, data in found[objid]:
            session.context.versions.deleted.append((tree, tree.bookmark(key, data)))


def _deleted_nodes(database: OpenDatabase) -> dict[int, list[tuple[bytes, bytes]]]:
    """Return (key, data) of the deleted nodes in memory by the object of their tree."""
    core = database.context.core
    found: defaultdict[int, list[tuple[bytes, bytes]]] = defaultdict(list)
    for pgno in core.dirty_pages(database.dbid):
        content = core.page(database.dbid, pgno)
        page = Page(content, pgno) if content is not None else None
        if page is None or not page.is_leaf or page.flags & PageFlag.SPACE_TREE:
            continue
        marks = [(node.key, node.data) for node in page.nodes() if node.is_deleted]
        if marks:
            found[page.objid] += marks
    return found
