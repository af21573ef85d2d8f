"""Diff streams of ReplaceD records: apply one, make one.

Source: log specification 4.4. Pages above 8 KB use the large format, the others the small one.
"""

from __future__ import annotations

import struct

from hotsplit._native.diff_py import after_image
from hotsplit.errors import Jet, LogDamaged
from hotsplit.ese.format.logrecord import LARGE_DIFF, LogRecord
from hotsplit.ese.format.page import common_prefix

_EQUAL, _INSERT, _WIDE = 0x20, 0x40, 0x80
_SMALL_OFFSET = 0x1FFF


def apply_diff(old: bytes, stream: bytes, *, large: bool, old_size: int, new_size: int) -> bytes:
    """Return the new data. Raises LogDamaged (-1852) when the sizes or the stream do not fit."""
    if len(old) != old_size:
        raise _bad(f"The record changes {old_size} bytes of data, the node has {len(old)}")
    try:
        new = after_image(old, stream, large, new_size)
    except ValueError as error:
        raise _bad(str(error)) from error
    if len(new) != new_size:
        raise _bad(f"The difference makes {len(new)} bytes, the record says {new_size}")
    return new


def new_data(record: LogRecord, old: bytes) -> bytes:
    """Return the data of a node after a REPLACE_DIFF record. Raises LogDamaged (-1852)."""
    return apply_diff(
        old,
        record.change,
        large=bool(record.change_size & LARGE_DIFF),
        old_size=record.old_size,
        new_size=record.new_size,
    )


def make_diff(old: bytes, new: bytes, *, large: bool) -> bytes | None:
    """Return a stream of at most one difference, or None if the small format cannot reach it.

    What old and new share at both ends is left out; the middle is replaced.
    """
    if old == new:
        return b""
    start = common_prefix(old, new)
    rest = min(len(old), len(new)) - start
    end = min(rest, common_prefix(old[::-1], new[::-1]))
    gone, fresh = len(old) - start - end, new[start : len(new) - end]
    bits = _EQUAL if gone == len(fresh) else 0 if gone else _INSERT
    wide = max(gone, len(fresh)) > 0xFF
    bits |= _WIDE if wide else 0
    lengths = [len(fresh)] if bits & (_EQUAL | _INSERT) else [len(fresh), gone]
    if large:
        head = struct.pack("<HB", start, bits)
    elif start > _SMALL_OFFSET:
        return None
    else:
        head = struct.pack("<H", start | bits << 8)
    return head + struct.pack(f"<{len(lengths)}{'H' if wide else 'B'}", *lengths) + fresh


def _bad(message: str) -> LogDamaged:
    return LogDamaged(message, jet=Jet.errLogCorrupted)
