"""Removing nodes for good, and merging pages: the log records that take a page out of its tree.

A leaf that would be empty is unlinked and given back to the tree's free space, and with it pages
above that have no other child; when it was the last one, the root becomes an empty leaf. A leaf
that is left with little gives its nodes to a neighbour; `joining` decides about that.

Source: log specification 4.6 (EmptyTree), 4.10 (Merge2); format specification 4.1, 4.2.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from hotsplit.ese.engine.trees.joining import Join, join_if_sparse
from hotsplit.ese.engine.trees.pageroom import has_room
from hotsplit.ese.engine.trees.splitlines import image_of
from hotsplit.ese.format.logrecord import NO_DBTIME, encode
from hotsplit.ese.format.page import Page
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.merge import FULL_LEFT, FULL_RIGHT, PARTIAL_LEFT, PARTIAL_RIGHT

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Step

_EMPTY_PAGE = 1
_KEY_CHANGE, _DELETE_NODE, _EMPTIED = 1, 2, 4
_WITHOUT_RIGHT, _WITHOUT_LEFT = (PARTIAL_LEFT,), (PARTIAL_RIGHT,)


class Above(NamedTuple):
    """What happens to the internal pages of a path, the root first, and the new separator."""

    changes: list[tuple[Step, int]]
    key: bytes = b""


def discard(tree: Tree, session: Session, key: bytes, data: bytes = b"") -> None:
    """Remove a node for good; a page that holds no other node goes too.

    A leaf that cannot be unlinked stays, with the node flagged as deleted.
    """
    session.prepare()
    path = tree.path(key, data)
    leaf = Page(path[-1].page, path[-1].pgno)
    if leaf.is_root or leaf.node_count > 1:
        tree.remove(session, key, data)
        join = join_if_sparse(tree, path)
        if join is not None:
            carry_out(tree, session, path, join)
    elif all(Page(step.page).node_count == 1 for step in path[:-1]):
        _give_back(tree, session, _empty_tree(tree, session, path))
    elif not carry_out(tree, session, path, Join(_EMPTY_PAGE)) and not leaf.node(0).is_deleted:
        tree.flag(session, key, data)


def carry_out(tree: Tree, session: Session, path: list[Step], join: Join) -> bool:
    """Log and apply a merge of the leaf at the end of `path`; tell whether that was possible.

    It is not where a page above has no room for a longer separator, and for the last child of the
    last page of a level: the key of the page in front of it would have to become the highest.
    """
    above = _without_leaf(path) if join.kind in (_EMPTY_PAGE, FULL_RIGHT) else _resized(path, join)
    if above is None or not _has_room(tree, above):
        return False
    session.prepare()
    database = tree.database
    dbtime = database.tick()
    common = _fields(tree, session, dbtime)
    parents = [None, *(step for step, _ in above.changes)]
    made = [
        _upper(step, flags, parent, common)
        for (step, flags), parent in zip(above.changes, parents, strict=False)
    ]
    record, touched = _leaf_record(tree, path, join, above.key, common)
    touched += [step.pgno for step, _ in above.changes]
    database.context.journal.macro(session.procid, database.dbid, dbtime, [*made, record], touched)
    emptied = [step.pgno for step, flags in above.changes if flags & _EMPTIED]
    _give_back(tree, session, emptied + ([] if join.is_partial else [path[-1].pgno]))
    return True


def _give_back(tree: Tree, session: Session, pages: list[int]) -> None:
    for pgno in pages:
        tree.space.free(session, pgno, 1)


def _fields(tree: Tree, session: Session, dbtime: int) -> dict[str, int]:
    return {
        "procid": session.procid, "dbid": tree.database.dbid, "dbtime": dbtime,
        "trx": session.trx, "level": session.level, "flags": tree.place.flags,
        "fdp": tree.place.fdp, "objid": tree.objid,
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


# The pages above


def _without_leaf(path: list[Step]) -> Above | None:
    """The leaf goes: the lowest page with another child loses a line, those below it go, too."""
    steps = list(reversed(path[:-1]))
    changes: list[tuple[Step, int]] = []
    while Page(steps[0].page).node_count == 1:
        changes.insert(0, (steps.pop(0), _EMPTIED))
    step, *higher = steps
    page = Page(step.page)
    is_last, has_key = step.line == page.node_count - 1, bool(page.node(step.line).key)
    if is_last and not has_key and changes:
        return None
    changes.insert(0, (step, _DELETE_NODE))
    if not is_last or not has_key:
        return Above(changes)
    key = page.node(step.line - 1).key
    return Above(_key_changes(higher) + changes, key)


def _key_changes(higher: list[Step]) -> list[tuple[Step, int]]:
    """Pages further up repeat the separator of a last child. higher: from below."""
    changes: list[tuple[Step, int]] = []
    for step in higher:
        changes.insert(0, (step, _KEY_CHANGE))
        if step.line < Page(step.page).node_count - 1:
            break
    return changes


def _resized(path: list[Step], join: Join) -> Above | None:
    """Nodes leave the leaf at one end, or all to the left, where the parent is the same."""
    parent, *higher = reversed(path[:-1])
    if join.kind == FULL_LEFT:
        return Above([(parent, _KEY_CHANGE | _DELETE_NODE)])
    changes = [(parent, _KEY_CHANGE)]
    if join.kind == PARTIAL_RIGHT and parent.line == Page(parent.page).node_count - 1:
        changes = _key_changes(higher) + changes
    return Above(changes, join.key)


def _has_room(tree: Tree, above: Above) -> bool:
    """Tell whether the new separator fits wherever it replaces another one."""
    more = len(above.key) + 2
    changes = (step for step, flags in above.changes if flags == _KEY_CHANGE)
    return all(has_room(tree, step.page, more) for step in changes)


# Records


def _leaf_record(
    tree: Tree, path: list[Step], join: Join, key: bytes, common: dict[str, int]
) -> tuple[bytes, list[int]]:
    """Return the record of the leaf and the leaves that it touches."""
    leaf, parent = Page(path[-1].page, path[-1].pgno), Page(path[-2].page, path[-2].pgno)
    pgno_right = 0 if join.kind in _WITHOUT_RIGHT else leaf.next
    pgno_left = 0 if join.kind in _WITHOUT_LEFT else leaf.previous
    fields: dict[str, object] = {
        "pgno": leaf.number, "dbtime_before": leaf.dbtime, "iline": path[-1].line,
        "pgno_right": pgno_right, "dbtime_right_before": _dbtime(tree, pgno_right),
        "pgno_left": pgno_left, "dbtime_left_before": _dbtime(tree, pgno_left),
        "pgno_parent": parent.number, "dbtime_parent_before": parent.dbtime,
        "merge_type": join.kind, "merge_flags": 0 if join.is_partial else _EMPTIED,
        "parent_key": key, "iline_merge": join.line, "size_total": join.size,
        "size_max_total": join.size, "uncommitted_free_target": join.kept,
    }  # fmt: skip
    if join.kind != _EMPTY_PAGE:
        fields["image_flags"], fields["image"] = image_of(leaf, common["dbtime"])
    touched = [pgno for pgno in (leaf.number, pgno_right, pgno_left) if pgno]
    return encode(T.MERGE2, **common, **fields), touched


def _dbtime(tree: Tree, pgno: int) -> int:
    return Page(tree.page(pgno)).dbtime if pgno else NO_DBTIME


def _upper(step: Step, flags: int, parent: Step | None, common: dict[str, int]) -> bytes:
    """Return the record of a page above. parent: the page above it, if that changes, too."""
    return encode(
        T.MERGE2, pgno=step.pgno, dbtime_before=Page(step.page).dbtime, iline=step.line,
        dbtime_right_before=NO_DBTIME, dbtime_left_before=NO_DBTIME,
        pgno_parent=parent.pgno if parent else 0,
        dbtime_parent_before=Page(parent.page).dbtime if parent else NO_DBTIME,
        merge_flags=flags, **common,
    )  # fmt: skip
