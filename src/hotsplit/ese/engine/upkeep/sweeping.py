"""What was to be removed before a crash: nobody remembers it, so it is looked for.

That are nodes flagged as deleted, and long values that no record uses. Only pages that replay has
changed are looked at: a node that was flagged before has been removed before, or waits for the next
defragmentation.

Source: log specification 6.5, 6.6.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hotsplit.ese.format.longvalue import split_key
from hotsplit.ese.format.page import Node, Page, PageFlag

_ROOT_SIZES = (8, 9)  # bytes of the root of a long value (format specification 8.1)

if TYPE_CHECKING:
    from hotsplit.ese.engine.database import OpenDatabase
    from hotsplit.ese.engine.session import Session


def find_unused(session: Session, database: OpenDatabase) -> None:
    """Hand deleted nodes and unused long values of changed pages to the cleaner."""
    found = _unused_nodes(database)
    with session.reading():
        roots = database.catalog.roots(session, found.keys()) if found else {}
    versions = session.context.versions
    for objid, root in roots.items():
        tree = database.tree_at(root)
        for node in found[objid]:
            todo = versions.deleted if node.is_deleted else versions.lowered
            todo.append((tree, tree.bookmark(node.key, node.data)))


def _unused_nodes(database: OpenDatabase) -> dict[int, list[Node]]:
    """Return such nodes in memory by the object of their tree."""
    core = database.context.core
    found: defaultdict[int, list[Node]] = defaultdict(list)
    for pgno in core.dirty_pages(database.dbid):
        content = core.page(database.dbid, pgno)
        page = Page(content, pgno) if content is not None else None
        if page is None or not page.is_leaf or page.flags & PageFlag.SPACE_TREE:
            continue
        has_values = bool(page.flags & PageFlag.LONG_VALUE)
        nodes = [n for n in page.nodes() if n.is_deleted or (has_values and _is_unused(n))]
        if nodes:
            found[page.objid] += nodes
    return found


def _is_unused(node: Node) -> bool:
    """Tell whether a node is the root of a long value without a reference."""
    return len(node.data) in _ROOT_SIZES and _is_root(node.key) and not any(node.data[:4])


def _is_root(key: bytes) -> bool:
    try:
        return split_key(key)[1] is None
    except ValueError:
        return False
