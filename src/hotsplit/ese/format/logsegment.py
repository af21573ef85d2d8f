"""Format v8 of the log: segments of 4096 bytes with ECC, the records in them, the end of the data.

Source: log specification 3.1 to 3.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from hotsplit.errors import LogDamaged
from hotsplit.ese.format.basics import LogPosition
from hotsplit.ese.format.checksum import correct_segment, segment_checksum
from hotsplit.ese.format.layout import U32, U64, Layout, Position, Raw, Time
from hotsplit.ese.format.logrecord import record_size
from hotsplit.ese.format.recordtable import CLOSING, FILLERS, RecordType
from hotsplit.ese.format.writemark import lacks_a_part, write_mark

SEGMENT_SIZE = 4096
SEGMENT_HEADER = 40
CHECKSUM_FLAG = 0x2000
LEAST_FRAGMENT = 32
"""With fewer bytes left, a record is not begun in a segment."""

_ZERO = bytes(SEGMENT_SIZE)
_INTERRUPTING = (RecordType.RECOVERY_UNDO, RecordType.RECOVERY_UNDO2, RecordType.UNDO_INFO)


class SegmentHeader(Layout):
    """First 40 bytes of a segment."""

    SIZE = SEGMENT_HEADER
    checksum = U64(0)
    position = Position(8)
    started = Time(16)
    reserved = Raw(24, 12)
    flags = U32(36)


def pack_segment(position: LogPosition, started: bytes, records: bytes) -> bytes:
    """Return a sealed segment; `started` is a packed LogTime, `records` at most 4056 bytes."""
    header = SegmentHeader.empty()
    header.position = position
    header.raw[16:24] = started
    header.flags = CHECKSUM_FLAG
    if len(records) > SEGMENT_SIZE - SEGMENT_HEADER:
        raise ValueError(f"{len(records)} bytes of records do not fit a segment")
    data = (bytes(header.raw) + records).ljust(SEGMENT_SIZE, b"\0")
    return segment_checksum(data, position.sector).to_bytes(8, "little") + data[8:]


class Reason(StrEnum):
    """Why the scan of a log stopped: the engine's own words (event 552)."""

    CORRUPT_AFTER_EMPTY = "CorruptAfterEmptySegment"
    BAD_POSITION = "BadSegmentLgpos"
    VALID_AFTER_EMPTY = "ValidSegmentAfterEmpty"
    CORRUPT = "SegmentCorrupt"


class Correction(NamedTuple):
    """A segment that was put right in memory. bit: which one was wrong; None: a shadow was used."""

    sector: int
    bit: int | None


class Damage(NamedTuple):
    """Where and why the data of a log cannot be trusted any further.

    valid_after: how many good segments of this generation lie behind; 0 for a torn tail.
    """

    reason: Reason
    sector: int
    valid_after: int


@dataclass
class SegmentScan:
    """What a scan of all segments found.

    last: sector of the last valid segment, 0 if there is none.
    checksum: XOR of the checksums of the valid segments (chain between files, 2.3).
    replaced: good contents of segments that were corrected.
    """

    last: int = 0
    checksum: int = 0
    corrections: list[Correction] = field(default_factory=list)
    replaced: dict[int, bytes] = field(default_factory=dict)
    damage: Damage | None = None


class _Kind(StrEnum):
    VALID = "valid"
    EMPTY = "empty"
    AHEAD = "ahead"
    BAD = "bad"


def scan_segments(data: bytes, generation: int, sectors: int, blank: bytes = _ZERO) -> SegmentScan:
    """Classify the segments of a whole v8 log file and find the end of its data (3.5).

    data: the file, `sectors` times 4096 bytes; blank: what an unused segment holds.
    """
    scan = SegmentScan()
    empty_seen = False
    for sector in range(1, sectors - 1):
        kind, segment = _classify(data, sector, generation, blank, scan)
        reason = _objection(kind, empty_seen)
        if reason is not None:
            following = _count_valid(data, sector + 1, sectors, generation)
            scan.damage = Damage(reason, sector, following)
            break
        if kind == _Kind.EMPTY:
            if not empty_seen and _is_blank(data, sector, sectors - 1, blank):
                break
            empty_seen = True
        else:
            scan.last = sector
            scan.checksum ^= int.from_bytes(segment[:8], "little")
    _leave_out_torn(data, generation, sectors, scan)
    return scan


def _leave_out_torn(data: bytes, generation: int, sectors: int, scan: SegmentScan) -> None:
    """End the data in front of a segment whose checksum does not show that parts are missing.

    Only the last write can be interrupted, and only our own engine's segments tell: `writemark`.
    """
    last = write_mark(_sector(data, scan.last), generation, scan.last) if scan.last else None
    for sector in range(last.first, scan.last + 1) if last and last.first else ():
        mark = write_mark(_sector(data, sector), generation, sector)
        if mark is not None and lacks_a_part(_sector(data, sector), mark):
            for gone in range(sector, scan.last + 1):
                segment = scan.replaced.get(gone) or _sector(data, gone)
                scan.checksum ^= int.from_bytes(segment[:8], "little")
            scan.last = sector - 1
            following = _count_valid(data, sector + 1, sectors, generation)
            scan.damage = Damage(Reason.CORRUPT, sector, following)
            return


def _is_blank(data: bytes, first: int, end: int, blank: bytes) -> bool:
    """Tell whether no segment from `first` on was ever used: so most files end."""
    return data.startswith(blank * (end - first), first * SEGMENT_SIZE)


def _objection(kind: _Kind, empty_seen: bool) -> Reason | None:
    if kind == _Kind.AHEAD:
        return Reason.BAD_POSITION
    if kind == _Kind.BAD:
        return Reason.CORRUPT_AFTER_EMPTY if empty_seen else Reason.CORRUPT
    if kind == _Kind.VALID and empty_seen:
        return Reason.VALID_AFTER_EMPTY
    return None


def _classify(
    data: bytes, sector: int, generation: int, blank: bytes, scan: SegmentScan
) -> tuple[_Kind, bytes]:
    """Judge one sector; a correction is entered into `scan`."""
    segment = _sector(data, sector)
    if segment == blank:
        return _Kind.EMPTY, segment
    if _is_sound(segment, sector):
        return _kind_by_position(segment, sector, generation), segment
    if _is_sound(segment, sector - 1) and LogPosition.unpack(segment, 8).sector == sector - 1:
        return _Kind.EMPTY, segment
    mended = correct_segment(segment, sector)
    if mended is not None:
        kind = _kind_by_position(mended, sector, generation)
        if kind == _Kind.VALID:
            bit = _differing_bit(segment, mended)
            scan.corrections.append(Correction(sector, bit))
            scan.replaced[sector] = mended
        return kind, mended
    shadow = _sector(data, sector + 1)
    here = LogPosition(generation, sector, 0)
    if LogPosition.unpack(shadow, 8) == here and _is_sound(shadow, sector):
        scan.corrections.append(Correction(sector, None))
        scan.replaced[sector] = shadow
        return _Kind.VALID, shadow
    return _Kind.BAD, segment


def _kind_by_position(segment: bytes, sector: int, generation: int) -> _Kind:
    """A sound segment is the expected one, an old one of a recycled file, or from ahead."""
    found, expected = LogPosition.unpack(segment, 8), LogPosition(generation, sector, 0)
    if found == expected:
        return _Kind.VALID
    return _Kind.EMPTY if found < expected else _Kind.AHEAD


def _count_valid(data: bytes, start: int, sectors: int, generation: int) -> int:
    count = 0
    for sector in range(start, sectors - 1):
        segment = _sector(data, sector)
        here = LogPosition(generation, sector, 0)
        count += LogPosition.unpack(segment, 8) == here and _is_sound(segment, sector)
    return count


def _is_sound(segment: bytes, sector: int) -> bool:
    return int.from_bytes(segment[:8], "little") == segment_checksum(segment, sector)


def _differing_bit(old: bytes, new: bytes) -> int:
    difference = int.from_bytes(old, "little") ^ int.from_bytes(new, "little")
    return difference.bit_length() - 1


def _sector(data: bytes, sector: int) -> bytes:
    return data[sector * SEGMENT_SIZE : (sector + 1) * SEGMENT_SIZE]


def walk_segment(segment: bytes) -> Iterator[tuple[int, int]]:
    """Yield (offset, size) of the records in a segment; NOPs, which fill its end, are left out.

    Raises LogDamaged (-501).
    """
    offset = SEGMENT_HEADER
    while offset < SEGMENT_SIZE:
        if segment[offset] == RecordType.NOP:
            offset = SEGMENT_SIZE - len(segment[offset:].lstrip(b"\0"))
            continue
        size = record_size(segment, offset, SEGMENT_SIZE)
        yield offset, size
        offset += size


def closes(segment: bytes) -> bool:
    """Tell whether the last record of the last segment says that the log was closed normally."""
    last = RecordType.NOP
    for offset, _ in walk_segment(segment):
        if segment[offset] not in FILLERS:
            last = RecordType(segment[offset])
    return last in CLOSING


def position_in(generation: int, sector: int, offset: int) -> LogPosition:
    """Return the position of a record: the first one of a segment has byte 0 (3.1)."""
    return LogPosition(generation, sector, 0 if offset == SEGMENT_HEADER else offset)


class RecordReader:
    """Turns segments into records, putting fragments together (3.3, 3.5, 3.6).

    unfinished: position of a record that was begun but whose rest is not there, None otherwise.
    """

    def __init__(self, generation: int, largest: int) -> None:
        self.unfinished: LogPosition | None = None
        self._generation = generation
        self._largest = largest
        self._parts = bytearray()
        self._total = 0
        self._middle = True

    def read(self, segments: Iterable[tuple[int, bytes]]) -> Iterator[tuple[LogPosition, bytes]]:
        """Yield (position, record) for (sector, 4096 bytes); NOPs are left out, NOP2 is not.

        Leading fragments, of a record begun before the first segment given, are skipped. A record
        that is never completed is dropped. Raises LogDamaged (-501).
        """
        for sector, segment in segments:
            position = LogPosition(self._generation, sector, 0)
            try:
                for offset, size in walk_segment(segment):
                    position = position_in(self._generation, sector, offset)
                    done = self._take(position, segment[offset : offset + size])
                    if done is not None:
                        yield done
            except LogDamaged as error:
                raise error.at(position=str(position)) from None

    def _take(self, position: LogPosition, raw: bytes) -> tuple[LogPosition, bytes] | None:
        if raw[0] == RecordType.FRAGMENT:
            return self._continue(raw)
        if self.unfinished is not None and not _may_interrupt(position, raw):
            raise LogDamaged("A record is not completed by the fragments behind it")
        self.unfinished = None
        self._middle = False
        if raw[0] != RecordType.FRAGMENT_BEGIN:
            return position, raw
        self._total = int.from_bytes(raw[1:5], "little")
        self._parts = bytearray(raw[7:])
        if not len(self._parts) < self._total <= self._largest:
            raise LogDamaged(f"A fragmented record claims {self._total} bytes")
        self.unfinished = position
        return None

    def _continue(self, raw: bytes) -> tuple[LogPosition, bytes] | None:
        begun = self.unfinished
        if begun is None:
            if self._middle:
                return None
            raise LogDamaged("A fragment continues no record")
        self._parts += raw[3:]
        if len(self._parts) < self._total:
            return None
        whole = bytes(self._parts)
        if len(whole) > self._total or record_size(whole, 0, len(whole)) != len(whole):
            raise LogDamaged("Fragments do not make up the record that they belong to")
        self.unfinished = None
        return begun, whole


def _may_interrupt(position: LogPosition, raw: bytes) -> bool:
    """A recovery may have gone on behind an unfinished record, at the begin of a segment."""
    if position.byte:
        return False
    if raw[0] == RecordType.FRAGMENT_BEGIN:
        return raw[7:8] == bytes((RecordType.UNDO_INFO,))
    return raw[0] in _INTERRUPTING
