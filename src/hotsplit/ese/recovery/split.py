"""Redo of page splits: a macro of Split records from the root down, and one leaf operation.

Source: log specification 4.9. Every page is tested by itself, so after a crash in the middle of the
writes some pages get the split and others keep it; a page that must be made from one that is
already newer is made from the before image in the record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from hotsplit.errors import Jet, RecoveryFailed
from hotsplit.ese.format.beforeimage import before_image
from hotsplit.ese.format.diff import new_data
from hotsplit.ese.format.logrecord import UNIQUE, VERSIONED, LogRecord
from hotsplit.ese.format.page import Lines, Node, NodeFlag, Page, PageFlag
from hotsplit.ese.format.recordparts import insert_key
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.recovery.core import INSERT, PENDING, REPLACE, Version
from hotsplit.ese.recovery.pages import PageAccess

_VERTICAL, _APPEND = 0, 2
_NO_OPERATION, _INSERT = 0, 1
_NONE = -1
_LEAF = int(PageFlag.LEAF)
_Fill = Callable[[Page, bytes], None]


class Divided(NamedTuple):
    """What fills the two pages after a split, given the page and its prefix."""

    left: _Fill
    right: _Fill
    right_prefix: bytes


def redo_split(pages: PageAccess, splits: list[LogRecord], leaf: LogRecord | None) -> None:
    """Carry out a split macro. splits: from the root down; leaf: the operation that made it."""
    done = False
    for split, child in zip(splits, [*splits[1:], None], strict=True):
        if split.pgno_new == 0:
            _update_parent_page(pages, split, child)
        else:
            is_last = child is None
            _split_page(pages, split, child, leaf if is_last else None)
            done = done or is_last
    if leaf is not None and not done:
        raise RecoveryFailed("A split has no page for its operation", jet=Jet.errLogCorrupted)


def _child_pointer(pgno: int) -> bytes:
    return struct.pack("<I", pgno)


def _update_parent(nodes: list[Node], child: LogRecord) -> int:
    """Enter a split child in its parent's nodes; return where, or -1 if its pointer is not here."""
    key = child.parent_key
    for i, node in enumerate(nodes):
        if node.data == _child_pointer(child.pgno):
            if node.key and node.key <= key:
                raise RecoveryFailed("A split child lies elsewhere", jet=Jet.errBadParentPageLink)
            nodes[i] = node._replace(data=_child_pointer(child.pgno_new))
            nodes.insert(i, Node(key, _child_pointer(child.pgno)))
            return i
    return -1


def _update_parent_page(pages: PageAccess, split: LogRecord, child: LogRecord | None) -> None:
    page = pages.for_redo(split.dbid, split.pgno, split.dbtime, split.dbtime_before)
    if page is None or child is None:
        return
    i, pgno = page.child_for(child.parent_key)
    if pgno != child.pgno:
        raise RecoveryFailed(
            f"Page {split.pgno} does not point to page {child.pgno}, which is split",
            jet=Jet.errBadParentPageLink,
        )
    page.insert(i, child.parent_key, _child_pointer(child.pgno))
    page.overwrite_data(i + 1, _child_pointer(child.pgno_new))
    pages.changed(split.dbid, page, split.dbtime)


def _split_page(
    pages: PageAccess, split: LogRecord, child: LogRecord | None, leaf: LogRecord | None
) -> None:
    dbid, dbtime = split.dbid, split.dbtime
    source = pages.for_redo(dbid, split.pgno, dbtime, split.dbtime_before)
    target = pages.for_new(dbid, split.pgno_new, dbtime, split.objid, split.new_page_flags)
    if leaf is not None and _is_append(split, leaf):
        _append(pages, split, leaf, source, target)
        return
    origin = source
    if origin is None and target is not None:
        origin = _from_image(pages, split)
    operation = _leaf_operation(pages, leaf, origin, split.iline_operation) if leaf else None
    if origin is not None:
        divided = _divide(origin, split, child, operation)
        if target is not None:
            _fill_target(target, origin, split, divided)
            pages.changed(dbid, target, dbtime)
        if source is not None:
            _fill_source(source, split, divided)
            pages.changed(dbid, source, dbtime)
    if split.pgno_right and split.split_type != _VERTICAL:
        right = pages.for_redo(dbid, split.pgno_right, dbtime, split.dbtime_right_before)
        if right is not None:
            right.previous = split.pgno_new
            pages.changed(dbid, right, dbtime)


def _is_append(split: LogRecord, leaf: LogRecord) -> bool:
    """Tell whether a new node behind the last one of the tree goes to the new page, and no other.

    The page that is split keeps all its nodes then.
    """
    return (
        split.split_type == _APPEND
        and split.split_operation == _INSERT
        and leaf.type == T.INSERT
        and split.iline_operation == split.iline_split == split.line_count - 1
        and split.iline_prefix_new == _NONE
        and not split.pgno_right
    )


def _append(
    pages: PageAccess, split: LogRecord, leaf: LogRecord, source: Page | None, target: Page | None
) -> None:
    """Carry out the split of `_is_append`: no node moves."""
    node = _leaf_operation(pages, leaf, None, 0)
    assert node is not None
    if source is not None and source.node_count != split.iline_split:
        raise _bad_lines(split, source.node_count + 1)
    if target is not None:
        target.fill(b"", [node])
        target.uncommitted_free = min(max(0, split.uncommitted_free_target), target.free)
        target.previous = split.pgno
        pages.changed(split.dbid, target, split.dbtime)
    if source is not None:
        source.next = split.pgno_new
        source.uncommitted_free = min(max(0, split.uncommitted_free_source), source.free)
        pages.changed(split.dbid, source, split.dbtime)


def _from_image(pages: PageAccess, split: LogRecord) -> Page | None:
    """Return the split page as it was, from the record, or from what the page still holds.

    A split without an image moves no nodes (append, or insert at the very end): then the target
    takes only the operation's node, and any page stands for the source.
    """
    image = before_image(split, pages.page_size) if split.type == T.SPLIT2 else None
    if image is not None:
        return Page(image, split.pgno)
    if split.line_count != split.iline_split + 1:
        raise RecoveryFailed(
            f"Page {split.pgno_new} must be made from page {split.pgno} as it was, "
            "and the log does not hold that",
            jet=Jet.errLogCorrupted,
        )
    page = Page.new(pages.page_size, split.pgno, split.objid, 0, split.split_page_flags)
    filler = Node(b"", b"\0")
    page.fill(b"", [filler] * (split.line_count - (split.split_operation == _INSERT)))
    page.next = split.pgno_right
    return page


def _divide(
    origin: Page, split: LogRecord, child: LogRecord | None, operation: Node | None
) -> Divided:
    """Build the virtual line list and cut it."""
    if child is not None and operation is None:
        return _divide_above(origin, split, child)
    at, count = split.iline_operation, origin.node_count
    replaces = split.split_operation != _INSERT
    if operation is not None and at > count - replaces:
        raise _bad_lines(split, count)
    lines = Lines(Page(bytes(origin.data), origin.number), at, operation, replaces=replaces)
    if len(lines) != split.line_count or split.iline_split > len(lines):
        raise _bad_lines(split, len(lines))
    cut = 0 if split.split_type == _VERTICAL else split.iline_split
    return Divided(
        lambda page, prefix: page.fill_from(prefix, lines, 0, cut),
        lambda page, prefix: page.fill_from(prefix, lines, cut, len(lines)),
        _right_prefix(split, lines),
    )


def _divide_above(origin: Page, split: LogRecord, child: LogRecord) -> Divided:
    """Do so for a page whose child was split: that is two now."""
    lines, at = origin.nodes(), split.iline_operation
    inserted = split.split_operation != _NO_OPERATION
    if inserted:
        node = Node(child.parent_key, _child_pointer(child.pgno))
        if at > len(lines) or (split.split_operation != _INSERT and at == len(lines)):
            raise _bad_lines(split, len(lines))
        if split.split_operation == _INSERT:
            lines.insert(at, node)
        else:
            lines[at] = node
        if at + 1 >= len(lines):
            raise _bad_lines(split, len(lines))
        lines[at + 1] = lines[at + 1]._replace(data=_child_pointer(child.pgno_new))
    if len(lines) != split.line_count or split.iline_split > len(lines):
        raise _bad_lines(split, len(lines))
    left, right = lines[: split.iline_split], lines[split.iline_split :]
    if split.split_type == _VERTICAL:
        left, right = [], lines
    prefix = _right_prefix(split, lines)
    if not inserted and _update_parent(left, child) < 0:
        _update_parent(right, child)
    return Divided(
        lambda page, prefix: page.fill(prefix, left),
        lambda page, prefix: page.fill(prefix, right),
        prefix,
    )


def _right_prefix(split: LogRecord, lines: Lines | list[Node]) -> bytes:
    if split.iline_prefix_new == _NONE:
        return b""
    line = split.iline_prefix_new + split.iline_split
    if not 0 <= line < len(lines):
        raise _bad_lines(split, len(lines))
    return lines[line].key


def _bad_lines(split: LogRecord, found: int) -> RecoveryFailed:
    return RecoveryFailed(
        f"Page {split.pgno} has {found} lines, its split speaks of {split.line_count}",
        jet=Jet.errLogCorrupted,
    )


def _fill_target(target: Page, origin: Page, split: LogRecord, divided: Divided) -> None:
    divided.right(target, divided.right_prefix)
    target.uncommitted_free = min(max(0, split.uncommitted_free_target), target.free)
    if split.new_page_flags & _LEAF and split.split_type != _VERTICAL:
        target.previous, target.next = origin.number, split.pgno_right


def _fill_source(source: Page, split: LogRecord, divided: Divided) -> None:
    if split.split_type == _VERTICAL:
        kept = source.flags & (PageFlag.FLUSH_TYPE | PageFlag.FDP_DELETE)
        source.flags = split.split_page_flags & ~PageFlag.FLUSH_TYPE | kept
        source.fill(source.external, [Node(b"", _child_pointer(split.pgno_new))])
    else:
        external = source.external if split.split_type == _APPEND else split.new_prefix
        divided.left(source, external)
        if split.new_page_flags & _LEAF:
            source.next = split.pgno_new
    source.uncommitted_free = min(max(0, split.uncommitted_free_source), source.free)


def _leaf_operation(
    pages: PageAccess, record: LogRecord, origin: Page | None, line: int
) -> Node | None:
    """Return the node that a leaf operation makes, and remember how to undo it."""
    versioned = record.flags & VERSIONED
    if record.type == T.INSERT:
        key, data = insert_key(record), record.data
        _remember(pages, record, INSERT, record.rceid, key, data)
        return Node(key, data, versioned)
    if record.type == T.FLAG_INSERT_AND_REPLACE:
        _remember(pages, record, INSERT, record.rceid, record.key, record.data)
    number = record.rceid_replace if record.type == T.FLAG_INSERT_AND_REPLACE else record.rceid
    if origin is None:
        _remember(pages, record, PENDING, number, b"", b"")
        return None
    old = origin.node(line)
    _remember(pages, record, REPLACE, number, old.key, old.data, old.data)
    if record.type == T.FLAG_INSERT_AND_REPLACE:
        return Node(old.key, record.data, old.flags & ~NodeFlag.DELETED | versioned)
    # A full replacement in a split states the new size as the old one too.
    data = record.change if record.type == T.REPLACE else new_data(record, old.data)
    return Node(old.key, data, old.flags | versioned)


def _remember(
    pages: PageAccess,
    record: LogRecord,
    operation: int,
    rceid: int,
    key: bytes,
    data: bytes,
    image: bytes = b"",
) -> None:
    if not record.flags & VERSIONED:
        return
    unique = bool(record.flags & UNIQUE)
    pages.core.add_version(
        record.procid,
        Version(
            *(operation, record.level, record.dbid, record.fdp, record.objid, rceid, unique, key),
            *(b"" if unique else data, image, 0, 0),
        ),
    )
