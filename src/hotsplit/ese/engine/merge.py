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
    """Remove a node for good; a page that holds no other node goes too."""
    session.prepare()
    path = tree.path(key, data)
    leaf = Page(path[-1].page, path[-1].pgno)
    if leaf.is_root or leaf.node_count > 1:
        tree.remove(session, key, data)
        return
    freed = _empty_tree(tree, session, path) if _is_last(path) else _unlink(tree, session, path)
    for pgno in freed:
        tree.space.free(session, pgno, 1)


def _is_last(path: list[Step]) -> bool:
    return all(Page(step.page).node_count == 1 for step in path[:-1])


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


def _unlink(tree: Tree, session: Session, path: list[Step]) -> list[int]:
    """Take an empty leaf out of the tree, and the pages above it that only led to it."""
    database = tree.database
    dbtime = database.tick()
    common = _fields(tree, session, dbtime)
    above = _above(path)
    made = [_upper(step, flags, common) for step, flags in above]
    leaf, parent = Page(path[-1].page, path[-1].pgno), Page(path[-2].page, path[-2].pgno)
    right, left = (
        Page(tree.page(pgno), pgno) if pgno else None for pgno in (leaf.next, leaf.previous)
    )
    made.append(
        encode(
            T.MERGE2, pgno=leaf.number, dbtime_before=leaf.dbtime,
            pgno_right=leaf.next, dbtime_right_before=right.dbtime if right else NO_DBTIME,
            pgno_left=leaf.previous, dbtime_left_before=left.dbtime if left else NO_DBTIME,
            pgno_parent=parent.number, dbtime_parent_before=parent.dbtime,
            merge_type=_EMPTY_PAGE, merge_flags=_EMPTIED, parent_key=_new_last_key(above),
            **common,
        )
    )  # fmt: skip
    freed = [step.pgno for step, flags in above if flags == _EMPTIED] + [leaf.number]
    touched = [step.pgno for step, _ in above]
    touched += [page.number for page in (leaf, left, right) if page is not None]
    database.context.journal.macro(session.procid, database.dbid, dbtime, made, touched)
    return freed


def _above(path: list[Step]) -> list[tuple[Step, int]]:
    """Return the internal pages that change, root first, with what happens to each.

    Pages with one child go with it; the page above them loses a node; if that was its last one, the
    separators that are equal to its key change, too, further up.
    """
    parents = path[:-1]
    losing = max(i for i, step in enumerate(parents) if Page(step.page).node_count > 1)
    changes = [(step, _EMPTIED) for step in parents[losing + 1 :]]
    changes.insert(0, (parents[losing], _DELETE_NODE))
    page = Page(parents[losing].page)
    last = parents[losing].line == page.node_count - 1
    if last and page.node(parents[losing].line).key:
        for step in reversed(parents[:losing]):
            changes.insert(0, (step, _KEY_CHANGE))
            if step.line < Page(step.page).node_count - 1:
                break
    return changes


def _new_last_key(above: list[tuple[Step, int]]) -> bytes:
    """The separator that takes the place of the one removed, where pages above repeat it."""
    if above[0][1] != _KEY_CHANGE:
        return b""
    losing = next(step for step, flags in above if flags == _DELETE_NODE)
    return Page(losing.page).node(losing.line - 1).key


def _upper(step: Step, flags: int, common: dict[str, int]) -> bytes:
    return encode(
        T.MERGE2, pgno=step.pgno, dbtime_before=Page(step.page).dbtime, iline=step.line,
        dbtime_right_before=NO_DBTIME, dbtime_left_before=NO_DBTIME,
        dbtime_parent_before=NO_DBTIME, merge_flags=flags, **common,
    )  # fmt: skip
