"""A page more at the end of a tree: the most frequent macro, carried out in one go.

That is MacroBegin, a Split2 that only gives the parent a separator, a Split2 that moves nothing,
the Insert of the one node of the new page, MacroCommit; nothing in between, and all pages as they
were when the records were made. Any other macro is the caller's.

Source: log specification 4.8, 4.9.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from hotsplit._native import page_py as pages
from hotsplit._native import tree_py as trees

MACRO_BEGIN = 11
_SPLIT2, _INSERT, _MACRO_COMMIT = 62, 29, 12
_NO_DBTIME = 0xFFFFFFFFFFFFFFFF
_MACRO = struct.Struct("<xHQ")
_HEAD = struct.Struct("<xHBIQQ")  # what records of pages begin with
_SPLIT = struct.Struct("<32xIIQIQIIBBHHHIIhhiiHHHII")
_NODE = struct.Struct("<31xBIIIHHH")
_LONGEST_SPLIT, _LONGEST_MORE = 2048, 32768 + 2048
_APPEND, _INSERTED, _NONE = 2, 1, -1
_FLUSH_TYPE, _NEW_RECORD, _SCRUBBED = 0x18000, 0x800, 0x4000
_SMALL_MAX = 8192


class Split(NamedTuple):
    """The fields of a Split2 record."""

    procid: int
    dbid: int
    pgno: int
    dbtime: int
    before: int
    new: int
    right: int
    right_before: int
    parent: int
    parent_before: int
    fdp: int
    objid: int
    type: int
    operation: int
    iline_operation: int
    iline_split: int
    line_count: int
    new_flags: int
    split_flags: int
    free_source: int
    free_target: int
    iline_prefix_split: int
    iline_prefix_new: int
    old_prefix: int
    new_prefix: int
    key_size: int
    image_flags: int
    image_size: int

    @classmethod
    def read(cls, record: bytes) -> Split:
        """Take a record apart."""
        return cls(*_HEAD.unpack_from(record), *_SPLIT.unpack_from(record))


class Append(NamedTuple):
    """Such a macro. size: bytes of its records; flags, rceid and what follows: of the insert."""

    above: Split
    split: Split
    separator: bytes
    size: int
    level: int
    flags: int
    rceid: int
    fdp: int
    objid: int
    key: bytes
    data: bytes


def read_append(begin: bytes, following: Callable[[], bytes]) -> Append | None:
    """Read the macro behind a MacroBegin, None if it is another one. following: gives records."""
    wanted = ((_SPLIT2, _LONGEST_SPLIT), (_SPLIT2, _LONGEST_SPLIT), (_INSERT, _LONGEST_MORE))
    records = []
    for kind, longest in (*wanted, (_MACRO_COMMIT, _LONGEST_MORE)):
        record = following()
        if not record or record[0] != kind or len(record) > longest:
            return None
        records.append(record)
    macro = _MACRO.unpack(begin)
    above, split = map(Split.read, records[:2])
    same = [_HEAD.unpack_from(record) for record in records[:3]]
    if _MACRO.unpack(records[3]) != macro or any(
        (procid, dbtime) != macro or dbid != split.dbid for procid, dbid, _, dbtime, _ in same
    ):
        return None
    if above.new or not _moves_nothing(split):
        return None
    insert = records[2]
    flags, rceid, fdp, objid, suffix_size, prefix_size, data_size = _NODE.unpack_from(insert)
    behind = 50 + suffix_size + prefix_size
    return Append(
        above, split, records[1][110 : 110 + split.key_size],
        len(begin) + sum(map(len, records)), insert[28], flags, rceid, fdp, objid,
        insert[50:behind], insert[behind : behind + data_size],
    )  # fmt: skip


def _moves_nothing(split: Split) -> bool:
    return (
        bool(split.new and not split.right)
        and (split.type, split.operation) == (_APPEND, _INSERTED)
        and split.iline_operation == split.iline_split == split.line_count - 1
        and split.iline_prefix_new == _NONE
    )


def is_untouched(page: bytearray, split: Split) -> bool:
    """Tell whether a page is as it was when the record was made."""
    now = dbtime_of(page)
    return split.dbtime > now and split.before in (_NO_DBTIME, now)


def dbtime_of(page: bytearray) -> int:
    """Return a page's dbtime."""
    return int.from_bytes(page[8:16], "little")


def child_line(page: bytearray, macro: Append) -> int | None:
    """Return which node of the parent points to the page that is split, None if none does."""
    try:
        line, pgno = trees.child(page, macro.separator)
    except ValueError:
        return None
    return line if pgno == macro.split.pgno else None


def fits(macro: Append, source: bytearray) -> bool:
    """Tell whether the page that is split has the nodes stated, and the new one room for its."""
    size = len(source)
    if pages._count(source) - max(1, source[35] >> 4 & 7) != macro.split.iline_split:
        return False
    return pages.header_size(size) + 2 + len(macro.key) + len(macro.data) + 8 <= size


def change_parent(page: bytearray, line: int, macro: Append) -> bool:
    """Enter the new page in the parent; False, with nothing changed, if it cannot be."""
    key, pointer = macro.separator, macro.split.pgno.to_bytes(4, "little")
    line += max(1, page[35] >> 4 & 7)
    shared = trees.shared(page, key)
    head = shared.to_bytes(2, "little") if shared else b""
    content = head + (len(key) - shared).to_bytes(2, "little") + key[shared:] + pointer
    start, length, _ = pages.locate(page, line)
    end = start + length
    page[end - 4 : end] = macro.split.new.to_bytes(4, "little")
    try:
        pages.insert(page, line, content, 4 if shared else 0)
    except ValueError:
        page[end - 4 : end] = pointer
        return False
    stamp(page, macro.split.dbtime)
    return True


def change_source(page: bytearray, macro: Append) -> None:
    """Link the page that is split to the new one."""
    page[20:24] = macro.split.new.to_bytes(4, "little")
    _set_kept_free(page, macro.split.free_source)
    stamp(page, macro.split.dbtime)


def make_page(page: bytearray, macro: Append) -> None:
    """Make the new page, with one node."""
    split, size = macro.split, len(page)
    kept = int.from_bytes(page[36:40], "little") & _FLUSH_TYPE
    page[:] = bytes(size)
    page[16:20] = split.pgno.to_bytes(4, "little")
    page[24:28] = split.objid.to_bytes(4, "little")
    page[36:40] = (split.new_flags | _NEW_RECORD | kept).to_bytes(4, "little")
    if size > _SMALL_MAX:
        page[64:68] = split.new.to_bytes(4, "little")
    line = len(macro.key).to_bytes(2, "little") + macro.key + macro.data
    pages.fill(page, [b"", line], [0, macro.flags & 1])
    _set_kept_free(page, split.free_target)
    stamp(page, split.dbtime)


def _set_kept_free(page: bytearray, value: int) -> None:
    free = int.from_bytes(page[28:30], "little")
    page[30:32] = min(max(0, value), free).to_bytes(2, "little")


def stamp(page: bytearray, dbtime: int) -> None:
    """Give a page that was changed its dbtime; whatever a scrub has done, there is data again."""
    page[8:16] = dbtime.to_bytes(8, "little")
    flags = int.from_bytes(page[36:40], "little") & ~_SCRUBBED
    page[36:40] = flags.to_bytes(4, "little")
