"""Redo of records that create, convert, empty, scrub and move pages of trees.

Source: log specification 4.6 (EmptyTree, Scrub, NewPage), 4.7 (space trees), 4.11 (PageMove).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from hotsplit.errors import RecoveryFailed
from hotsplit.ese.format.diff import new_data
from hotsplit.ese.format.logrecord import LINE_MASK, LogRecord
from hotsplit.ese.format.page import Node, NodeFlag, Page, PageFlag
from hotsplit.ese.format.recordparts import emptied_pages
from hotsplit.ese.format.recordtable import RecordType as T
from hotsplit.ese.format.space import SpaceFlag, SpaceHeader
from hotsplit.ese.recovery.pages import PageAccess

_SPLIT_BUFFER = bytes(16)
_LAST_PAGE = 0xFFFF_FFFF
_TAG_SIZE = 4
DATA_FILL = b"D"
_FREE_FILL, _UNUSED_FILL, _CHUNK_FILL = b"Z", b"U", b"L"
_LONG_VALUE_DATA = 2
_SCRUBBED_CHUNK = b"\x20"  # what tells readers of long values (format specification 9.3)
"""What the published engine overwrites deleted data with."""

Extent = tuple[int, int]  # last page, number of pages


def _last_of(first: int, count: int) -> int:
    """Return the last page of an extent. Raises RecoveryFailed (-1852) if there is no such."""
    last = first + count - 1
    if count < 0 or not 0 <= last <= _LAST_PAGE:
        raise RecoveryFailed(f"A record speaks of {count} pages from page {first} on")
    return last


def _extent_nodes(extents: list[Extent]) -> list[Node]:
    """Nodes of an owned- or available-extent tree; empty extents have none."""
    return [
        Node(struct.pack(">I", last), struct.pack("<I", count))
        for last, count in sorted(extents)
        if count > 0
    ]


def _space_root(
    pages: PageAccess, record: LogRecord, pgno: int, page_flags: int, extents: list[Extent]
) -> None:
    flags = page_flags | PageFlag.ROOT | PageFlag.LEAF | PageFlag.SPACE_TREE
    page = pages.for_new(record.dbid, pgno, record.dbtime, record.objid, flags)
    if page is not None:
        page.fill(_SPLIT_BUFFER, _extent_nodes(extents))


def _root(pages: PageAccess, record: LogRecord, page_flags: int, external: bytes) -> None:
    flags = page_flags | PageFlag.ROOT | PageFlag.LEAF
    page = pages.for_new(record.dbid, record.pgno, record.dbtime, record.objid, flags)
    if page is not None:
        page.fill(external, ())


def _header_flags(page_flags: int) -> int:
    return SpaceFlag.NON_UNIQUE if page_flags & PageFlag.NON_UNIQUE else 0


def _space_header(root: Page) -> SpaceHeader:
    """Return the space header of a root page, of either form. Raises RecoveryFailed."""
    try:
        return SpaceHeader.unpack(root.external)
    except ValueError as error:
        raise RecoveryFailed(f"Page {root.number} is not the root of a tree: {error}") from error


def create_multiple_extent(pages: PageAccess, record: LogRecord) -> None:
    """CreateMultipleExtentFDP: root and both space trees of a tree with its own extents."""
    count, flags = record.cpg_primary, record.page_flags
    last = _last_of(record.pgno, count)
    _space_root(pages, record, record.pgno_ae, flags, [(last, count - 3)])
    _space_root(pages, record, record.pgno_oe, flags, [(last, count)])
    kind = SpaceFlag.MULTIPLE | _header_flags(flags)
    header = SpaceHeader(count, record.pgno_parent, kind, record.pgno_oe)
    _root(pages, record, flags, header.pack())


def create_single_extent(pages: PageAccess, record: LogRecord) -> None:
    """CreateSingleExtentFDP: root of a small tree, free pages in a bit map."""
    count, flags = record.cpg_primary, record.page_flags
    _last_of(record.pgno, count)
    available = 0xFFFF_FFFF if count > 32 else (1 << max(0, count - 1)) - 1
    header = SpaceHeader(count, record.pgno_parent, _header_flags(flags), available)
    _root(pages, record, flags, header.pack())


def _bitmap_extents(root: int, bits: int, count: int) -> list[Extent]:
    """Runs of set bits as extents; bit i is page root + 1 + i. Pages behind the map are free."""
    found: list[Extent] = []
    run = 0
    for i in range(32):
        if bits >> i & 1 and i < count - 1:
            run += 1
        elif run:
            found.append((root + i, run))
            run = 0
    behind = max(0, count - 33)
    if run or behind:
        found.append((root + 32 + behind, run + behind))
    return found


def convert(pages: PageAccess, record: LogRecord) -> None:
    """ConvertFDP2: a single-extent tree gets a second extent and space trees in it."""
    dbid, pgno = record.dbid, record.pgno
    count, more = record.cpg_primary, record.cpg_secondary
    last, last_more = _last_of(pgno, count), _last_of(record.pgno_secondary, more)
    has_map = record.type == T.CONVERT_FDP2
    bits = record.available if has_map else 0
    flags = record.page_flags if has_map else 0
    root = pages.for_redo(dbid, pgno, record.dbtime, record.dbtime_before)
    if root is not None:
        old = _space_header(root)
        if not has_map:
            bits = old.owned
        kept = old.flags & SpaceFlag.NON_UNIQUE
        header = SpaceHeader(
            *(count, record.pgno_parent, SpaceFlag.MULTIPLE | kept, record.pgno_oe),
            old.autoincrement,
        )
        root.set_external(header.pack())
        pages.changed(dbid, root, record.dbtime)
    available = [*_bitmap_extents(pgno, bits, count), (last_more, more - 2)]
    _space_root(pages, record, record.pgno_ae, flags, available)
    _space_root(pages, record, record.pgno_oe, flags, [(last, count), (last_more, more)])


def new_page(pages: PageAccess, record: LogRecord) -> None:
    """NewPage: an empty page without flags."""
    pages.for_new(record.dbid, record.pgno, record.dbtime, record.objid, 0)


def clear(page: Page) -> None:
    """Make a page that was unlinked from its tree empty; its sibling links stay (4.10)."""
    page.fill(b"", ())
    page.flags |= PageFlag.EMPTY


def empty_tree(pages: PageAccess, record: LogRecord) -> None:
    """EmptyTree: all pages of a tree but the root are given up, the root becomes an empty leaf."""
    for entry in emptied_pages(record):
        page = pages.for_redo(record.dbid, entry.pgno, record.dbtime, entry.dbtime_before)
        if page is not None:
            clear(page)
            pages.changed(record.dbid, page, record.dbtime)
    root = pages.for_redo(record.dbid, record.pgno, record.dbtime, record.dbtime_before)
    if root is not None:
        root.fill(root.external, ())
        root.flags = (root.flags | PageFlag.LEAF) & ~PageFlag.PARENT_OF_LEAF
        pages.changed(record.dbid, root, record.dbtime)


def scrub(pages: PageAccess, record: LogRecord) -> None:
    """Scrub: overwrite deleted data; one code a line, 0 leaves it alone.

    The page counts as scrubbed until its next change.
    """
    page = pages.for_redo(record.dbid, record.pgno, record.dbtime, record.dbtime_before)
    if page is None:
        return
    nodes, fill = [], _UNUSED_FILL
    if not record.scrub_flags & 1:
        codes = record.data.ljust(page.node_count, b"\0")
        nodes, fill = list(map(_scrubbed, page.nodes(), codes)), _FREE_FILL
    page.fill(page.external, nodes)  # and nothing of old lines in between
    room = unused(page)
    page.data[room] = fill * max(0, room.stop - room.start)
    pages.changed(record.dbid, page, record.dbtime)
    page.flags |= PageFlag.SCRUBBED


def unused(page: Page) -> slice:
    """Return where nothing lies on a page that has no gaps."""
    return slice(page.header_size + page.mic_free, page.size - _TAG_SIZE * page.tag_count)


def _scrubbed(node: Node, code: int) -> Node:
    """Return a node as a scrub leaves it. code: 0 to leave it alone, 2 for part of a long value."""
    if not code:
        return node
    size = len(node.data)
    data = DATA_FILL * size
    if code == _LONG_VALUE_DATA and size:
        data = _SCRUBBED_CHUNK + _CHUNK_FILL * (size - 1)
    return node._replace(data=data, flags=node.flags & ~NodeFlag.VERSION)


def move_page(pages: PageAccess, record: LogRecord) -> None:
    """PageMove: a page takes another number; its neighbours and its parent follow."""
    dbid, dbtime, target = record.dbid, record.dbtime, record.pgno_target
    head, tail = record.page_header, record.page_trailer
    gap = pages.page_size - len(head) - len(tail)
    source = pages.for_redo(dbid, record.pgno, dbtime, record.dbtime_before)
    moved = pages.for_new(dbid, target, dbtime, record.objid, 0)
    if moved is not None:
        content = bytes(source.data) if source is not None else head + bytes(max(0, gap)) + tail
        moved.data[:] = content[: pages.page_size]
        if moved.header_size > 40:
            moved.data[64:68] = struct.pack("<I", target)
        pages.changed(dbid, moved, dbtime)
    if source is not None:
        clear(source)
        pages.changed(dbid, source, dbtime)
    neighbours = (
        ("next", record.pgno_left, record.dbtime_left_before),
        ("previous", record.pgno_right, record.dbtime_right_before),
    )
    for side, pgno, before in neighbours:
        page = pages.for_redo(dbid, pgno, dbtime, before) if pgno else None
        if page is not None:
            setattr(page, side, target)
            pages.changed(dbid, page, dbtime)
    if record.pgno_parent:
        parent = pages.for_redo(dbid, record.pgno_parent, dbtime, record.dbtime_parent_before)
        if parent is not None:
            line = record.iline_parent
            parent.replace_data(line, struct.pack("<I", target), parent.node(line).flags)
            pages.changed(dbid, parent, dbtime)


def set_external_header(pages: PageAccess, record: LogRecord) -> None:
    """SetExternalHeader in a macro: tag 0 is replaced."""
    page = pages.for_redo(record.dbid, record.pgno, record.dbtime, record.dbtime_before)
    if page is not None:
        page.set_external(record.data)
        pages.changed(record.dbid, page, record.dbtime)


def replace(pages: PageAccess, record: LogRecord) -> None:
    """Replace in a macro that moves a root page: the catalog's row gets the new page number."""
    page = pages.for_redo(record.dbid, record.pgno, record.dbtime, record.dbtime_before)
    if page is not None:
        line = record.iline & LINE_MASK
        node = page.node(line)
        data = record.change if record.type == T.REPLACE else new_data(record, node.data)
        page.replace_data(line, data, node.flags)
        pages.changed(record.dbid, page, record.dbtime)


def ignore(_pages: PageAccess, _record: LogRecord) -> None:
    """RootPageMove: names the macro; its other records do the work (4.11)."""


MACRO_HANDLERS: dict[int, Callable[[PageAccess, LogRecord], None]] = {
    T.ROOT_PAGE_MOVE: ignore,
    T.PAGE_MOVE: move_page,
    T.SET_EXTERNAL_HEADER: set_external_header,
    T.REPLACE: replace,
    T.REPLACE_DIFF: replace,
}
"""Records that may stand in a macro without a split or merge."""

HANDLERS: dict[int, Callable[[PageAccess, LogRecord], None]] = {
    T.CREATE_MULTIPLE_EXTENT_FDP: create_multiple_extent,
    T.CREATE_SINGLE_EXTENT_FDP: create_single_extent,
    T.CONVERT_FDP: convert,
    T.CONVERT_FDP2: convert,
    T.NEW_PAGE: new_page,
    T.EMPTY_TREE: empty_tree,
    T.SCRUB: scrub,
    T.PAGE_MOVE: move_page,
}
