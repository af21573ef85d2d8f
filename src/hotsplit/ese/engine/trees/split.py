"""Splitting pages: planned from the leaf up, logged as one macro from the root down.

A full leaf gives its upper part to a new page at its right and carries out the change that did not
fit. Its parent gets the new separator; a parent without room is split in the same way. A full root
keeps its number and gives all its nodes to a new page below it.

Source: log specification 4.9; format specification 3.2 (prefixes), 4.2 (separators).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hotsplit.errors import InvalidUse, Jet
from hotsplit.ese.engine.trees.pageroom import has_room, kept_for_undo
from hotsplit.ese.engine.trees.splitlines import (
    best_prefix,
    fits,
    image_of,
    point,
    separator,
)
from hotsplit.ese.format.logrecord import NO_DBTIME, encode
from hotsplit.ese.format.page import Lines, Node, Page, PageFlag
from hotsplit.ese.format.recordtable import RecordType as T

if TYPE_CHECKING:
    from hotsplit.ese.engine.session import Session
    from hotsplit.ese.engine.trees.tree import Tree
    from hotsplit.ese.engine.trees.treeview import Step

_VERTICAL, _RIGHT, _APPEND = 0, 1, 2
_NO_OPERATION, _INSERT, _REPLACE, _INSERT_AND_REPLACE = 0, 1, 2, 3
_NONE = -1


@dataclass
class Change:
    """The change of a leaf that does not fit.

    node: as it will be. old: as it was, None for an insert. record: makes the log record of the
    change for (page, dbtime, line). again: the node was flagged as deleted before.
    """

    node: Node
    old: Node | None
    record: Callable[[int, int, int], bytes]
    again: bool = False

    @property
    def operation(self) -> int:
        """Its number in split records."""
        if self.old is None:
            return _INSERT
        return _INSERT_AND_REPLACE if self.again else _REPLACE


@dataclass
class Level:
    """What happens to one page. kind: of split, None for a parent that only gets a separator.

    line: of the change, or of the child. kept: bytes to stay free for an undo of each line.
    lines: from line number `first` on; where none moves, those that matter. cut: first line of
    those that goes to the new page. key: separator of the two pages. new: number of the new page.
    """

    page: Page
    line: int
    kind: int | None = None
    operation: int = _NO_OPERATION
    lines: Lines | list[Node] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    first: int = 0
    cut: int = 0
    key: bytes = b""
    new: int = 0


def split(tree: Tree, session: Session, change: Change) -> bool:
    """Split as many pages as it takes; tell whether that carried out the change, too.

    If not, it may fit now, or another split must follow. Raises InvalidUse (-1026).
    """
    pool = [tree.space.allocate(session)]  # a split takes one page at least
    bookmark = change.node.key, change.node.data
    try:
        while True:
            levels, done = _plan(tree.path(*bookmark), change, tree)
            needed = [level for level in levels if level.kind is not None]
            if len(pool) >= len(needed):
                break
            pool.append(tree.space.allocate(session))  # this may change the pages of the plan
        for level in needed:
            level.new = pool.pop()
        _carry_out(tree, session, levels, change if done else None)
    finally:
        if tree.database.context.failure is None:
            for pgno in pool:
                tree.space.free(session, pgno, 1)
    return done


def _plan(path: list[Step], change: Change, tree: Tree) -> tuple[list[Level], bool]:
    """Return what to do, root first, and whether that includes the change."""
    *parents, leaf = path
    page = Page(leaf.page, leaf.pgno)
    if _is_append(page, leaf.line, change):
        level = _append(page, leaf.line, change, tree)
    else:
        lines = Lines(page, leaf.line, change.node, replaces=change.old is not None)
        level = Level(page, leaf.line, operation=change.operation, lines=lines)
        level.kept = kept_for_undo(tree, level.lines)
        if page.is_root:
            return [_vertical(level, tree)], level.operation != _NO_OPERATION
        _horizontal(level, tree)
    levels = [level]
    for parent in reversed(parents):
        above = Level(Page(parent.page, parent.pgno), parent.line)
        levels.insert(0, above)
        child = levels[1]
        if has_room(tree, parent.page, len(child.key) + 12):
            return levels, levels[-1].operation != _NO_OPERATION
        above.lines = Lines(above.page, parent.line, Node(child.key, bytes(4)))
        above.operation, above.kept = _INSERT, [0] * len(above.lines)
        if above.page.is_root:
            # The change waits: after a split of the root the way down is another one.
            above.operation, above.line = _NO_OPERATION, 0
            above.lines, above.kept = Lines(above.page), above.kept[1:]
            return [_vertical(above, tree)], False
        _horizontal(above, tree)
    raise InvalidUse("A tree has no root", jet=Jet.errBadParentPageLink)


def _is_append(page: Page, line: int, change: Change) -> bool:
    """Tell whether the change is an insert at the very end of the tree."""
    at_end = change.old is None and line == page.node_count > 0
    return at_end and not page.next and not page.is_root


def _append(page: Page, line: int, change: Change, tree: Tree) -> Level:
    """The new node alone goes to the new page; the other lines do not matter."""
    lines = [page.node(line - 1), change.node]
    level = Level(page, line, _APPEND, _INSERT, lines, [page.uncommitted_free, 0])
    level.first, level.cut = line - 1, 1
    level.key = separator(*lines, unique=tree.unique)
    return level


def _vertical(level: Level, tree: Tree) -> Level:
    """All nodes of the root go to a new page below it; the change too, if it fits there."""
    level.kind, level.cut = _VERTICAL, 0
    assert isinstance(level.lines, Lines)
    if not fits(level.page.size, level.lines, sum(level.kept)):
        if level.operation == _NO_OPERATION:
            raise InvalidUse("A root page cannot be split", jet=Jet.errInternalError)
        level.operation, level.line = _NO_OPERATION, 0
        level.lines = Lines(level.page)
        level.kept = kept_for_undo(tree, level.lines) if level.page.is_leaf else []
    return level


def _horizontal(level: Level, tree: Tree) -> None:
    """Divide the lines between the page and a new one at its right."""
    page, lines = level.page, level.lines
    assert isinstance(lines, Lines)
    level.kind = _RIGHT
    level.cut = point(page.size, lines, level.kept, level.line)
    if not level.cut:
        lines = _without_change(level, tree)
    if page.is_leaf:
        level.key = separator(lines[level.cut - 1], lines[level.cut], unique=tree.unique)
    else:
        level.key = lines[level.cut - 1].key


def _without_change(level: Level, tree: Tree) -> Lines:
    """The change fits neither side: divide the page next to it, and try again afterwards."""
    lines = Lines(level.page)
    cut = next((cut for cut in (level.line, level.line + 1) if 0 < cut < len(lines)), 0)
    if not cut or not level.page.is_leaf:
        raise InvalidUse("The record is too big for a page", jet=Jet.errRecordTooBig)
    level.operation, level.line, level.cut = _NO_OPERATION, 0, cut
    level.lines, level.kept = lines, kept_for_undo(tree, lines)
    return lines


def _carry_out(tree: Tree, session: Session, levels: list[Level], change: Change | None) -> None:
    """Log and apply the macro."""
    database = tree.database
    dbtime = database.tick()
    pages: list[int] = []
    made: list[bytes] = []
    parent: Level | None = None
    for level in levels:
        made.append(_record(tree, session, level, parent, dbtime))
        right = _right_of(level)
        pages += [pgno for pgno in (level.page.number, level.new, right) if pgno]
        parent = level
    if change is not None:
        leaf = levels[-1]
        made.append(change.record(leaf.page.number, dbtime, leaf.line))
    database.context.journal.macro(session.procid, database.dbid, dbtime, made, pages)


def _right_of(level: Level) -> int:
    """The old right neighbour of a split leaf."""
    return level.page.next if level.kind in (_RIGHT, _APPEND) and level.page.is_leaf else 0


def _record(tree: Tree, session: Session, level: Level, parent: Level | None, dbtime: int) -> bytes:
    page = level.page
    right = _right_of(level)
    fields: dict[str, object] = {
        "procid": session.procid, "dbid": tree.database.dbid, "trx": session.trx,
        "level": session.level, "flags": tree.place.flags, "fdp": tree.place.fdp,
        "objid": tree.objid, "pgno": page.number, "dbtime": dbtime, "dbtime_before": page.dbtime,
        "dbtime_right_before": Page(tree.page(right)).dbtime if right else NO_DBTIME,
        "pgno_parent": parent.page.number if parent else 0,
        "dbtime_parent_before": parent.page.dbtime if parent else NO_DBTIME,
        "iline_operation": level.line, "pgno_right": right,
    }  # fmt: skip
    if level.kind is not None:
        fields |= _split_fields(tree, level)
    return encode(T.SPLIT2, **fields)


def _split_fields(tree: Tree, level: Level) -> dict[str, object]:
    """Fields of a record that splits its page."""
    page, lines = level.page, level.lines
    fields: dict[str, object] = {
        "pgno_new": level.new, "split_type": level.kind, "split_operation": level.operation,
        "iline_split": level.first + level.cut, "line_count": level.first + len(lines),
        "parent_key": level.key,
        "new_page_flags": tree.kind | page.flags & (PageFlag.LEAF | PageFlag.PARENT_OF_LEAF),
        "split_page_flags": tree.kind | _flags_after(page, vertical=level.kind == _VERTICAL),
        "iline_prefix_split": _NONE, "iline_prefix_new": _NONE,
    }  # fmt: skip
    old_prefix = b"" if page.is_root else page.external
    fields["old_prefix"] = old_prefix
    if isinstance(lines, Lines):
        fields["iline_prefix_new"] = best_prefix(lines, level.cut, len(lines))
    if isinstance(lines, Lines) and level.kind == _RIGHT:
        line = best_prefix(lines, 0, level.cut)
        fields["iline_prefix_split"] = line
        fields["new_prefix"] = lines[line].key if line != _NONE else b""
    cut = 0 if level.kind == _VERTICAL else level.cut
    fields["uncommitted_free_source"] = sum(level.kept[:cut])
    fields["uncommitted_free_target"] = sum(level.kept[cut:])
    moves_none = level.operation == _INSERT and level.line == level.first + len(lines) - 1
    moves_none = moves_none and level.cut == len(lines) - 1
    if level.kind == _VERTICAL or not moves_none:
        fields["image_flags"], fields["image"] = image_of(page, tree.database.dbtime)
    return fields


def _flags_after(page: Page, *, vertical: bool) -> int:
    """Flags of a page after its split, those of the tree aside."""
    if not vertical:
        return page.flags & (PageFlag.LEAF | PageFlag.PARENT_OF_LEAF)
    return PageFlag.ROOT | (PageFlag.PARENT_OF_LEAF if page.is_leaf else 0)
