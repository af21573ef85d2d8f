"""Moving pages of a tree to lower numbers, so that an extent at the end of the file becomes free.

Root pages and pages of space trees stay where they are, and with them the extents that hold them.

Source: log specification 4.11 (PageMove); format specification 5.4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotsplit.errors import HotsplitError
from hotsplit.ese.format.logrecord import NO_DBTIME, UNIQUE, encode
from hotsplit.ese.format.page import Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.format.space import Extent

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Step

_TAG = 4
_DEEPEST = 16
_FIXED = PageFlag.ROOT | PageFlag.SPACE_TREE


def can_vacate(tree: Tree, extent: Extent, *, grow: bool) -> bool:
    """Tell whether all pages of an extent are of its tree and can move out of it.

    grow: the parent may give pages for that; else the tree itself must have room for all in front
    of the extent.
    """
    free, used = _free_and_used(tree, extent)
    if not grow and sum(pgno < extent.first for pgno in free) < len(used):
        return False
    return all(path_to(tree, pgno) for pgno in used)


def _free_and_used(tree: Tree, extent: Extent) -> tuple[set[int], list[int]]:
    """Return the free pages of a tree, and the pages of an extent that are not free."""
    space = tree.space
    free = {n for e in space.extents(space.available) for n in range(e.first, e.last + 1)}
    return free, [n for n in range(extent.first, extent.last + 1) if n not in free]


def vacate(tree: Tree, session: Session, extent: Extent, most: int) -> int:
    """Move at most `most` pages of a tree out of one of its extents; return how many moved."""
    space, moved = tree.space, 0
    for pgno in _free_and_used(tree, extent)[1][:most]:
        path = path_to(tree, pgno)
        target = space.allocate_below(session, 1, extent.first) if path else 0
        if path is None or not target:
            break
        move(tree, session, path, target)
        space.free(session, pgno, 1)
        moved += 1
    return moved


def path_to(tree: Tree, pgno: int) -> list[Step] | None:
    """Return the way from the root to a page that can move, None if there is none."""
    try:
        page = Page(tree.page(pgno), pgno)
        if page.objid != tree.objid or page.flags & _FIXED or not page.node_count:
            return None
        leaf = page
        for _ in range(_DEEPEST):
            if leaf.is_leaf:
                break
            child = int.from_bytes(leaf.node(0).data, "little")
            leaf = Page(tree.page(child), child)
        node = leaf.node(0)
        path = tree.path(node.key, node.data)
    except HotsplitError:
        return None  # never used, or damaged
    at = next((i for i, step in enumerate(path) if step.pgno == pgno), 0)
    return path[: at + 1] if at else None


def move(tree: Tree, session: Session, path: list[Step], target: int) -> None:
    """Give the page at the end of `path` the number `target`, which the tree has allocated."""
    session.prepare()
    database = tree.database
    page, parent = Page(path[-1].page, path[-1].pgno), Page(path[-2].page, path[-2].pgno)
    content = bytes(page.data)
    cut = page.header_size + page.mic_free
    neighbours = {
        f"dbtime_{side}_before": Page(tree.page(pgno)).dbtime if pgno else NO_DBTIME
        for side, pgno in (("left", page.previous), ("right", page.next))
    }
    record = encode(
        T.PAGE_MOVE, procid=session.procid, dbid=database.dbid, pgno=page.number,
        dbtime=database.tick(), dbtime_before=page.dbtime, trx=session.trx, level=session.level,
        flags=tree.place.flags & UNIQUE, pgno_target=target, pgno_left=page.previous,
        pgno_right=page.next, pgno_parent=parent.number, dbtime_parent_before=parent.dbtime,
        fdp=tree.root, objid=tree.objid, iline_parent=path[-2].line,
        page_header=content[:cut], page_trailer=content[len(content) - _TAG * page.tag_count :],
        **neighbours,
    )  # fmt: skip
    database.context.journal.apply(record, database.dbid, page.number)
