"""Redo of page merges: a macro of Merge records from the root down, the last one of the leaves.

Source: log specification 4.10. As in a split, every page is tested by itself.
"""

from __future__ import annotations

import itertools
import struct

from hotsplit.errors import Jet, RecoveryFailed
from hotsplit.ese.format.beforeimage import before_image
from hotsplit.ese.format.logrecord import LINE_MASK, LogRecord
from hotsplit.ese.format.page import Node, Page
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.pages import PageAccess
from hotsplit.ese.recovery.trees import clear

FULL_RIGHT, PARTIAL_RIGHT, FULL_LEFT, PARTIAL_LEFT = 2, 3, 5, 6
_TO_RIGHT, _TO_LEFT = (FULL_RIGHT, PARTIAL_RIGHT), (FULL_LEFT, PARTIAL_LEFT)
_PARTIAL = (PARTIAL_RIGHT, PARTIAL_LEFT)
_KEY_CHANGE, _DELETE_NODE, _EMPTIED = 1, 2, 4


def redo_merge(pages: PageAccess, merges: list[LogRecord]) -> None:
    """Carry out a merge macro. merges: from the root down, the leaf level last."""
    leaf = merges[-1]
    for merge, child in itertools.pairwise(merges):
        _merge_upper(pages, merge, child, leaf)
    _merge_leaves(pages, leaf)


def _merge_upper(pages: PageAccess, merge: LogRecord, child: LogRecord, leaf: LogRecord) -> None:
    page = pages.for_redo(merge.dbid, merge.pgno, merge.dbtime, merge.dbtime_before)
    if page is None:
        return
    flags, i = merge.merge_flags, merge.iline & LINE_MASK
    if flags & _EMPTIED:
        clear(page)
    elif flags & (_KEY_CHANGE | _DELETE_NODE):
        if i >= page.node_count or page.node(i).data != struct.pack("<I", child.pgno):
            raise RecoveryFailed(
                f"Line {i} of page {merge.pgno} does not point to page {child.pgno}",
                jet=Jet.errBadParentPageLink,
            )
        _change_parent(page, i, flags, leaf)
    pages.changed(merge.dbid, page, merge.dbtime)


def _change_parent(page: Page, i: int, flags: int, leaf: LogRecord) -> None:
    if flags & _KEY_CHANGE and flags & _DELETE_NODE:
        page.replace_data(i, struct.pack("<I", leaf.pgno_left), page.node(i).flags)
        if i == 0:
            raise RecoveryFailed("A merge to the left of the first child", jet=Jet.errLogCorrupted)
        page.delete(i - 1)
    elif flags & _DELETE_NODE:
        was_last = i == page.node_count - 1 and not page.node(i).key
        page.delete(i)
        if was_last and page.node_count:
            last = page.node_count - 1
            page.replace_node(last, page.node(last)._replace(key=b""))
    else:
        line = i - 1 if leaf.merge_type == PARTIAL_LEFT else i
        if line < 0:
            raise RecoveryFailed("A merge to the left of the first child", jet=Jet.errLogCorrupted)
        page.replace_node(line, page.node(line)._replace(key=leaf.parent_key))


def _moved(nodes: list[Node], merge: LogRecord) -> tuple[list[Node], list[Node]]:
    """Return the nodes that move and those that stay on the merged page."""
    at = merge.iline_merge
    if merge.merge_type in _TO_RIGHT:
        stay, move = nodes[:at], nodes[at:]
    else:
        stay, move = nodes[at + 1 :], nodes[: at + 1]
    return [node for node in move if not node.is_deleted], stay


def _merge_leaves(pages: PageAccess, merge: LogRecord) -> None:
    dbid, dbtime, kind = merge.dbid, merge.dbtime, merge.merge_type
    source = pages.for_redo(dbid, merge.pgno, dbtime, merge.dbtime_before)
    right, left = (
        pages.for_redo(dbid, pgno, dbtime, before) if pgno else None
        for pgno, before in (
            (merge.pgno_right, merge.dbtime_right_before),
            (merge.pgno_left, merge.dbtime_left_before),
        )
    )
    target = right if kind in _TO_RIGHT else left if kind in _TO_LEFT else None
    if target is not None:
        origin = source if source is not None else _from_image(pages, merge)
        move, _ = _moved(origin.nodes(), merge)
        nodes = target.nodes()
        target.fill(target.external, move + nodes if kind in _TO_RIGHT else nodes + move)
        target.uncommitted_free = min(merge.uncommitted_free_target, target.free)
    if source is not None and kind in (*_TO_RIGHT, *_TO_LEFT):
        source.fill(source.external, _moved(source.nodes(), merge)[1])
    if kind not in _PARTIAL:
        if left is not None:
            left.next = merge.pgno_right
        if right is not None:
            right.previous = merge.pgno_left
    if source is not None and merge.merge_flags & _EMPTIED:
        clear(source)
    for page in (source, right, left):
        if page is not None:
            pages.changed(dbid, page, dbtime)


def _from_image(pages: PageAccess, merge: LogRecord) -> Page:
    image = before_image(merge, pages.page_size) if merge.type == T.MERGE2 else None
    if image is None:
        raise RecoveryFailed(
            f"Page {merge.pgno} is newer than its merge and the log does not hold it as it was",
            jet=Jet.errLogCorrupted,
        )
    return Page(image, merge.pgno)
