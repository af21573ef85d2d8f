"""New nodes on leaves in memory that have room for them: planned by the kernel, logged, applied.

Source: log specification 4.6, 7.2; format specification 4.2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.treeview import TreeView


def fill(
    tree: TreeView, session: Session, keys: list[bytes], datas: list[bytes], first: int
) -> int:
    """Insert nodes from number `first` on into the leaves that they belong to, while they fit.

    Return how many. Their version numbers are the next ones.
    """
    session.prepare()
    database, place = tree.database, tree.versioned
    context = database.context
    fields = (
        session.procid, place.dbid, database.dbtime + 1, session.trx, session.level,
        place.flags, context.following_rceid, place.fdp, place.objid,
    )  # fmt: skip
    log, ends, leaves = context.core.plan(tree.root, keys, datas, first, fields)
    if ends:
        database.dbtime += len(ends)
        context.take_rceids(len(ends))
        context.journal.apply_run(log, ends, place.dbid, leaves)
    return len(ends)
