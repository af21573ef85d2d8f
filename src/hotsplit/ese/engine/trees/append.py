"""The most frequent split: a node behind the last one of a tree gets a page of its own.

The page before stays as it is, full; the parent gets a separator. Where that has no room, the
general way (`split`) divides it, too. It makes the same records; a test compares them.

Source: log specification 4.9; format specification 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

from hotsplit import _native
from hotsplit.ese.engine.trees.pageroom import has_room
from hotsplit.ese.format.logrecord import NO_DBTIME, UNIQUE
from hotsplit.ese.format.page import PageFlag, common_prefix
from hotsplit.ese.format.recordtable import RecordType as T

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Found, Step

_kernel, _pages = _native.load("tree"), _native.load("page")
_HEAD = struct.Struct("<BHBIQQIBHB")  # as all records of pages begin
_SPLIT = struct.Struct("<IIQIQIIBBHHHIIhhiiHHHII")
_APPEND, _INSERT, _NONE = 2, 1, -1
_POINTER_COST = 12
_ROOT = int(PageFlag.ROOT)
_KEPT_FLAGS = int(PageFlag.LEAF | PageFlag.PARENT_OF_LEAF)


def append(
    tree: Tree,
    session: Session,
    found: Found,
    key: bytes,
    data: bytes,
    insert: Callable[[int, int, int], bytes],
) -> bool:
    """Insert a node behind the last one of the tree; tell whether that was so simple.

    found: where it belongs. insert: makes the record of the insert for (page, dbtime, line).
    """
    page = found.page
    is_last = found.line == _kernel.count(page) > 0 and not any(page[20:24])
    if not is_last or page[36] & _ROOT:
        return False
    new = tree.space.allocate(session)  # this may change pages
    parent, leaf = tree.path(key, data)[-2:]
    separator = _separator(tree, leaf, key, data)
    if leaf.page is not page or not has_room(tree, parent.page, len(separator) + _POINTER_COST):
        tree.space.free(session, new, 1)
        return False
    database = tree.database
    dbtime = database.tick()
    records = [
        _above(tree, session, parent, dbtime),
        _split(tree, session, parent, leaf, dbtime, new, separator),
        insert(leaf.pgno, dbtime, leaf.line),
    ]
    pages = [parent.pgno, leaf.pgno, new]
    database.context.journal.macro(session.procid, database.dbid, dbtime, records, pages)
    return True


def _separator(tree: Tree, leaf: Step, key: bytes, data: bytes) -> bytes:
    """Return the shortest key above the last bookmark of the leaf and not above the new one."""
    below, content, _ = _kernel.node(leaf.page, leaf.line - 1)
    if not tree.unique:
        below, key = below + content, key + data
    return key[: common_prefix(below, key) + 1]


def _dbtime(page: bytearray) -> int:
    return int.from_bytes(page[8:16], "little")


def _head(tree: Tree, session: Session, step: Step, dbtime: int) -> bytes:
    return _HEAD.pack(
        T.SPLIT2, session.procid, tree.place.dbid, step.pgno, dbtime, _dbtime(step.page),
        session.trx, session.level, 0, tree.place.flags & UNIQUE,
    )  # fmt: skip


def _above(tree: Tree, session: Session, parent: Step, dbtime: int) -> bytes:
    """The parent only gets a separator."""
    return _head(tree, session, parent, dbtime) + _SPLIT.pack(
        0, 0, NO_DBTIME, 0, NO_DBTIME, tree.root, tree.objid, 0, 0, parent.line, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0,
    )  # fmt: skip


def _split(
    tree: Tree, session: Session, parent: Step, leaf: Step, dbtime: int, new: int, separator: bytes
) -> bytes:
    page = leaf.page
    flags = tree.kind | (page[36] & _KEPT_FLAGS)
    start, length, _ = _pages.locate(page, 0)
    prefix = bytes(page[start : start + length])
    fixed = _SPLIT.pack(
        new, 0, NO_DBTIME, parent.pgno, _dbtime(parent.page), tree.root, tree.objid, _APPEND,
        _INSERT, leaf.line, leaf.line, leaf.line + 1, flags, flags, page[30] | page[31] << 8, 0,
        _NONE, _NONE, len(prefix), 0, len(separator), 0, 0,
    )  # fmt: skip
    return _head(tree, session, leaf, dbtime) + fixed + separator + prefix
