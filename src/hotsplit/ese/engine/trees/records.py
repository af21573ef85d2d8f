"""Log records of node operations, built fast: one precompiled structure each.

The same layouts as `hotsplit.ese.format.logrecord`, which a test compares byte by byte.
Source: log specification 4.1, 4.2.
"""

from __future__ import annotations

import struct
from typing import Protocol

from hotsplit.ese.format.logrecord import NO_DBTIME
from hotsplit.ese.format.recordtable import RecordType as T

_PREFIX = "<BHBIQQIBHBIII"
_NODE = struct.Struct(_PREFIX)
_INSERT = struct.Struct(_PREFIX + "HHH")
_FLAG_INSERT = struct.Struct(_PREFIX + "HH")
_FLAG_INSERT_REPLACE = struct.Struct(_PREFIX + "HHI")
_REPLACE = struct.Struct(_PREFIX + "HHH")
_DELTA = struct.Struct(_PREFIX + "HHiH")
_UNDO_INFO = struct.Struct(_PREFIX + "HHHhhH")
_UNDO = struct.Struct(_PREFIX + "HHHB")
_SCRUB = struct.Struct(_PREFIX + "IIH")
_EXTERNAL = struct.Struct(_PREFIX + "H")
_LARGE_DIFF = 0x8000


class Writer(Protocol):
    """Who writes a record: a session in a transaction. level: at least 1."""

    procid: int
    trx: int
    level: int


class Place:
    """Where a node operation happens: what its record says in front of its own fields.

    flags: VERSIONED, UNIQUE, SPACE_TREE. `at` fills in the page and the line.
    """

    __slots__ = ("dbid", "fdp", "flags", "objid")

    def __init__(self, dbid: int, fdp: int, objid: int, flags: int) -> None:
        self.dbid, self.fdp, self.objid, self.flags = dbid, fdp, objid, flags


Times = tuple[int, int]
"""dbtime after and before the operation."""

IN_MACRO = NO_DBTIME


def insert(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int,
    key: bytes, shared: int, data: bytes,
) -> bytes:  # fmt: skip
    """Insert: a new node; the page prefix stands for the first `shared` bytes of the key."""
    head = _INSERT.pack(
        T.INSERT, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid, p.fdp,
        p.objid, len(key) - shared, shared, len(data),
    )  # fmt: skip
    return head + key + data


def flag_insert(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int, key: bytes, data: bytes
) -> bytes:
    """FlagInsert: a node flagged as deleted, with this very data, is there again."""
    head = _FLAG_INSERT.pack(
        T.FLAG_INSERT, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid,
        p.fdp, p.objid, len(key), len(data),
    )  # fmt: skip
    return head + key + data


def flag_insert_replace(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int, rceid_replace: int,
    key: bytes, data: bytes,
) -> bytes:  # fmt: skip
    """FlagInsertAndReplaceData: a node flagged as deleted is there again with new data."""
    head = _FLAG_INSERT_REPLACE.pack(
        T.FLAG_INSERT_AND_REPLACE, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags,
        rceid, p.fdp, p.objid, len(key), len(data), rceid_replace,
    )  # fmt: skip
    return head + key + data


def flag_delete(w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int) -> bytes:
    """FlagDelete: the node is flagged as deleted."""
    return _NODE.pack(
        T.FLAG_DELETE, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid,
        p.fdp, p.objid,
    )  # fmt: skip


def delete(w: Writer, p: Place, pgno: int, times: Times, line: int) -> bytes:
    """Delete: the node goes for good; never undone."""
    return _NODE.pack(
        T.DELETE, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags & ~1, 0,
        p.fdp, p.objid,
    )  # fmt: skip


def replace(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int, old_size: int, data: bytes
) -> bytes:
    """Replace: the node gets new data, given in full."""
    head = _REPLACE.pack(
        T.REPLACE, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid, p.fdp,
        p.objid, len(data), old_size, len(data),
    )  # fmt: skip
    return head + data


def replace_diff(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int, sizes: tuple[int, int],
    diff: bytes, *, large: bool,
) -> bytes:  # fmt: skip
    """ReplaceD: the node gets new data, given as a diff. sizes: of the old and of the new data."""
    head = _REPLACE.pack(
        T.REPLACE_DIFF, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid,
        p.fdp, p.objid, len(diff) | (_LARGE_DIFF if large else 0), *sizes,
    )  # fmt: skip
    return head + diff


def delta(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int,
    key: bytes, data: bytes, value: int, offset: int,
) -> bytes:  # fmt: skip
    """Delta: add to a 32-bit number in the node's data. data: of the bookmark, or empty."""
    head = _DELTA.pack(
        T.DELTA, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags, rceid, p.fdp,
        p.objid, len(key), len(data), value, offset,
    )  # fmt: skip
    return head + key + data


def undo_info(
    w: Writer, p: Place, pgno: int, level: int, rceid: int, operation: int,
    sizes: tuple[int, int], key: bytes, data: bytes, image: bytes,
) -> bytes:  # fmt: skip
    """UndoInfo: the before image of a change at `level`. sizes: largest size, reserved bytes."""
    head = _UNDO_INFO.pack(
        T.UNDO_INFO, w.procid, p.dbid, pgno, NO_DBTIME, NO_DBTIME, w.trx, level, 0,
        p.flags & ~1, rceid, p.fdp, p.objid, len(key), len(data), operation, *sizes, len(image),
    )  # fmt: skip
    return head + key + data + image


def undo(
    w: Writer, p: Place, pgno: int, times: Times, line: int, rceid: int, operation: int, level: int,
    key: bytes, data: bytes,
) -> bytes:  # fmt: skip
    """Undo: the inverse of a version."""
    head = _UNDO.pack(
        T.UNDO, w.procid, p.dbid, pgno, *times, w.trx, w.level, line, p.flags & ~1, rceid, p.fdp,
        p.objid, len(key), len(data), operation, level,
    )  # fmt: skip
    return head + key + data


def external_header(w: Writer, p: Place, pgno: int, times: Times, data: bytes) -> bytes:
    """SetExternalHeader: the page's line 0 gets new content."""
    head = _EXTERNAL.pack(
        T.SET_EXTERNAL_HEADER, w.procid, p.dbid, pgno, *times, w.trx, w.level, 0, p.flags & ~1, 0,
        p.fdp, p.objid, len(data),
    )  # fmt: skip
    return head + data


def scrub(w: Writer, p: Place, pgno: int, times: Times, flags: int, codes: bytes) -> bytes:
    """Scrub: old data of a page is overwritten. codes: one byte for each node of a page in use."""
    head = _SCRUB.pack(
        T.SCRUB, w.procid, p.dbid, pgno, *times, w.trx, w.level, 0, p.flags & ~1, 0, p.fdp,
        p.objid, flags, len(codes), len(codes),
    )  # fmt: skip
    return head + codes
