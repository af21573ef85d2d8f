"""Times as applications store them in 64 bits: the readable reference of a part of ``batch``.

Source: format specification 7.2 (DateTime).
"""

from __future__ import annotations

import math
import struct

from hotsplit._native.columns_py import bits

OLE, FILETIME = range(2)
"""Forms of times: microseconds since 1970 (from an OLE date), nanoseconds (from a FILETIME)."""

_LEAST_FILETIME, _END_FILETIME = 0x0080000000000000, 0x0400000000000000  # 1829, 2514
_OLE_BITS = 0x3E00000000000000  # as a double 1e-10 days; as a FILETIME far beyond year 9999
_FROM_1601, _FROM_1899 = 116444736000000000, 25569  # 100 ns, days to 1970
_MOST = 2**63 - 1


def convert_times(
    data: bytes, validity: bytes | None, form: int
) -> tuple[bytes, bytes | None, int]:
    """Turn stored times of 8 bytes into numbers since 1970, as `form` says.

    Each value is taken for what it is: applications put a FILETIME into the double of an OLE date,
    and the two cannot be mistaken for each other. Returns (data, validity, lost): values that are
    no time in the range of the result become null, and their number is the last item.
    """
    count = len(data) // 8
    if (
        len(data) % 8
        or (validity is not None and len(validity) != (count + 7) // 8)
        or form not in (OLE, FILETIME)
    ):
        raise ValueError(f"{len(data)} bytes of times")
    lost, out, flags = 0, [], []
    for i in range(count):
        valid = validity is None or bool(validity[i >> 3] >> (i & 7) & 1)
        value = _convert_time(data[8 * i : 8 * i + 8], form) if valid else None
        lost += valid and value is None
        out.append(value or 0)
        flags.append(value is not None)
    kept = None if validity is None and not lost else bits(flags)
    return struct.pack(f"<{count}q", *out), kept, lost


def _convert_time(stored: bytes, form: int) -> int | None:
    bits = int.from_bytes(stored, "little", signed=True)
    days = struct.unpack("<d", stored)[0]
    if form == OLE:
        if _LEAST_FILETIME <= bits < _END_FILETIME:
            return bits // 10 - _FROM_1601 // 10
        return _from_ole(days)
    if 0 <= bits < _OLE_BITS:
        ns = (bits - _FROM_1601) * 100
        return ns if abs(ns) <= _MOST // 100 * 100 else None
    us = _from_ole(days)
    return None if us is None or abs(us) > _MOST // 1000 else us * 1000


def _from_ole(days: float) -> int | None:
    if not -693593 <= days < 2958466:
        return None
    whole = math.trunc(days)
    part = abs(days - whole) * 86400e6
    below = math.floor(part)
    return (whole - _FROM_1899) * 86_400_000_000 + below + (part - below >= 0.5)


def count_filetimes(data: bytes) -> tuple[int, int]:
    """Return how many stored times of 8 bytes are FILETIMEs, and how many others are not 0."""
    values = struct.unpack(f"<{len(data) // 8}q", data[: len(data) // 8 * 8])
    found = sum(_LEAST_FILETIME <= value < _END_FILETIME for value in values)
    return found, sum(value != 0 for value in values) - found
