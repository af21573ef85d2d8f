"""What our own log segments say, in bytes that no engine reads, of the write they are part of.

A disk writes each 512 bytes or leaves them as they were, and the file is zero where nothing was
written. So a segment of a write that was interrupted lacks parts. Checksums of segments do not
always tell: 512 equal bytes and 512 zeros have the same one.

| off | type | field |
|---|---|---|
| 24 | u16 | first sector of the write |
| 26 | u8 | bit k is set if the k-th 512 bytes of the segment are not all zero |
| 28 | u32 | CRC-32 of bytes 8 to 27: engines that make no marks leave zeros |

Source: log specification 3.1 (the reserved bytes).
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

DISK_SECTOR = 512
"""The least that a disk writes in whole or not at all."""

_HEADER = 40
_PARTS = range(1, 8)
_PLACE = struct.Struct("<HHi8sHBx")
_CRC = struct.Struct("<20sI")
_UNUSED = bytes(DISK_SECTOR)
_ONE_PART = bytes(len(_PARTS) * DISK_SECTOR)


class WriteMark(NamedTuple):
    """first: first sector of the write; used: bits of the parts that hold something."""

    first: int
    used: int


def pack_mark(generation: int, sector: int, started: bytes, first: int, body: bytes) -> bytes:
    """Return bytes 8 to 31 of a segment. started: a packed LogTime. body: all of its 4056 bytes."""
    used = 1
    if not body.endswith(_ONE_PART):  # as that of a commit of little is
        for part in _PARTS:
            if not body.startswith(_UNUSED, part * DISK_SECTOR - _HEADER):
                used |= 1 << part
    place = _PLACE.pack(0, sector, generation, started, first, used)
    return _CRC.pack(place, zlib.crc32(place))


def write_mark(segment: bytes, generation: int, sector: int) -> WriteMark | None:
    """Return the mark of a segment, which may be damaged; None if it holds no sound one."""
    place, crc = _CRC.unpack_from(segment, 8)
    if zlib.crc32(place) != crc:
        return None
    byte, at, of, _, first, used = _PLACE.unpack(place)
    return WriteMark(first, used) if (byte, at, of) == (0, sector, generation) else None


def lacks_a_part(segment: bytes, mark: WriteMark, before: bytes = b"") -> bool:
    """Tell whether 512 bytes that hold something were not written.

    before: what the segment held before the write, if that was not zeros.
    """
    if not before and _UNUSED not in segment:
        return False  # as of nearly all segments
    return any(mark.used >> part & 1 and is_unwritten(segment, part, before) for part in _PARTS)


def is_unwritten(segment: bytes, part: int, before: bytes = b"") -> bool:
    """Tell whether a part of a segment is as it was before the write."""
    here = slice(part * DISK_SECTOR, (part + 1) * DISK_SECTOR)
    return segment[here] in (_UNUSED, before[here])
