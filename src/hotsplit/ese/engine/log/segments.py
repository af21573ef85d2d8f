"""Records become segments: placement, fragments, fillers, seals.

Source: log specification 3.1 to 3.3, 7.3.
"""

from __future__ import annotations

import struct
from bisect import bisect_left

from hotsplit import _native
from hotsplit.ese.format.logsegment import (
    CHECKSUM_FLAG,
    LEAST_FRAGMENT,
    SEGMENT_HEADER,
    SEGMENT_SIZE,
)
from hotsplit.ese.format.recordtable import RecordType
from hotsplit.ese.format.writemark import pack_mark

_kernel = _native.load("checksum")
_ROOM = SEGMENT_SIZE - SEGMENT_HEADER
_HEADER = struct.Struct("<8x24s4xI")
_BEGIN = struct.Struct("<BIH")
_FRAGMENT = struct.Struct("<BH")
_FILLER = struct.Struct("<BI")
assert _HEADER.size == SEGMENT_HEADER


def seal(generation: int, sector: int, started: bytes, first: int, body: bytes) -> bytes:
    """Return a whole segment with its checksum.

    started: a packed LogTime. first: first sector of the write that the segment is part of.
    """
    body = body.ljust(_ROOM, b"\0")
    mark = pack_mark(generation, sector, started, first, body)
    data = _HEADER.pack(mark, CHECKSUM_FLAG) + body
    checksum: int = _kernel.block_checksum(data, sector, 8)
    return checksum.to_bytes(8, "little") + data[8:]


class SegmentBuffer:
    """The segments of one log file that are not written yet.

    sectors: of the file; data lies in sectors 1 to sectors - 2. The open segment takes records; a
    closed one is never changed again, so no segment is written twice.
    """

    def __init__(self, generation: int, sectors: int, first: int = 1) -> None:
        self.generation = generation
        self._last = sectors - 2
        self._sector = first
        self._written = first
        self._open = bytearray()
        self._closed: list[bytes] = []

    @property
    def end(self) -> int:
        """Position number behind the last record."""
        return self._position(self._sector, len(self._open))

    def _position(self, sector: int, used: int) -> int:
        byte = used + SEGMENT_HEADER if used else 0
        return self.generation << 32 | sector << 16 | byte

    def fits(self, size: int) -> bool:
        """Tell whether a record of `size` bytes can still go to this file."""
        if self._sector > self._last:
            return False
        room = _ROOM - len(self._open)
        if size <= room:
            return True
        begun = room - _BEGIN.size if room >= LEAST_FRAGMENT else 0
        whole = self._last - self._sector
        if size <= _ROOM and not begun:
            return whole > 0
        first = begun or _ROOM - _BEGIN.size
        following = whole if begun else whole - 1
        return first + following * (_ROOM - _FRAGMENT.size) >= size and following >= 0

    def append_here(self, record: bytes) -> int:
        """Place a record in the open segment if it fits with a byte to spare, else return 0."""
        used = len(self._open)
        if used + len(record) >= _ROOM or self._sector > self._last:
            return 0
        self._open += record
        byte = used + SEGMENT_HEADER if used else 0
        return self.generation << 32 | self._sector << 16 | byte

    def append_run(self, data: bytes, ends: list[int], first: int) -> int:
        """Place records from number `first` on in the open segment; return how many fit.

        ends: where each record ends in `data`. A byte is left over as with `append_here`.
        """
        if self._sector > self._last:
            return 0
        start = ends[first - 1] if first else 0
        behind = bisect_left(ends, start + _ROOM - len(self._open), first)
        if behind > first:
            self._open += data[start : ends[behind - 1]]
        return behind - first

    def append(self, record: bytes) -> int:
        """Place a record that `fits`; return its position number."""
        room = _ROOM - len(self._open)
        if len(record) > room and room < LEAST_FRAGMENT:
            self._close()
            room = _ROOM
        position = self.end
        if len(record) <= room:
            self._open += record
            if len(record) == room:
                self._close()
        else:
            self._append_fragments(record, room)
        return position

    def _append_fragments(self, record: bytes, room: int) -> None:
        at = room - _BEGIN.size
        self._open += _BEGIN.pack(RecordType.FRAGMENT_BEGIN, len(record), at) + record[:at]
        self._close()
        most = _ROOM - _FRAGMENT.size
        while at < len(record):
            part = record[at : at + most]
            self._open += _FRAGMENT.pack(RecordType.FRAGMENT, len(part)) + part
            at += len(part)
            if len(self._open) == _ROOM:
                self._close()

    def _close(self) -> None:
        self._closed.append(bytes(self._open))
        self._open.clear()
        self._sector += 1

    def close_segment(self) -> None:
        """Fill the open segment up, so that it can be written for good."""
        rest = _ROOM - len(self._open)
        if not self._open:
            return
        if rest >= _FILLER.size:
            self._open += _FILLER.pack(RecordType.NOP2, rest - _FILLER.size)
            self._open += bytes(rest - _FILLER.size)
        self._close()

    @property
    def written(self) -> int:
        """The first sector that was not taken yet."""
        return self._written

    def take(self) -> tuple[int, list[bytes]]:
        """Return (first sector, bodies) of the closed segments, which are the caller's now."""
        first, bodies = self._written, self._closed
        self._written += len(bodies)
        self._closed = []
        return first, bodies
