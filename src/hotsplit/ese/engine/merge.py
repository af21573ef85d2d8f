"""Removing nodes for good, and pages with them.

A leaf that would be empty is unlinked instead and given back to the tree's free space; when it was
the last one, the root becomes an empty leaf.

Source: log specification 4.6 (EmptyTree), 4.10 (Merge2); format specification 4.1.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from hotsplit.ese.format.logrecord import NO_DBTIME, UNIQUE, encode
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import RecordType as T

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.tree import Step, Tree

_EMPTY_PAGE = 1
_KEY_CHANGE, _DELETE_NODE, _EMPTIED = 1, 2, 4


def discard(tree: Tree, session: Session, key: bytes, data: bytes = b"") -> None:
    """Remove a node for good; a page that holds no other node goes too.

    A leaf that is its parent's only child stays, with the node flagged as deleted: without it the
    parent would be empty, and separators on other levels would not fit any more.
    """
    session.prepare()
    path = tree.path(key, data)
    leaf = Page(path[-1].page, path[-1].pgno)
    if leaf.is_root or leaf.node_count > 1:
        tree.remove(session, key, data)
    elif all(Page(step.page).node_count == 1 for step in path[:-1]):
        _give_back(tree, session, _empty_tree(tree, session, path))
    elif Page(path[-2].page).node_count > 1:
        _give_back(tree, session, [_unlink(tree, session, path)])
    elif not leaf.node(0).is_deleted:
        tree.flag(session, key, data)


def _give_back(tree: Tree, session: Session, pages: list[int]) -> None:
    for pgno in pages:
        tree.space.free(session, pgno, 1)


def _fields(tree: Tree, session: Session, dbtime: int) -> dict[str, int]:
    return {
        "procid": session.procid, "dbid": tree.database.dbid, "dbtime": dbtime,
        "trx": session.trx, "level": session.level, "flags": tree.place.flags & UNIQUE,
        "fdp": tree.root, "objid": tree.objid,
    }  # fmt: skip


def _empty_tree(tree: Tree, session: Session, path: list[Step]) -> list[int]:
    """The last leaf goes: the root becomes an empty leaf."""
    dbtime = tree.database.tick()
    root, *below = path
    pages = [Page(step.page, step.pgno) for step in below]
    content = b"".join(struct.pack("<QII", p.dbtime, p.number, p.flags) for p in pages)
    record = encode(
        T.EMPTY_TREE,
        pgno=root.pgno,
        dbtime_before=Page(root.page).dbtime,
        pages=content,
        **_fields(tree, session, dbtime),
    )
    tree.database.context.journal.apply(record, tree.database.dbid, root.pgno)
    return [page.number for page in pages]


def _unlink(tree: Tree, session: Session, path: list[Step]) -> int:
    """Take an empty leaf out of the tree; return its number."""
    database = tree.database
    dbtime = database.tick()
    common = _fields(tree, session, dbtime)
    above = _above(path)
    made = [_upper(step, flags, common) for step, flags in above]
    leaf, parent = Page(path[-1].page, path[-1].pgno), Page(path[-2].page, path[-2].pgno)
    right, left = (
        Page(tree.page(pgno), pgno) if pgno else None for pgno in (leaf.next, leaf.previous)
    )
    # Pages further up that repeat the separator removed get the one in front of it.
    new_last = parent.node(path[-2].line - 1).key if len(above) > 1 else b""
    made.append(
        encode(
            T.MERGE2, pgno=leaf.number, dbtime_before=leaf.dbtime,
            pgno_right=leaf.next, dbtime_right_before=right.dbtime if right else NO_DBTIME,
            pgno_left=leaf.previous, dbtime_left_before=left.dbtime if left else NO_DBTIME,
            pgno_parent=parent.number, dbtime_parent_before=parent.dbtime,
            merge_type=_EMPTY_PAGE, merge_flags=_EMPTIED, parent_key=new_last, **common,
        )
    )  # fmt: skip
    touched = [step.pgno for step, _ in above]
    touched += [page.number for page in (leaf, left, right) if page is not None]
    database.context.journal.macro(session.procid, database.dbid, dbtime, made, touched)
    return leaf.number


def _above(path: list[Step]) -> list[tuple[Step, int]]:
    """Return the internal pages that change, root first, with what happens to each."""
    *parents, parent = path[:-1]
    changes = [(parent, _DELETE_NODE)]
    page = Page(parent.page)
    if parent.line < page.node_count - 1 or not page.node(parent.line).key:
        return changes
    for step in reversed(parents):
        changes.insert(0, (step, _KEY_CHANGE))
        if step.line < Page(step.page).node_count - 1:
            break
    return changes


def _upper(step: Step, flags: int, common: dict[str, int]) -> bytes:
    return encode(
        T.MERGE2, pgno=step.pgno, dbtime_before=Page(step.page).dbtime, iline=step.line,
        dbtime_right_before=NO_DBTIME, dbtime_left_before=NO_DBTIME,
        dbtime_parent_before=NO_DBTIME, merge_flags=flags, **common,
    )  # fmt: skip
